"""Checks what users give, before any work starts."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union

import torch

from dld_brain.files.whole import recover
from dld_brain.model_folder import manifest
from speechbrain.utils.fetching import FetchConfig, LocalStrategy, fetch

#: What the Hugging Face hub calls a repository: owner/name.
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def check_source(source: Union[str, Path]) -> str:
    """Tells a folder from a hub id without asking the network.

    Arguments
    ---------
    source : str or Path
        A folder, `owner/name` on the hub, or a URL.

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
    FileNotFoundError: `source` must be a folder or a Hugging Face id ...
    """
    text = str(source)
    path = Path(text).expanduser()
    recover(path)
    if path.is_dir():
        return str(path)
    is_hub_id = HUB_ID.fullmatch(text) and not path.parent.is_dir()
    if "://" in text or (is_hub_id and isinstance(source, str)):
        return text
    raise FileNotFoundError(
        f"`source` must be a folder or a Hugging Face id (owner/name), but "
        f"{text} is no folder: give the folder `pretrained` of a finished run"
    )


def fetch_folder(
    source: str,
    savedir: Union[str, Path, None],
    local_strategy: LocalStrategy,
    fetch_config: FetchConfig,
) -> str:
    """Fetches the files that a model's manifest names, and no others.

    Arguments
    ---------
    source : str
        `owner/name` on the hub, or a URL.

    Returns
    -------
    str
        The folder that they are in; nothing in it is checked yet.
    """

    def get(name: str) -> Path:
        """Fetches one file."""
        return Path(
            fetch(
                name,
                source,
                savedir=savedir,
                save_filename=None,
                local_strategy=local_strategy,
                fetch_config=fetch_config,
            )
        )

    path = get(manifest.FILE)
    for name in manifest.read_manifest(path):
        get(name)
    return str(path.parent)


def is_remote(path: Union[str, Path]) -> bool:
    """Whether audio is to be fetched: a URL, or a file of a hub repository.

    Example
    -------
    >>> is_remote("owner/name/example.wav"), is_remote("/data/example.wav")
    (True, False)
    """
    if isinstance(path, Path):
        return False
    first, *rest = path.split("/")
    in_hub = len(rest) >= 2 and first not in ("", "~", ".", "..")
    return "://" in path or (in_hub and not Path(first).exists())


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
    if not torch.isfinite(wavs).all():
        raise ValueError(
            "audio must be finite, but has NaN or infinite samples"
        )
