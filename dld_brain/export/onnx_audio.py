"""What an exported model listens to: checked audio, in windows; no torch."""

from collections.abc import Callable, Iterator
from typing import Optional

import numpy as np

from dld_brain.audio.checks import LONGEST
from dld_brain.audio.decode import decode
from dld_brain.audio.window_limits import Limits
from dld_brain.audio.windows import Window, find_windows, kept_frames


def read_audio(
    path: str, limits: Limits, sample_rate: int, max_seconds: float = LONGEST
) -> np.ndarray:
    """Reads a file as mono, and checks it.

    Arguments
    ---------
    sample_rate : int
        The rate that it must have, Hz.
    max_seconds : float
        The longest that is read, s.

    Returns
    -------
    numpy.ndarray
        Samples, [S].
    """
    samples, rate = decode(path, max_seconds=max_seconds)
    if rate != sample_rate:
        raise ValueError(
            f"{path} must have {sample_rate} Hz, but has {rate}: "
            f"`ffmpeg -i in.wav -ar {sample_rate} out.wav`"
        )
    if len(samples) < limits.shortest:
        raise ValueError(
            f"{path} must have at least {limits.shortest} samples, but has "
            f"{len(samples)}"
        )
    return samples


def stretches(
    encode: Callable[[np.ndarray], np.ndarray],
    samples: np.ndarray,
    limits: Limits,
    sample_rate: int,
    blank_id: int,
    name: str,
    vad: Optional[str] = "energy",
) -> Iterator[np.ndarray]:
    """Encodes each stretch of speech of an audio, window by window.

    Arguments
    ---------
    encode : callable
        Samples [s] -> log-probabilities [T', V].
    samples : numpy.ndarray
        [S].
    sample_rate : int
        Hz.
    name : str
        What a warning calls the audio.
    vad : str, optional
        See `vad.find_speech`.

    Returns
    -------
    iterator of numpy.ndarray
        Log-probabilities of each, [T', V]; none without speech.

    Example
    -------
    >>> import warnings
    >>> limits = Limits(4, 4, 1, 1, step=1)
    >>> def encode(samples):  # a frame a sample, two tokens
    ...     return np.stack([samples, -samples], 1)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     (out,) = stretches(encode, np.arange(9), limits, 9, 0, "a", None)
    >>> out[:, 0]
    array([0, 1, 2, 3, 4, 5, 6, 7, 8])
    """
    held: list[tuple[Window, np.ndarray]] = []
    for window in find_windows(samples, sample_rate, limits, name, vad):
        held.append((window, encode(samples[window.start : window.stop])))
        if window.is_last:
            blanks = [out[:, blank_id] for _, out in held]
            kept = kept_frames([w for w, _ in held], blanks, limits.step)
            yield np.concatenate([x[part] for (_, x), part in zip(held, kept)])
            held = []
