"""Long audio in windows, and what a model says of them put together again.

Pure functions without torch, of files, streams and batches of many files
alike. Positions and lengths are samples.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Optional

import numpy as np

from dld_brain.audio.checks import warn
from dld_brain.audio.vad import (
    FRAME,
    HOP,
    LONG_PAUSE,
    PAUSE,
    find_speech,
    levels,
)
from dld_brain.audio.window_limits import BATCH, Limits

#: What is softest for so long is no stop inside a word, s: those of English
#: are closed for 0.05 to 0.1 s.
QUIET = 0.2


class Window(NamedTuple):
    """A part of an audio that is encoded at once.

    Arguments
    ---------
    is_last : bool
        Whether a stretch of speech ends with it.
    """

    start: int
    stop: int
    is_last: bool


def find_windows(
    samples: np.ndarray,
    rate: int,
    limits: Limits,
    name: str,
    vad: Optional[str] = "energy",
    windowed: bool = True,
) -> list[Window]:
    """The windows of an audio: none without speech.

    Long pauses part audio of any length: a model need not have heard any.

    Arguments
    ---------
    samples : numpy.ndarray
        [S].
    name : str
        What a warning calls it that says it was cut.
    vad : str, optional
        See `vad.find_speech`.
    windowed : bool
        Whether audio is cut at all.
    """
    n_samples = len(samples)
    pause = LONG_PAUSE if n_samples <= limits.whole else PAUSE
    speech = find_speech(samples, rate, vad, pause)
    if not speech:
        return []
    if not windowed:
        return [Window(0, n_samples, True)]
    if n_samples <= limits.whole:
        limits = limits._replace(longest=limits.whole)
    speech = together(speech, limits.longest, limits.over)
    windows = cut(speech, n_samples, limits)
    if n_samples <= limits.whole or limits.is_asked:
        return windows
    n_pieces = f"{len(windows)} window{'s' if len(windows) > 1 else ''}"
    warn(
        f"{name}: its {n_samples / rate:.1f} s are longer than what the model "
        f"was trained on ({limits.whole / rate:.1f} s): encoded in {n_pieces}, "
        "parted at pauses where there are any"
    )
    return windows


def together(
    stretches: Iterable[tuple[int, int]], longest: int, pause: int
) -> list[tuple[int, int]]:
    """Joins stretches that a window takes whole, over short pauses.

    Example
    -------
    >>> together([(0, 4), (5, 8), (9, 12), (30, 31)], longest=10, pause=2)
    [(0, 8), (9, 12), (30, 31)]
    """
    found: list[tuple[int, int]] = []
    for start, stop in stretches:
        if found and start - found[-1][1] < pause:
            first = found[-1][0]
            if stop - first <= longest:
                found[-1] = (first, stop)
                continue
        found.append((start, stop))
    return found


def cut(
    stretches: Iterable[tuple[int, int]], n_samples: int, limits: Limits
) -> list[Window]:
    """Cuts stretches of speech into windows; one each where it fits.

    Windows of one stretch overlap, and begin whole steps apart: their frames
    are those of the stretch.

    Arguments
    ---------
    stretches : iterable of tuple of int
        Where each begins and ends; too short ones are widened.
    n_samples : int
        Of the whole audio.

    Example
    -------
    >>> stretches = [(0, 50), (100, 320)]
    >>> for window in cut(stretches, 400, Limits(100, 100, 60, 15, step=10)):
    ...     print(*window)
    0 60 True
    100 200 False
    140 240 False
    180 280 False
    220 320 True
    """
    found = []
    for start, stop in stretches:
        start = max(0, min(start, n_samples - limits.shortest))
        stop = min(n_samples, max(stop, start + limits.shortest))
        starts = _starts(stop - start, limits)
        ends = [start + first + limits.longest for first in starts[:-1]]
        found += [
            Window(start + first, end, end == stop)
            for first, end in zip(starts, [*ends, stop])
        ]
    return found


def quietest(samples: np.ndarray, rate: int) -> int:
    """The middle of the softest `QUIET` seconds, a place to cut.

    Arguments
    ---------
    samples : numpy.ndarray
        [S].

    Example
    -------
    >>> samples = np.random.default_rng(0).standard_normal(32000)
    >>> samples[16000:20000] *= 0.01
    >>> abs(quietest(samples, 16000) - 18000) < 0.1 * 16000
    True
    """
    if len(samples) <= QUIET * rate:
        return len(samples) // 2
    power = 10 ** (levels(samples, rate) / 10)
    width = min(len(power), round(QUIET / HOP))
    means = np.lib.stride_tricks.sliding_window_view(power, width).mean(axis=1)
    middle = (int(means.argmin()) + (width - 1) / 2) * HOP + FRAME / 2
    return min(round(middle * rate), len(samples))


def _starts(length: int, limits: Limits) -> list[int]:
    """Where the windows of a stretch begin, evenly, from its start."""
    longest, context, step = limits.longest, limits.context, limits.step
    if length <= longest:
        return [0]
    rest = length - longest + step - 1  # the last begins on a step, too
    stride = max(step, longest - 2 * context - step)
    n = -(-rest // stride)
    return [k * rest // n // step * step for k in range(n + 1)]


def batches(
    windows: Iterable[Window], rate: int, seconds: float = BATCH
) -> Iterator[list[Window]]:
    """Windows in their order, as many at once as make a batch.

    Arguments
    ---------
    seconds : float
        Of a batch, padding included, s; a longer window is one by itself.

    Example
    -------
    >>> windows = [Window(0, 40, True), Window(50, 70, True)]
    >>> [len(batch) for batch in batches([*windows, *windows], rate=2)]
    [3, 1]
    >>> [len(b) for b in batches([*windows, *windows], 2, seconds=40)]
    [2, 2]
    """
    batch: list[Window] = []
    widest = 0
    for window in windows:
        widest = max(widest, window.stop - window.start)
        if batch and widest * (len(batch) + 1) > seconds * rate:
            yield batch
            batch, widest = [], window.stop - window.start
        batch.append(window)
    if batch:
        yield batch


def kept_frames(
    windows: Sequence[Window], blanks: Sequence[np.ndarray], step: int
) -> list[slice]:
    """What to keep of the frames of a stretch's windows, to join them.

    Each frame of the stretch is kept of one window. Two windows are parted in
    the middle half of what both have seen, where both together are surest
    that no token begins: none is cut, or said twice.

    Arguments
    ---------
    blanks : sequence of numpy.ndarray
        Of each window the blank's log-probabilities, [T'].

    Returns
    -------
    list of slice
        Frames of each window. One after another they are the stretch's.

    Example
    -------
    >>> windows = [Window(0, 8, False), Window(4, 12, True)]
    >>> surest_in_6 = [np.zeros(8), np.array([-2.0, -1, 0, -1, -2, 0, 0, 0])]
    >>> kept_frames(windows, surest_in_6, step=1)
    [slice(0, 6, None), slice(2, 8, None)]
    """
    firsts, lasts = [0], []
    for left, right, a, b in zip(windows, windows[1:], blanks, blanks[1:]):
        offset = (right.start - left.start) // step
        n = len(a) - offset  # frames of both
        lo, hi = n // 4, max(n // 4 + 1, n - n // 4)
        seam = lo + int((a[offset + lo : offset + hi] + b[lo:hi]).argmax())
        lasts.append(offset + seam)
        firsts.append(seam)
    return [slice(*ends) for ends in zip(firsts, [*lasts, len(blanks[-1])])]
