"""Where a Whisper comes from: the Hub, a folder of it, or faster-whisper's.

Configuration and weights are read as data; transformers is not needed.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, Optional

import huggingface_hub
import torch
from torch import nn

from dld_brain.encoder.family import Body
from dld_brain.encoder.whisper.config import KEYS, N_POSITIONS, WhisperConfig
from dld_brain.encoder.whisper.ctranslate2 import read_encoder
from dld_brain.encoder.whisper.files import (
    OF_AUDIO,
    SHARDS,
    WEIGHTS,
    Weights,
    has_weights,
    read_object,
)
from dld_brain.files.hub import address, ask, is_of_hub, is_silent, told

CONFIG, CT2 = "config.json", "model.bin"
#: What a decoder that is kept needs beside them.
OF_DECODER = ("generation_config.json", "tokenizer.json", *OF_AUDIO)
#: What of Hugging Face's configuration is one and the same in all Whispers.
FIXED = {
    "model_type": "whisper",
    "activation_function": "gelu",
    "max_source_positions": N_POSITIONS,
    "scale_embedding": False,
}


class Source(NamedTuple):
    """A Whisper that was found.

    Arguments
    ---------
    weights : mapping of str to torch.Tensor
        Of its encoder, by Hugging Face's names; none without a source.
    folder : Path, optional
        Where it is on this machine.
    """

    name: Optional[str]
    config: WhisperConfig
    weights: Mapping[str, torch.Tensor]
    folder: Optional[Path] = None


def find_source(source: Optional[str], changes: Mapping[str, Any]) -> Source:
    """Finds a Whisper, and changes its configuration.

    Arguments
    ---------
    source : str, optional
        A folder, else a Hub id.
    changes : mapping
        What differs from its configuration; without a source, the whole.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is another model, or a change is no setting of an encoder.

    Example
    -------
    >>> find_source(None, {"d_model": 64, "auto_map": "x"})
    Traceback (most recent call last):
    ...
    ValueError: `config` must have settings of a Whisper's encoder ...'auto_map'
    """
    for key in changes:
        if key not in KEYS:
            raise ValueError(
                f"`config` must have settings of a Whisper's encoder "
                f"({', '.join(KEYS)}), but has {key!r}"
            )
    if source is None:
        return Source(None, WhisperConfig(**changes), {})
    found = _read(source)
    return found._replace(config=replace(found.config, **changes))


def full_config(source: Optional[str], changes: Mapping[str, Any]) -> dict:
    """The whole configuration, which makes the model without its source."""
    return asdict(find_source(source, changes).config)


@torch.no_grad()
def load_source(found: Source, body: Body) -> None:
    """Gives an encoder the weights of a source; of its layers, the first.

    Raises
    ------
    ValueError
        If it has more layers than there are, or others.
    """
    weights, n_total = found.weights, len(body.layers)
    n_layers = sum(name.endswith(".fc1.bias") for name in weights)
    if n_total > n_layers:
        raise ValueError(
            f"`n_total` must be at most {n_layers}, the layers of "
            f"{found.name}, but is {n_total}"
        )
    parts = {f"layers.{i}.": layer for i, layer in enumerate(body.layers)}
    parts |= {"layer_norm.": body.norm}
    parts |= {"conv1.": body.stem.conv1, "conv2.": body.stem.conv2}
    try:
        for prefix, part in parts.items():
            names = part.state_dict()
            part.load_state_dict({n: weights[f"{prefix}{n}"] for n in names})
        body.stem.positions.copy_(weights["embed_positions.weight"])
    except (KeyError, RuntimeError) as error:
        raise ValueError(
            f"the weights of {found.name} do not fit its configuration: "
            f"{' '.join(str(error).split())}"
        ) from None


@torch.no_grad()
def load_decoder(found: Source, decoder: nn.Module) -> None:
    """Gives a decoder the weights of a source.

    Raises
    ------
    ValueError
        If the source is faster-whisper's, or has other sizes.
    """
    if not has_weights(found.folder):
        raise ValueError(
            f"the model must be a Whisper of Hugging Face where the decoder is "
            f"kept, but {found.name} is faster-whisper's: give the model that "
            f"it was made of"
        )
    weights = Weights(found.folder, "decoder")
    try:
        names = decoder.state_dict()
        decoder.load_state_dict({name: weights[name] for name in names})
    except (KeyError, RuntimeError) as error:
        raise ValueError(
            f"the decoder of {found.name} does not fit its configuration: "
            f"{' '.join(str(error).split())}"
        ) from None


def _read(source: str) -> Source:
    """Reads a folder, or what the Hub has of that name."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if not is_of_hub(source):
            raise FileNotFoundError(
                f"the model must be a folder that holds a Whisper, or "
                f"owner/name of the Hugging Face Hub, but {folder.absolute()} "
                f"is no folder"
            )
        folder = _fetched(source)
    if (folder / CT2).is_file() and not has_weights(folder):
        weights, n_heads = read_encoder(folder / CT2)
        return Source(source, _sizes(weights, n_heads), weights, folder)
    if (folder / CONFIG).is_file():  # another kind of model is named first
        config = _read_config(folder / CONFIG)
        if has_weights(folder):
            return Source(source, config, Weights(folder), folder)
    if has_weights(folder):
        raise FileNotFoundError(
            f"{source} must hold a Whisper, but has no {CONFIG} beside its "
            f"weights: copy it from the model that they are of"
        )
    raise FileNotFoundError(
        f"{source} must hold {WEIGHTS} of a Whisper, or {CT2} of "
        f"faster-whisper, but has neither: write it with transformers' "
        f"WhisperModel.from_pretrained(...).save_pretrained(...)"
    )


def _fetched(source: str) -> Path:
    """The folder of the Hub's cache that a model is fetched into."""
    try:
        is_cached = ask(source, CONFIG) and is_silent(source, CONFIG)
        found = told(lambda: _snapshot(source, is_cached), address(source))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"the model must be a folder that holds a Whisper, or an id that "
            f"can be fetched, but {source} is no folder and was not fetched "
            f"(network, spelling?): {error}"
        ) from None
    return Path(found)


def _snapshot(source: str, is_cached: bool) -> str:
    """Fetches what a Whisper needs; of the cache alone, if it is there."""
    return huggingface_hub.snapshot_download(
        source,
        allow_patterns=[CONFIG, *SHARDS, CT2, *OF_DECODER],
        local_files_only=is_cached,
    )


def _read_config(path: Path) -> WhisperConfig:
    """Reads Hugging Face's config.json."""
    found = read_object(path)
    for key, value in FIXED.items():
        if found.get(key, value if key != "model_type" else None) != value:
            raise ValueError(
                f"{path.parent} must hold a Whisper, whose `{key}` is "
                f"{value!r}, but has {found.get(key)!r}: give a Whisper, or "
                f"start from a CTC model with hparams/pretrained_dld.yaml"
            )
    return WhisperConfig(**{k: found[k] for k in KEYS if k in found})


def _sizes(weights: Mapping[str, torch.Tensor], n_heads: int) -> WhisperConfig:
    """The sizes of CTranslate2's weights, whose config.json has none."""
    d_model, n_mels, _ = weights["conv1.weight"].shape
    return WhisperConfig(
        num_mel_bins=n_mels,
        d_model=d_model,
        encoder_layers=sum(k.endswith(".fc1.bias") for k in weights),
        encoder_attention_heads=n_heads,
        encoder_ffn_dim=len(weights["layers.0.fc1.bias"]),
    )
