"""The files of a stock SpeechBrain model: tensors, and nothing else."""

import pickle
from pathlib import Path
from typing import Any

import huggingface_hub
import torch

from dld_brain.files import hub
from dld_brain.model_folder.stock_yaml import StockTree


def fetch(source: str, name: str) -> Path:
    """A file of a folder, or of the Hub.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    if Path(source).is_dir():
        path = Path(source, name)
        if not path.is_file():
            raise FileNotFoundError(
                f"{source} must hold a SpeechBrain model, but has no {name}"
            )
        return path
    if not hub.is_of_hub(source):
        raise FileNotFoundError(
            f"`model` must be a folder, or owner/name of the Hub, but "
            f"{Path(source).absolute()} is no folder"
        )
    hub.ask(source, name)
    where = hub.address(source)
    return Path(
        hub.told(lambda: huggingface_hub.hf_hub_download(source, name), where)
    )


def _load(path: Path) -> Any:
    """Tensors of a file; no other object is made.

    Raises
    ------
    ValueError
        If it holds others.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, OSError, EOFError, KeyError) as error:
        text = " ".join(str(error).split())[:160]
    except pickle.UnpicklingError:
        text = "it is damaged, or holds other objects"
    raise ValueError(f"{path} must hold tensors alone: {text}") from None


def fill(tree: StockTree, module: Any, path: Path, name: str) -> None:
    """Gives a module the weights of a file, as SpeechBrain would.

    Arguments
    ---------
    module : torch.nn.Module
        On the device `meta`; what the file lacks stays there.
    name : str
        That the pretrainer has for it.

    Raises
    ------
    ValueError
        If they do not fit.
    """
    state = _load(path)
    if not isinstance(state, dict):
        raise ValueError(f"{path} must hold weights by name, but does not")
    state = {
        k: v.float() if v.is_floating_point() else v
        for k, v in state.items()
        if isinstance(v, torch.Tensor)
    }
    try:
        module.load_state_dict(state, strict=False, assign=True)
    except (RuntimeError, AttributeError) as error:
        lines = str(error).strip().splitlines()
        raise tree.error(
            f"`{name}` must be what {path.name} holds, but "
            f"{lines[min(1, len(lines) - 1)].strip()[:160]}"
        ) from None


def read_statistics(path: Path, n_mels: int) -> dict[str, Any]:
    """Those of the features.

    Raises
    ------
    ValueError
        If they are of others, or not finite.
    """
    found = _load(path)
    keys = ("count", "glob_mean", "glob_std")
    if not isinstance(found, dict) or any(key not in found for key in keys):
        raise ValueError(f"{path} must hold {', '.join(keys)}, but does not")
    count, *both = (torch.as_tensor(found[key]) for key in keys)
    fits = all(v.shape == (n_mels,) and v.isfinite().all() for v in both)
    if not fits or count.numel() != 1 or int(count) < 1 or (both[1] < 0).any():
        raise ValueError(
            f"{path} must hold finite statistics of {n_mels} features, but does "
            f"not"
        )
    both = [value.float() for value in both]
    return {"count": int(count), **dict(zip(keys[1:], both))}
