"""Files of a Hugging Face Whisper, read as data: JSON, and weights."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
#: What is fetched of weights: one file, or some and what says which.
SHARDS = (WEIGHTS, INDEX, "model-*-of-*.safetensors")
#: Where it is told what audio a model hears, by version of transformers.
OF_AUDIO = ("preprocessor_config.json", "processor_config.json")
#: A tensor of either half, by which it is found.
FIRST = {"encoder": "conv1.weight", "decoder": "embed_tokens.weight"}


def has_weights(folder: Path) -> bool:
    """Whether a folder holds weights, in one file or in some."""
    return any((folder / name).is_file() for name in (WEIGHTS, INDEX))


def read_object(path: Path) -> dict[str, Any]:
    """Reads an object of JSON.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be a configuration: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(
            f"{path} must be a configuration, an object of JSON, but is a "
            f"{type(found).__name__}"
        )
    return found


class Weights(Mapping[str, torch.Tensor]):
    """Tensors of one half of a Whisper, each read when it is asked for.

    Arguments
    ---------
    folder : Path
        That of `model.safetensors`, or of its parts and their index.
    half : str
        encoder or decoder.

    Raises
    ------
    ValueError
        If a file cannot be read, or there is no such half.
    """

    def __init__(self, folder: Path, half: str = "encoder") -> None:
        where, first = _where(folder), FIRST[half]
        # WhisperForConditionalGeneration, WhisperModel, WhisperEncoder
        prefixes = (f"model.{half}.", f"{half}.", "")
        found = [p for p in prefixes if f"{p}{first}" in where]
        if not found:
            raise ValueError(
                f"the weights in {folder} must hold the {half} of a "
                f"Whisper, but lack {first}"
            )
        self._places = {
            name.removeprefix(found[0]): (file, name)
            for name, file in where.items()
            if name.startswith(found[0])
        }

    def __getitem__(self, name: str) -> torch.Tensor:
        file, theirs = self._places[name]
        return file.get_tensor(theirs)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def has_own_output(folder: Path) -> bool:
    """Whether tokens come out by another table than they go in by.

    What untied them may have left them equal, as fine-tuning of the encoder
    alone does.
    """
    where, name = _where(folder), "proj_out.weight"
    if name not in where:
        return False
    table = Weights(folder, "decoder")[FIRST["decoder"]]
    return not torch.equal(where[name].get_tensor(name), table)


def _where(folder: Path) -> dict[str, Any]:
    """The open file of each tensor."""
    files = [_opened(path) for path in _paths(folder)]
    return {name: file for file in files for name in file.keys()}


def _paths(folder: Path) -> list[Path]:
    """The files of the weights: the one, or those that the index names."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / INDEX
    told = read_object(index).get("weight_map")
    names = sorted(set(told.values())) if isinstance(told, dict) else []
    # Names are of this folder: an index is data of somebody else.
    if not names or any(Path(str(name)).name != name for name in names):
        raise ValueError(
            f"`weight_map` of {index} must name files beside it, but does not"
        )
    return [folder / name for name in names]


def _opened(path: Path) -> Any:
    """A file of tensors."""
    try:
        return safetensors.safe_open(str(path), framework="pt")
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
