"""The sentences of SpokenCommands: household commands, dates, spellings.

Authors
 * The dld_brain authors 2026
"""

from collections.abc import Callable

import numpy as np

ONES = "ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE".split()
TEENS = (
    "TEN ELEVEN TWELVE THIRTEEN FOURTEEN FIFTEEN SIXTEEN SEVENTEEN EIGHTEEN "
    "NINETEEN"
).split()
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
    """A number from 1 to 99, now and then hundreds or thousands.

    Arguments
    ---------
    rng : np.random.Generator
        Source of the choice.

    Returns
    -------
    str
    """
    kind = rng.integers(8)
    if kind == 0:
        return f"{rng.choice(ONES)} {rng.choice(['HUNDRED', 'THOUSAND'])}"
    if kind < 3:
        return str(rng.choice(ONES + TEENS))
    ones = f" {rng.choice(ONES)}" if rng.random() < 0.7 else ""
    return f"{rng.choice(TENS)}{ones}"


def sequence(
    rng: np.random.Generator, items: list[str], low: int, high: int
) -> str:
    """Some items in a row.

    Arguments
    ---------
    rng : np.random.Generator
        Source of the choice.
    items : list of str
        What to choose from.
    low : int
        The fewest.
    high : int
        The most.

    Returns
    -------
    str
    """
    return " ".join(rng.choice(items, rng.integers(low, high + 1)))


#: Kinds of sentences, and how often each is said.
TEMPLATES: list[tuple[float, Callable[[np.random.Generator], str]]] = [
    (
        2,
        lambda r: (
            f"TURN {r.choice(['ON', 'OFF'])} THE {r.choice(ROOMS)} "
            f"{r.choice(DEVICES)}"
        ),
    ),
    (1, lambda r: f"SET THE {r.choice(ROOMS)} TO {number(r)} DEGREES"),
    (
        1,
        lambda r: f"WAKE ME AT {number(r)} {r.choice(['A M', 'P M'])}",
    ),
    (1, lambda r: f"START A TIMER FOR {number(r)} MINUTES"),
    (1, lambda r: f"{r.choice(MONTHS)} {r.choice(ORDINALS)}"),
    (
        1,
        lambda r: (
            f"{r.choice(MONTHS)} {r.choice(ORDINALS)} NINETEEN {number(r)}"
        ),
    ),
    (2, lambda r: f"DIAL {sequence(r, DIGITS, 3, 7)}"),
    (1, lambda r: f"AREA CODE {sequence(r, DIGITS, 3, 3)}"),
    (1, lambda r: f"CALL {r.choice(NAMES)}"),
    (3, lambda r: sequence(r, LETTERS, 3, 7)),
    (
        2,
        lambda r: (
            f"{r.choice(['ENTER', 'ERASE', 'RUBOUT'])} "
            f"{sequence(r, LETTERS, 1, 4)} {sequence(r, DIGITS, 1, 3)}"
        ),
    ),
    (1, lambda r: f"{number(r)} {number(r)} {number(r)}"),
    (1, lambda r: str(r.choice(WORDS))),
]


def sentence(rng: np.random.Generator) -> str:
    """Says something.

    Arguments
    ---------
    rng : np.random.Generator
        Source of the choice.

    Returns
    -------
    str
        Upper case words.

    Example
    -------
    >>> sentence(np.random.default_rng(1)).isupper()
    True
    """
    weights = np.array([weight for weight, _ in TEMPLATES])
    kind = rng.choice(len(TEMPLATES), p=weights / weights.sum())
    return TEMPLATES[kind][1](rng)
