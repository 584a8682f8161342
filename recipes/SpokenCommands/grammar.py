"""The sentences of SpokenCommands: household commands, dates, codes."""

from collections.abc import Callable

import numpy as np

ONES = "ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE".split()
TEENS = (
    "TEN ELEVEN TWELVE THIRTEEN FOURTEEN FIFTEEN SIXTEEN SEVENTEEN EIGHTEEN "
    "NINETEEN"
).split()
HOURS = ONES + TEENS[:3]
TENS = "TWENTY THIRTY FORTY FIFTY SIXTY SEVENTY EIGHTY NINETY".split()
DIGITS = ["ZERO", "OH", *ONES]
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
MONTHS = (
    "JANUARY FEBRUARY MARCH APRIL MAY JUNE JULY AUGUST SEPTEMBER OCTOBER "
    "NOVEMBER DECEMBER"
).split()
ORDINALS = (
    "FIRST SECOND THIRD FOURTH FIFTH SIXTH SEVENTH EIGHTH NINTH TENTH "
    "ELEVENTH TWELFTH THIRTEENTH FOURTEENTH FIFTEENTH SIXTEENTH SEVENTEENTH "
    "EIGHTEENTH NINETEENTH TWENTIETH THIRTIETH"
).split()
ROOMS = "KITCHEN BEDROOM BATHROOM HALLWAY GARAGE OFFICE GARDEN".split()
DEVICES = "LIGHT HEATER FAN RADIO TELEVISION OVEN ALARM".split()
NAMES = "ANNA DAVID GRACE JACOB LAURA OLIVER QUENTIN SOPHIE XAVIER ZOE".split()
WORDS = (
    "YES NO STOP GO HELP START REPEAT ENTER ERASE RUBOUT CANCEL LOUDER QUIETER"
).split()


def number(rng: np.random.Generator) -> str:
    """A number from 1 to 99, now and then hundreds or thousands."""
    kind = rng.integers(8)
    if kind == 0:
        return f"{rng.choice(ONES)} {rng.choice(['HUNDRED', 'THOUSAND'])}"
    if kind < 3:
        return str(rng.choice(ONES + TEENS))
    ones = f" {rng.choice(ONES)}" if rng.random() < 0.7 else ""
    return f"{rng.choice(TENS)}{ones}"


def ordinal(rng: np.random.Generator) -> str:
    """A day of a month."""
    return str(rng.choice(ORDINALS))


def sequence(
    rng: np.random.Generator, items: list[str], low: int, high: int
) -> str:
    """Some items in a row."""
    return " ".join(rng.choice(items, rng.integers(low, high + 1)))


Template = Callable[[np.random.Generator], str]

#: What is said to a house.
COMMANDS: list[Template] = [
    lambda r: (
        f"TURN {r.choice(['ON', 'OFF'])} THE {r.choice(ROOMS)} "
        f"{r.choice(DEVICES)}"
    ),
    lambda r: f"SET THE {r.choice(ROOMS)} TO {number(r)} DEGREES",
    lambda r: f"WAKE ME AT {r.choice(HOURS)} {r.choice(TENS)}",
    lambda r: f"START A TIMER FOR {number(r)} MINUTES",
    lambda r: f"CALL {r.choice(NAMES)}",
    lambda r: f"REMIND {r.choice(NAMES)} ON {r.choice(MONTHS)} {ordinal(r)}",
    lambda r: str(r.choice(WORDS)),
]
#: Letters, digits and numbers one by one: harder, and what AN4 is made of.
CODES: list[Template] = [
    lambda r: sequence(r, LETTERS, 3, 7),
    lambda r: (
        f"{r.choice(['ENTER', 'ERASE', 'RUBOUT'])} "
        f"{sequence(r, LETTERS, 1, 4)} {sequence(r, DIGITS, 1, 3)}"
    ),
    lambda r: f"DIAL {sequence(r, DIGITS, 3, 7)}",
    lambda r: f"AREA CODE {sequence(r, DIGITS, 3, 3)}",
    lambda r: f"{number(r)} {number(r)} {number(r)}",
    lambda r: f"{r.choice(MONTHS)} {ordinal(r)} NINETEEN {number(r)}",
]


def sentence(rng: np.random.Generator, codes: float = 0.0) -> str:
    """Says something.

    Arguments
    ---------
    codes : float
        Share of the sentences that are codes, in [0, 1].

    Example
    -------
    >>> sentence(np.random.default_rng(1)).isupper()
    True
    """
    templates = CODES if rng.random() < codes else COMMANDS
    return templates[rng.integers(len(templates))](rng)
