"""Reads audio: the one place that does, whatever it is.

SpeechBrain's audio_io reads with soundfile; what it raises becomes one line.
"""

import os
from collections.abc import Mapping
from io import IOBase
from numbers import Integral
from pathlib import Path
from typing import Any, BinaryIO, Optional, Union

import numpy as np
import torch

from speechbrain.dataio import audio_io

#: What can be read.
Audio = Union[str, Path, BinaryIO, np.ndarray, torch.Tensor, Mapping]


def read_file(
    path: Union[str, Path], start: int = 0, stop: Optional[int] = None
) -> tuple[torch.Tensor, int]:
    """Reads an audio file, or a segment of it.

    Arguments
    ---------
    start, stop : int
        First sample, and the one behind the last, at the file's own rate;
        to its end if not given.

    Returns
    -------
    tuple
        Samples [S, channels] and their rate in Hz.

    Raises
    ------
    ValueError
        If it is no audio, or holds no samples there.

    Example
    -------
    >>> read_file("nowhere.wav")
    Traceback (most recent call last):
    ...
    FileNotFoundError: audio file nowhere.wav does not exist
    """
    n_frames = -1 if stop is None else stop - start
    return _load(_checked_path(path), str(path), start, n_frames)


def read_audio(
    audio: Audio, sampling_rate: Optional[int] = None
) -> tuple[torch.Tensor, int]:
    """Reads audio, whatever it is.

    Arguments
    ---------
    audio : str, Path, file object, array, tensor or mapping
        A file that soundfile reads (wav, flac, ogg, mp3, sph, ...), one
        that is open; samples [S] or [S, channels] with their rate; or
        a mapping of `array` and `sampling_rate`, as Hugging Face's datasets
        give it.
    sampling_rate : int, optional
        Of samples, Hz.

    Returns
    -------
    tuple
        Samples [S, channels] and their rate in Hz.

    Raises
    ------
    TypeError
        If it is nothing of the above.
    ValueError
        If it is no audio, or holds no samples; or has no rate.
    """
    if isinstance(audio, Mapping) and {"array", "sampling_rate"} <= set(audio):
        return _samples(audio["array"], audio["sampling_rate"])
    if isinstance(audio, (np.ndarray, torch.Tensor)):
        return _samples(audio, sampling_rate)
    if isinstance(audio, (str, Path)):
        return read_file(audio)
    if isinstance(audio, IOBase):
        return _load(audio, "the open file")
    raise TypeError(
        f"audio must be a path, an open file, samples with their "
        f"`sampling_rate`, or a mapping of `array` and `sampling_rate`, but "
        f"is a {type(audio).__name__}"
    )


def _samples(
    samples: Any, sampling_rate: Optional[int]
) -> tuple[torch.Tensor, int]:
    """Samples [S] or [S, channels] -> [S, channels], and their rate."""
    if sampling_rate is None:
        raise ValueError(
            "`sampling_rate` must be given with samples (Hz), but is not"
        )
    if isinstance(sampling_rate, bool) or not (
        isinstance(sampling_rate, Integral) and sampling_rate > 0
    ):
        raise ValueError(
            f"`sampling_rate` must be a whole number of Hz, but is "
            f"{sampling_rate!r}"
        )
    found = torch.as_tensor(samples)
    if found.ndim not in (1, 2) or len(found) == 0:
        raise ValueError(
            f"samples must have shape [S] or [S, channels], but have "
            f"{list(found.shape)}"
        )
    if not found.is_floating_point():
        raise ValueError(
            f"samples must be floats in [-1, 1], but are {found.dtype}: "
            f"divide 16-bit ones by 32768"
        )
    return found.float().reshape(len(found), -1), int(sampling_rate)


def _checked_path(path: Union[str, Path]) -> Union[str, bytes]:
    """The path of a file that is there and holds something."""
    file = Path(path).expanduser()
    if file.is_dir():
        raise ValueError(f"{path} must be an audio file, but is a directory")
    if not file.is_file():
        raise FileNotFoundError(f"audio file {path} does not exist")
    if file.stat().st_size == 0:
        raise ValueError(f"audio file {path} is empty")
    # soundfile encodes strictly: a name need not be text, but on Windows.
    return os.fsencode(file) if os.name == "posix" else str(file)


def _load(
    file: Any, name: str, start: int = 0, n_frames: int = -1
) -> tuple[torch.Tensor, int]:
    """Reads a file, closed or open, or a part of it."""
    try:
        samples, rate = audio_io.load(
            file,
            frame_offset=start,
            num_frames=n_frames,
            channels_first=False,
        )
    except RuntimeError:  # soundfile's errors are
        raise ValueError(
            f"{name} must be audio that soundfile reads (wav, flac, ogg, "
            f"mp3, ...), but is not"
        ) from None
    if len(samples) == 0:
        raise ValueError(f"audio file {name} holds no samples")
    return samples, rate
