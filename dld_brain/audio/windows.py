"""Long audio in windows, and what a model says of them put together again.

Pure functions without torch, of files, streams and batches of many files
alike. Positions and lengths are samples.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Optional

import numpy as np

from dld_brain.audio.checks import warn
from dld_brain.audio.vad import LONG_PAUSE, PAUSE, find_speech

#: Longest window, s.
LONGEST = 20.0
#: What of a window is context alone on either side: so many seconds at most,
#: and no more than this share of it.
CONTEXT, CONTEXT_SHARE = 2.0, 1 / 6
#: Windows of one batch, padding included, s.
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
    """

    whole: int
    longest: int
    shortest: int
    context: int
    step: int


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


def limits(
    longest_utterance: Optional[float], rate: int, shortest: int, step: int
) -> Limits:
    """Limits of a model by the longest utterance of its training, s.

    At least 1 s, and `LONGEST` where that is less or not known.

    Example
    -------
    >>> limits(6.0, 16000, shortest=960, step=640)
    Limits(whole=96000, longest=96000, shortest=960, context=16000, step=640)
    """
    seconds = min(LONGEST, max(1.0, longest_utterance or LONGEST))
    context = min(CONTEXT, CONTEXT_SHARE * seconds)
    longest = max(round(seconds * rate), shortest, 8 * step)
    whole = max(longest, round((longest_utterance or 0) * rate))
    return Limits(whole, longest, shortest, round(context * rate), step)


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
        return cut(speech, n_samples, limits._replace(longest=limits.whole))
    windows = cut(speech, n_samples, limits)
    warn(
        f"{name}: its {n_samples / rate:.1f} s are longer than what the model "
        f"was trained on ({limits.whole / rate:.1f} s): encoded in "
        f"{len(windows)} windows of {len(speech)} stretches of speech"
    )
    return windows


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


def _starts(length: int, limits: Limits) -> list[int]:
    """Where the windows of a stretch begin, evenly, from its start."""
    _, longest, _, context, step = limits
    if length <= longest:
        return [0]
    rest = length - longest + step - 1  # the last begins on a step, too
    stride = max(step, longest - 2 * context - step)
    n = -(-rest // stride)
    return [k * rest // n // step * step for k in range(n + 1)]


def batches(windows: Iterable[Window], rate: int) -> Iterator[list[Window]]:
    """Windows in their order, as many at once as make a batch.

    Example
    -------
    >>> windows = [Window(0, 40, True), Window(50, 70, True)]
    >>> [len(batch) for batch in batches([*windows, *windows], rate=2)]
    [3, 1]
    """
    batch: list[Window] = []
    widest = 0
    for window in windows:
        widest = max(widest, window.stop - window.start)
        if batch and widest * (len(batch) + 1) > BATCH * rate:
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
