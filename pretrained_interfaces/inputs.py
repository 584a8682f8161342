"""Checks what users give, before any work starts."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union
from urllib.request import url2pathname

import torch

from dld_brain.files.console import escaped
from dld_brain.files.hub import is_of_hub
from dld_brain.files.whole import recover
from pretrained_interfaces.remote import fetch_audio

#: Samples looked at at once: `isfinite` takes 7 bytes for each.
PIECE = 2**20


def local_path(path: Union[str, Path]) -> Path:
    """The path that is meant: `~` is the home folder, file:// this machine.

    Raises
    ------
    ValueError
        If a file:// URL names another machine.

    Example
    -------
    >>> local_path("file:///tmp/a%20b.wav")
    PosixPath('/tmp/a b.wav')
    """
    text = str(path)
    if isinstance(path, str) and text[:7].lower() == "file://":
        host, slash, rest = text[7:].partition("/")
        if host not in ("", "localhost"):
            raise ValueError(
                f"a file:// URL must name a file of this machine "
                f"(file:///folder/file), but is {escaped(text, 200)}"
            )
        text = url2pathname(slash + rest)
    return Path(os.path.expanduser(text))


def check_source(source: Union[str, Path]) -> str:
    """Tells a folder from a Hub id without asking the network.

    A string `owner/name` is of the Hub if there is neither such a folder nor
    `owner`; everything else is local.

    Arguments
    ---------
    source : str or Path
        A folder, or `owner/name` on the Hugging Face Hub.

    Returns
    -------
    str
        The source; `~` stands for the home folder.

    Raises
    ------
    FileNotFoundError
        If it can only be a folder, and is none.

    Example
    -------
    >>> check_source("results/dld/pretrained")
    Traceback (most recent call last):
    ...
    FileNotFoundError: `source` must be a folder, or owner/name of ...
    """
    path = local_path(source)
    if os.path.isdir(path.parent):  # also of a name that is too long
        recover(path)
    if os.path.isdir(path):
        return str(path)
    if is_of_hub(source):
        return source
    looked_at = escaped(os.path.abspath(path), 200)
    raise FileNotFoundError(
        f"`source` must be a folder, or owner/name of the Hugging Face Hub, "
        f"but {looked_at} is no folder: give the folder `pretrained` of a "
        f"finished run"
    )


def find_audio(audio: Any, savedir: Union[str, Path, None] = None) -> Any:
    """What `read_audio` reads: a path becomes that of a file which is there.

    Only http(s):// URLs and hub:owner/name/file leave this machine.

    Arguments
    ---------
    savedir : str or Path, optional
        Cache of what is fetched from the Hub.

    Raises
    ------
    FileNotFoundError
        If there is no such file; names the path that was looked at.

    Example
    -------
    >>> find_audio("dta/clip.wav")
    Traceback (most recent call last):
    ...
    FileNotFoundError: audio file dta/clip.wav does not exist: looked ...
    """
    if not isinstance(audio, (str, Path)):
        return audio
    found = fetch_audio(audio, savedir) if isinstance(audio, str) else None
    if found is not None:
        return found
    path = local_path(audio).absolute()  # libsndfile reads stdin for "-"
    if not os.path.lexists(path):
        raise FileNotFoundError(
            f"audio file {escaped(audio, 120)} does not exist: looked for "
            f"{escaped(path, 240)}"
        )
    return path


def is_batch(audio: Any, args: Sequence[Any], kwargs: Mapping) -> bool:
    """Whether a call is SpeechBrain's: waveforms [B, S] and their lengths."""
    has_lengths = "wav_lens" in kwargs or (
        bool(args) and isinstance(args[0], torch.Tensor)
    )
    return isinstance(audio, torch.Tensor) and has_lengths


def check_batch(
    wavs: torch.Tensor,
    wav_lens: torch.Tensor,
    min_samples: int,
    sample_rate: int,
) -> None:
    """Checks a batch of waveforms.

    Arguments
    ---------
    wavs : torch.Tensor
        Waveforms, [B, S].
    wav_lens : torch.Tensor
        Lengths relative to S, [B], in (0, 1].
    min_samples : int
        The shortest audio that can be encoded.
    sample_rate : int
        Rate of the audio, Hz.

    Raises
    ------
    ValueError
        If a shape, a length or a sample is not what it must be.

    Example
    -------
    >>> check_batch(torch.zeros(1, 100), torch.ones(1), 960, 16000)
    Traceback (most recent call last):
    ...
    ValueError: audio must have at least 960 samples (0.06 s), but has 100
    """
    for name, value in (("wavs", wavs), ("wav_lens", wav_lens)):
        if not isinstance(value, torch.Tensor):
            raise TypeError(
                f"`{name}` must be a torch.Tensor, but is a "
                f"{type(value).__name__}: use torch.as_tensor({name})"
            )
    if wavs.ndim != 2 or wavs.shape[0] == 0 or not wavs.is_floating_point():
        raise ValueError(
            f"`wavs` must have shape [B, S] and floats in [-1, 1], but has "
            f"shape {list(wavs.shape)} and {wavs.dtype}"
        )
    if wav_lens.shape != wavs.shape[:1]:
        raise ValueError(
            f"`wav_lens` must have one entry for each of the "
            f"{len(wavs)} waveforms, but has shape {list(wav_lens.shape)}"
        )
    if not ((wav_lens > 0) & (wav_lens <= 1)).all():
        raise ValueError(
            f"`wav_lens` must be relative to the longest waveform, in "
            f"(0, 1], but is {wav_lens.tolist()}"
        )
    shortest = round(float(wav_lens.min()) * wavs.shape[1])
    if shortest < min_samples:
        raise ValueError(
            f"audio must have at least {min_samples} samples "
            f"({min_samples / sample_rate:g} s), but has {shortest}"
        )
    pieces = wavs.split(PIECE, dim=1)
    found = [piece.isfinite().all(dim=1) for piece in pieces]
    is_finite = torch.stack(found).all(dim=0)
    if not is_finite.all():
        bad = (~is_finite).nonzero().flatten().tolist()
        raise ValueError(
            f"audio must be finite, but utterance {bad[0]} of {len(wavs)} "
            f"(counted from 0) has NaN or infinite samples"
        )


def check_features(feats: torch.Tensor, wavs: torch.Tensor) -> None:
    """Raises for features that are no numbers.

    Arguments
    ---------
    feats : torch.Tensor
        [B, T, F].
    wavs : torch.Tensor
        What they are of, [B, S].

    Raises
    ------
    ValueError
        If one is NaN or infinite.
    """
    is_finite = torch.isfinite(feats).flatten(1).all(dim=1)
    if not is_finite.all():
        bad = (~is_finite).nonzero().flatten().tolist()
        raise ValueError(
            f"features must be finite, but utterance {bad[0]} of "
            f"{len(feats)} (counted from 0) has NaN or infinite values: "
            f"`wavs` must be in [-1, 1], but reach "
            f"{float(wavs.abs().max()):.3g}"
        )
