"""How long the windows are that a model is given; no torch."""

import math
from typing import NamedTuple, Optional

from dld_brain.audio.checks import warn

#: Longest window that is not asked for, s.
LONGEST = 20.0
#: What of a window is context alone on either side, where it is not asked for:
#: so many seconds at most, and no more than this share of it.
CONTEXT, CONTEXT_SHARE = 2.0, 1 / 6

#: Windows that are run together, padding included, s.
BATCH = 60.0


class Limits(NamedTuple):
    """What windows a model can be given.

    Arguments
    ---------
    whole : int
        Speech without a pause that is no longer is encoded at once, as is.
    longest, shortest : int
        Of a window.
    context : int
        What at least two neighbours see of each other's side.
    step : int
        How much further one frame of the output is than the frame before.
    is_asked : bool
        Whether the caller chose the window: nothing is said of audio that is
        longer.
    over : int
        Shorter pauses part nothing that one window takes whole.
    """

    whole: int
    longest: int
    shortest: int
    context: int
    step: int
    is_asked: bool = False
    over: int = 0


def limits(
    longest_utterance: Optional[float],
    rate: int,
    shortest: int,
    step: int,
    window_seconds: Optional[float] = None,
    overlap_seconds: Optional[float] = None,
) -> Limits:
    """Limits of a model by the longest utterance of its training, s.

    At least 1 s, and `LONGEST` where that is less or not known.

    Arguments
    ---------
    rate : int
        Hz.
    shortest, step : int
        See `Limits`.
    window_seconds : float, optional
        Longest window, s, instead; at least 1. What is no longer is encoded
        at once.
    overlap_seconds : float, optional
        What of a window is context alone on either side, s; at least half of
        what a frame sees, which no two windows could be joined without.

    Raises
    ------
    TypeError, ValueError
        If one of them is no number, or out of its range.

    Example
    -------
    >>> limits(6.0, 16000, shortest=960, step=640)[:5]
    (96000, 96000, 960, 16000, 640)
    >>> limits(6.0, 16000, 960, 640, window_seconds=5, overlap_seconds=1)[:5]
    (80000, 80000, 960, 16000, 640)
    """
    seconds = min(LONGEST, max(1.0, longest_utterance or LONGEST))
    if window_seconds is not None:
        seconds = _number("window_seconds", window_seconds, 1.0)
        _warn_of_unseen(seconds, longest_utterance)
    context = min(CONTEXT, CONTEXT_SHARE * seconds)
    if overlap_seconds is not None:
        context = _number("overlap_seconds", overlap_seconds, 0.0)
        if context >= seconds / 2:
            raise ValueError(
                f"`overlap_seconds` must be less than half of a window of "
                f"{seconds:g} s, but is {context:g}"
            )
    longest = max(round(seconds * rate), shortest, 8 * step)
    whole = longest
    if window_seconds is None:
        whole = max(longest, round((longest_utterance or 0) * rate))
    sides = max(round(context * rate), (shortest + step + 1) // 2)
    is_asked = window_seconds is not None
    return Limits(whole, longest, shortest, sides, step, is_asked)


def check_batch_seconds(value: float) -> float:
    """Raises unless it is how much audio is run together, s.

    Raises
    ------
    TypeError, ValueError
        If it is no number, or less than 1.
    """
    return _number("batch_seconds", value, 1.0)


def _number(name: str, value: float, least: float) -> float:
    """Raises unless an option is a number of seconds.

    Example
    -------
    >>> _number("window_seconds", 0.5, 1.0)
    Traceback (most recent call last):
    ...
    ValueError: `window_seconds` must be at least 1 s, but is 0.5
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"`{name}` must be a number of seconds, but is {value!r:.40}"
        )
    if not least <= value < math.inf:
        raise ValueError(
            f"`{name}` must be at least {least:g} s, but is {value:g}"
        )
    return float(value)


def _warn_of_unseen(seconds: float, longest_utterance: Optional[float]) -> None:
    """Warns of windows that are longer than training's utterances."""
    if longest_utterance is not None and seconds > longest_utterance:
        warn(
            f"`window_seconds` is {seconds:g}, but the longest utterance of "
            f"training had {longest_utterance:.1f} s: expect more errors"
        )
