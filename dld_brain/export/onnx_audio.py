"""What an exported model listens to, and what it says; no torch."""

import itertools
from collections.abc import Callable, Iterator
from typing import Optional

import numpy as np

from dld_brain.audio.checks import LONGEST
from dld_brain.audio.decode import decode
from dld_brain.audio.window_limits import BATCH, Limits
from dld_brain.audio.windows import Window, batches, find_windows, kept_frames


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
    encode: Callable[[list[np.ndarray]], list[np.ndarray]],
    samples: np.ndarray,
    limits: Limits,
    sample_rate: int,
    blank_id: int,
    name: str,
    vad: Optional[str] = "energy",
    batch_seconds: float = BATCH,
) -> Iterator[np.ndarray]:
    """Encodes each stretch of speech of an audio, in batches of windows.

    Arguments
    ---------
    encode : callable
        Samples of windows, [s] each -> their log-probabilities, [T', V] each.
    samples : numpy.ndarray
        [S].
    sample_rate : int
        Hz.
    name : str
        What a warning calls the audio.
    vad : str, optional
        See `vad.find_speech`.
    batch_seconds : float
        Of a batch, padding included, s.

    Returns
    -------
    iterator of numpy.ndarray
        Log-probabilities of each, [T', V]; none without speech.

    Example
    -------
    >>> import warnings
    >>> limits = Limits(4, 4, 1, 1, step=1)
    >>> def encode(windows):  # a frame a sample, two tokens
    ...     return [np.stack([samples, -samples], 1) for samples in windows]
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     (out,) = stretches(encode, np.arange(9), limits, 9, 0, "a", None)
    >>> out[:, 0]
    array([0, 1, 2, 3, 4, 5, 6, 7, 8])
    """
    held: list[tuple[Window, np.ndarray]] = []
    windows = find_windows(samples, sample_rate, limits, name, vad)
    for group in batches(windows, sample_rate, batch_seconds):
        outs = encode([samples[w.start : w.stop] for w in group])
        for window, out in zip(group, outs):
            held.append((window, out))
            if window.is_last:
                yield _joined(held, limits.step, blank_id)
                held = []


def _joined(
    held: list[tuple[Window, np.ndarray]], step: int, blank_id: int
) -> np.ndarray:
    """The log-probabilities of a stretch, of those of its windows."""
    blanks = [out[:, blank_id] for _, out in held]
    kept = kept_frames([window for window, _ in held], blanks, step)
    return np.concatenate([out[part] for (_, out), part in zip(held, kept)])


def greedy(log_probs: np.ndarray, blank_id: int) -> list[int]:
    """Likeliest token of each frame, repeats and blanks taken out.

    Arguments
    ---------
    log_probs : numpy.ndarray
        [T, V].
    """
    best = [token for token, _ in itertools.groupby(log_probs.argmax(-1))]
    return [int(token) for token in best if token != blank_id]
