"""Reads a model folder: the one way in, for training, inference and export."""

import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
from hyperpyyaml import load_hyperpyyaml

import dld_brain
from dld_brain.depth_table import (
    FILE as TABLE,
    DepthTable,
)
from dld_brain.files.whole import recover
from dld_brain.model_folder import manifest, safe_yaml
from dld_brain.model_folder.loader import FILES, ModelLoader
from dld_brain.model_folder.weights import MODEL
from dld_brain.tasks import Task

logger = logging.getLogger(__name__)
HPARAMS = "hyperparams.yaml"


class PretrainedModel(NamedTuple):
    """A model read from a folder.

    Arguments
    ---------
    task : Task
        What it was trained for, with its vocabulary.
    table : DepthTable
        Of the layers that are loaded.
    sample_rate : int
        Rate of the audio, Hz.
    """

    modules: dict[str, torch.nn.Module]
    task: Task
    table: DepthTable
    sample_rate: int
    hparams: dict[str, Any]


def check_pretrained(folder: str, hparams_file: str = HPARAMS) -> Path:
    """Raises unless the folder holds a model; brings back one swapped away.

    Raises
    ------
    FileNotFoundError
        If it does not exist, or a file is missing in it.

    Example
    -------
    >>> check_pretrained("nowhere/pretrained")
    Traceback (most recent call last):
    ...
    FileNotFoundError: nowhere/pretrained must hold a trained model, but ...
    """
    path = Path(folder)
    recover(path)
    needed = (hparams_file, *FILES[1:], manifest.FILE)
    missing = [f for f in needed if not (path / f).is_file()]
    if missing:
        state = "lacks " + ", ".join(missing)
        if not path.is_dir():
            state = "does not exist"
        raise FileNotFoundError(
            f"{folder} must hold a trained model, but {state}: give the "
            f"folder `pretrained` of a finished run"
        )
    return path


def load_pretrained(
    folder: str,
    n_layers: Optional[int] = None,
    *,
    hparams_file: str = HPARAMS,
    overrides: Optional[Mapping[str, Any]] = None,
    overrides_must_match: bool = True,
    trust_code: bool = False,
) -> PretrainedModel:
    """Reads a model, strictly, on the CPU; runs no code that it names.

    Arguments
    ---------
    n_layers : int, optional
        Load only the layers that run at this depth; all if not given.
    overrides : mapping, optional
        What the caller changes in hyperparams.yaml; trusted.
    trust_code : bool
        Whether hyperparams.yaml may name any code, which then runs.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or a file of it is missing.
    ValueError
        If a file was changed, does not fit, or asks for more than data.
    """
    path = check_pretrained(folder, hparams_file)
    content = (path / hparams_file).read_bytes()
    tree = None
    if trust_code:
        logger.warning("running what %s names", path / hparams_file)
        text = content.decode("utf-8")
    else:
        tree = safe_yaml.read_yaml(content, str(path / hparams_file))
        text = safe_yaml.canonical(tree)
    files = manifest.check_manifest(path, (hparams_file, *FILES[1:]))
    table = DepthTable()
    table.read(path / TABLE)
    table.check_model(files[MODEL].sha256)
    changes = dict(overrides or {})
    if n_layers is not None:
        table.layers(n_layers)
        changes |= {"n_total": n_layers, "router": "none"}
    if tree is not None:
        check_tree(tree, path / hparams_file, files[MODEL].size)
    hparams = load_hyperpyyaml(text, changes, overrides_must_match)
    return finish_loading(path, hparams, table, n_layers)


def finish_loading(
    path: Path,
    hparams: dict[str, Any],
    table: DepthTable,
    n_layers: Optional[int],
) -> PretrainedModel:
    """Fills what was made with what the folder holds."""
    loader = hparams.get("pretrainer")
    if not isinstance(loader, ModelLoader):
        raise ValueError(
            f"{path}: `pretrainer` must be a dld_brain.ModelLoader, but is "
            f"{type(loader).__name__}"
        )
    n_total = loader.model.n_total
    if n_layers is None:
        table.check_depths(n_total, str(path / TABLE))
    task = loader.load(path, table, n_layers)
    if n_layers is not None:
        table = table.within(n_layers)
    extra = loader.hparams(task, table)
    hparams = {**extra, **hparams}
    return PretrainedModel(
        hparams["modules"], task, table, loader.sample_rate, hparams
    )


def check_tree(tree: dict[str, Any], path: Path, n_bytes: int) -> None:
    """Raises where the objects of a file do not fit the names, or memory.

    The encoder is made without memory (on the device `meta`) and must fit
    what model.safetensors holds, before any of it is made in earnest.

    Arguments
    ---------
    n_bytes : int
        Size of the weights.
    """
    for key, made in tree.items():
        if not isinstance(made, safe_yaml.Made):
            continue
        function = getattr(dld_brain, made.name)
        arguments = {
            k: safe_yaml.resolve(tree, v) for k, v in made.arguments.items()
        }
        try:
            inspect.signature(function).bind(**arguments)
            if made.name.endswith("_encoder"):
                _check_size(function, arguments, n_bytes)
        except (TypeError, ValueError, KeyError, RuntimeError) as error:
            text = " ".join(str(error).split())
            raise ValueError(f"{path}: `{key}`: {text}") from None
    for key in ("modules", "pretrainer"):
        if key not in tree:
            raise ValueError(f"{path} must have `{key}`, but has not")


def _check_size(function: Any, arguments: Any, n_bytes: int) -> None:
    """Raises if an encoder has more weights than there can be."""
    if arguments.get("source") is not None:
        raise ValueError(
            f"`source` must be null in a model folder, which has its own "
            f"weights, but is {arguments['source']!r}"
        )
    if function.__name__ == "wavlm_encoder":
        from dld_brain.encoder.wavlm.huggingface import check_config

        check_config(arguments["config"])
    with torch.device("meta"):
        n_weights = sum(p.numel() for p in function(**arguments).parameters())
    if n_weights > n_bytes:  # no weight takes less than a byte
        raise ValueError(
            f"its sizes make {n_weights} parameters, but {MODEL} has "
            f"{n_bytes} bytes"
        )


def load_for_inference(source: str) -> PretrainedModel:
    """Reads a model and puts it in eval mode."""
    model = load_pretrained(source)
    for module in model.modules.values():
        module.eval()
    return model
