"""What a setting may be: its type, and which values it may have.

A field of a settings class is annotated with its type, and with a `Rule`
where not every value of the type will do.
"""

import contextlib
import math
import os
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Optional, Union, get_args, get_origin

#: What a type is called in a message.
WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a word",
    dict: "a mapping",
    object: "a value",
}


@dataclass(frozen=True)
class Rule:
    """Which values of a type will do.

    Arguments
    ---------
    words : str
        How a message puts it: "above 0".
    is_limit : bool
        Whether it is said only where it is broken.
    """

    words: str
    holds: Callable[[Any], bool]
    is_limit: bool = False


def at_most(most: float) -> Rule:
    """Numbers up to `most`."""
    return Rule(f"of at most {most}", lambda value: value <= most, True)


def at_least(least: float) -> Rule:
    """Numbers from `least` on."""
    return Rule(f"of at least {least}", lambda value: value >= least)


def one_of(*names: str) -> Rule:
    """Some words, and no others."""
    return Rule(f"one of {', '.join(names)}", lambda value: value in names)


#: Of every whole number: what the libraries behind can count to.
LONGEST_INT = at_most(2**63 - 1)
ABOVE_0 = Rule("above 0", lambda value: value > 0)
SHARE = Rule("between 0 and 1", lambda value: 0 <= value <= 1)
ODD = Rule("that is odd and above 0", lambda value: value > 0 and value % 2)
#: Of lists.
FILLED = Rule("with an entry at least", lambda value: len(value) > 0)
UNIQUE = Rule("without repetition", lambda v: len(set(v)) == len(v))

Positive = Annotated[float, ABOVE_0]
Weight = Annotated[float, at_least(0)]
Share = Annotated[float, SHARE]
Count = Annotated[int, at_least(1)]
Natural = Annotated[int, at_least(0)]


def _may_be_path(value: str) -> bool:
    """Whether a system may have a file of this name: 255 bytes a name."""
    try:
        name = os.fsencode(value)
    except UnicodeEncodeError:
        return False
    is_short = len(name) < 4000 and all(len(n) < 256 for n in name.split(b"/"))
    return bool(name) and b"\0" not in name and is_short


#: A file or folder: taken as it stands on a command line, but for `~`.
IS_PATH = Rule("that a file may have", _may_be_path)
PathName = Annotated[str, IS_PATH]
Words = Annotated[tuple[str, ...], UNIQUE]
SomeWords = Annotated[tuple[str, ...], FILLED, UNIQUE]
Depths = Annotated[tuple[Count, ...], UNIQUE]


def parts(kind: Any) -> tuple[Any, list[Rule], bool]:
    """The bare type of an annotation, its rules, and whether it may be None."""
    is_optional = False
    if get_origin(kind) in (Union, types.UnionType):
        others = [k for k in get_args(kind) if k is not type(None)]
        is_optional = len(others) < len(get_args(kind))
        kind = others[0] if len(others) == 1 else object
    rules: list[Rule] = []
    if get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        rules = [rule for rule in more if isinstance(rule, Rule)]
    return kind, rules, is_optional


def is_path(kind: Any) -> bool:
    """Whether an annotation is that of a path."""
    return IS_PATH in parts(kind)[1]


def is_list(kind: Any) -> bool:
    """Whether an annotation is that of a list."""
    return get_origin(parts(kind)[0]) is tuple


def of_numbers(kind: Any) -> bool:
    """Whether an annotation is that of a list of numbers."""
    entries = get_args(parts(kind)[0])
    return bool(entries) and parts(entries[0])[0] in (int, float)


def checked(name: str, value: Any, kind: Any) -> Any:
    """A value as its type has it.

    Arguments
    ---------
    kind : type
        What it is to be: `Count`, `Optional[PathName]`, `Words`, ...

    Raises
    ------
    ValueError
        If it is of another type, or breaks a rule.

    Example
    -------
    >>> checked("lr", 1, Positive)
    1.0
    >>> checked("lr", -1, Positive)
    Traceback (most recent call last):
    ...
    ValueError: `lr` must be a number above 0, but is -1
    """
    kind, rules, is_optional = parts(kind)
    if is_optional and (value is None or (value == "" and IS_PATH in rules)):
        return None
    error = _error(name, value, kind, [r for r in rules if not r.is_limit])
    if get_origin(kind) is tuple:
        if isinstance(value, str):  # a list of one word
            value = [value]
        if not isinstance(value, (list, tuple)):
            raise error
        (entry, _) = get_args(kind)
        found: Any = tuple(checked(name, v, entry) for v in value)
    else:
        found = converted(value, kind, error)
    for rule in [*rules, *([LONGEST_INT] if kind is int else [])]:
        if not rule.holds(found):
            is_limit = rule.is_limit
            raise _error(name, value, kind, [rule]) if is_limit else error
    return found


def _error(name: str, value: Any, kind: Any, rules: list[Rule]) -> ValueError:
    """The error of a value that is of another type, or breaks a rule."""
    return ValueError(
        f"`{name}` must be {described(kind, rules)}, but is {shown(value)}"
    )


def converted(value: Any, kind: Any, error: ValueError) -> Any:
    """A plain value of a type; raises where it is of another."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is bool and type(value).__name__ in ("bool", "ScalarBoolean"):
        return bool(value)
    elif kind is float and is_number:
        with contextlib.suppress(OverflowError):  # a whole number of 400 digits
            if math.isfinite(value):
                return float(value)
    elif kind is int and is_number and isinstance(value, int):
        return int(value)
    elif kind is str and isinstance(value, str):
        return str(value)
    elif kind is dict and isinstance(value, dict):
        return plain(value)
    elif kind not in (bool, int, float, str, dict):  # nothing to check by type
        return plain(value)
    raise error


def plain(value: Any) -> Any:
    """A tree of YAML as Python's own types."""
    if isinstance(value, dict):
        return {plain(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    for kind in (str, float):
        if isinstance(value, kind):
            return kind(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return int(value) if is_whole else value


def described(kind: Any, rules: list[Rule]) -> str:
    """What a value must be, in words."""
    words = [rule.words for rule in rules if rule != IS_PATH]
    if IS_PATH in rules:
        start = "a path (not empty, names of up to 255 bytes)"
    elif get_origin(kind) is tuple:
        entry, entry_rules, _ = parts(get_args(kind)[0])
        start = f"a list of {described(entry, entry_rules)}"
    elif words and words[0].startswith("one of"):
        return " ".join(words)
    else:
        start = WORDS.get(kind, WORDS[object])
    return " ".join([start, *words])


def shown(value: Any) -> str:
    """A value as a message shows it."""
    if value is None:
        return "not given"
    try:
        text = repr(plain(value))
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) < 60 else f"{text[:56]} ..."


OptionalPath = Optional[PathName]
