"""Reads audio: the one place that does, whatever it is."""

from collections.abc import Callable, Mapping
from io import IOBase
from pathlib import Path
from typing import Any, BinaryIO, Optional, Union

import numpy as np
import torch

from dld_brain.audio import checks
from dld_brain.audio.decode import decode
from dld_brain.audio.resample import resampled
from dld_brain.files.console import escaped
from dld_brain.gates.gates import whole_number

#: What can be read.
Audio = Union[str, Path, BinaryIO, np.ndarray, torch.Tensor, Mapping]


def read_file(
    path: Union[str, Path],
    start: int = 0,
    stop: Optional[int] = None,
    *,
    max_seconds: float = checks.LONGEST,
) -> tuple[torch.Tensor, int]:
    """Reads an audio file, or a segment of it, and checks it.

    Arguments
    ---------
    start, stop : int
        First sample, and the one behind the last, at the file's own rate;
        to its end if not given.
    max_seconds : float
        The longest that is read, s: the header is asked first.

    Returns
    -------
    tuple
        Samples [S, 1], channels mixed, and their rate in Hz: the file's, or
        one that can be resampled (`checks.near_rate`).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no audio, is cut, too long, holds no samples there, or has
        some that are no numbers.

    Example
    -------
    >>> read_file("nowhere.wav")
    Traceback (most recent call last):
    ...
    FileNotFoundError: audio file nowhere.wav does not exist: looked for ...
    """
    samples, rate = decode(path, start, stop, max_seconds)
    return _column(samples, checks.near_rate(rate))


def read_audio(
    audio: Audio,
    sampling_rate: Optional[int] = None,
    *,
    max_seconds: float = checks.LONGEST,
    to_rate: Optional[int] = None,
) -> tuple[torch.Tensor, int]:
    """Reads audio, whatever it is, and checks it.

    Arguments
    ---------
    audio : str, Path, file object, array, tensor or mapping
        A file that soundfile reads (wav, flac, ogg, mp3, sph, ...), one
        that is open; samples [S] or [S, channels] with their rate; or
        a mapping of `array` and `sampling_rate`, as Hugging Face's datasets
        give it. Samples are floats in [-1, 1], or whole numbers: of 16 bits
        as they are, of 32 bits by what they reach (`checks.scaled`).
    sampling_rate : int, optional
        Of samples, Hz.
    max_seconds : float
        The longest that is read, s.
    to_rate : int, optional
        Rate that is wanted, Hz: resampled as it is read; as it is if not
        given.

    Returns
    -------
    tuple
        Samples [S, 1], channels mixed, and their rate in Hz; see
        `read_file`.

    Raises
    ------
    TypeError
        If it is nothing of the above.
    ValueError
        If it is no audio, too long, holds no samples or some that are no
        numbers; or has no rate.
    """
    if isinstance(audio, Mapping) and {"array", "sampling_rate"} <= set(audio):
        audio, sampling_rate = audio["array"], audio["sampling_rate"]
        if isinstance(audio, (list, tuple)):
            audio = _array(audio)
    if isinstance(audio, (np.ndarray, torch.Tensor)):
        return _samples(audio, sampling_rate, max_seconds, to_rate)
    if isinstance(audio, (str, Path, IOBase)):
        samples, rate = decode(
            audio, max_seconds=max_seconds, convert=_converter(to_rate)
        )
        return _column(samples, to_rate or checks.near_rate(rate))
    raise TypeError(
        f"audio must be a path, an open file, samples with their "
        f"`sampling_rate`, or a mapping of `array` and `sampling_rate`, but "
        f"is a {type(audio).__name__}"
    )


def _samples(
    samples: Union[np.ndarray, torch.Tensor],
    sampling_rate: Optional[int],
    max_seconds: float,
    to_rate: Optional[int],
) -> tuple[torch.Tensor, int]:
    """Samples [S] or [S, channels] -> [S, 1], and their rate."""
    rate, found = _rate(sampling_rate), _array(samples)
    if found.ndim not in (1, 2) or found.size == 0:
        raise ValueError(
            f"samples must have shape [S] or [S, channels], but have "
            f"{list(found.shape)}"
        )
    found = found.reshape(len(found), -1)
    if found.shape[1] > len(found):
        raise ValueError(
            f"samples must have shape [S, channels], but have "
            f"{list(samples.shape)}: give their transpose"
        )
    checks.check_seconds(len(found) / rate, max_seconds, "audio")
    found = checks.floats(found, "samples")
    checks.check_finite(found, rate, "audio")
    convert = _converter(to_rate)(rate)
    mono = checks.checked(lambda: iter([found]), "audio", convert)
    return _column(mono, to_rate or checks.near_rate(rate))


def _column(samples: np.ndarray, rate: int) -> tuple[torch.Tensor, int]:
    """Samples [S] -> [S, 1], and their rate."""
    samples = np.require(samples, requirements=["C", "W"])  # as torch has it
    return torch.from_numpy(samples).unsqueeze(1), rate


def _converter(to_rate: Optional[int]) -> Callable[[int], checks.Convert]:
    """By the rate that audio has, what brings it to another."""

    def at(rate: int) -> checks.Convert:
        """Resamples from this rate."""
        if to_rate is None:
            return iter
        near = checks.near_rate(rate)
        return lambda pieces: resampled(pieces, near, to_rate)

    return at


def _rate(sampling_rate: Optional[int]) -> int:
    """The rate that was given with samples, Hz."""
    if sampling_rate is None:
        raise ValueError(
            "`sampling_rate` must be given with samples (Hz), but is not"
        )
    rate = whole_number(sampling_rate)
    if rate is None or rate <= 0:
        raise ValueError(
            f"`sampling_rate` must be a whole number of Hz, but is "
            f"{escaped(repr(sampling_rate), 80)}"
        )
    checks.check_rate(rate, "audio")
    return rate


def _array(samples: Any) -> np.ndarray:
    """Samples of any library, and of a list, as an array of numbers."""
    try:
        if isinstance(samples, torch.Tensor):
            samples = samples.detach().cpu().to_dense()
            wide = samples.float() if samples.is_floating_point() else samples
            return wide.numpy()
        return np.asarray(samples)
    except (TypeError, RuntimeError) as error:  # no memory, quantised, ...
        raise ValueError(
            f"samples must be numbers in memory, but cannot be read: "
            f"{escaped(error, 200)}"
        ) from None
    except ValueError:  # rows of other lengths
        raise ValueError(
            "samples must have shape [S] or [S, channels], but have rows of "
            "other lengths"
        ) from None
