"""Reads a model folder: the one way in, for training, inference and export."""

import inspect
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional, get_type_hints

import torch
from hyperpyyaml import load_hyperpyyaml

import dld_brain
from dld_brain.depth_table import (
    FILE as TABLE,
    DepthTable,
)
from dld_brain.files import manifest
from dld_brain.files.whole import recover
from dld_brain.model_folder import safe_yaml
from dld_brain.model_folder.loader import FILES, ModelLoader
from dld_brain.model_folder.weights import MODEL
from dld_brain.tasks import Task

logger = logging.getLogger(__name__)
HPARAMS = "hyperparams.yaml"
#: What objects raise whose arguments cannot be.
MISFITS = (
    ArithmeticError,
    AttributeError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)


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
    if os.path.isdir(path.parent):  # also of a name that is too long
        recover(path)
    needed = (hparams_file, *FILES[1:], manifest.FILE)
    missing = [f for f in needed if not os.path.isfile(path / f)]
    if missing:
        state = "lacks " + ", ".join(missing)
        if not os.path.isdir(path):
            state = f"{os.path.abspath(path)} does not exist"
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
    is_alone: bool = True,
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
    is_alone : bool
        Whether a file that the manifest does not name is an error.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or a file of it is missing.
    ValueError
        If a file was changed or added, does not fit, or asks for more than
        data.
    """
    path = check_pretrained(folder, hparams_file)
    needed = (hparams_file, *FILES[1:])
    files = manifest.check_manifest(path, needed, is_alone=is_alone)
    content = (path / hparams_file).read_bytes()
    tree = None
    if trust_code:
        logger.warning("running what %s names", path / hparams_file)
        text = content.decode("utf-8")
    else:
        tree = safe_yaml.read_yaml(content, str(path / hparams_file))
        text = safe_yaml.canonical(tree)
    table = DepthTable()
    table.read(path / TABLE)
    table.check_model(files[MODEL].sha256)
    changes = dict(overrides or {})
    if n_layers is not None:
        n_layers = len(table.layers(n_layers))  # an int, whatever was given
        changes |= {"n_total": n_layers, "router": "none"}
    if tree is not None:
        check_tree(tree, path / hparams_file, files[MODEL].size)
    if tree is None:  # what is trusted raises what it raises
        hparams = load_hyperpyyaml(text, changes, overrides_must_match)
    else:
        hparams = _make(
            text, changes, overrides_must_match, path / hparams_file
        )
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
            _check_types(function, arguments)
            if made.name.endswith("_encoder"):
                _check_size(function, arguments, n_bytes)
        except MISFITS as error:
            text = " ".join(str(error).split())[:200]
            raise ValueError(f"{path}: `{key}`: {text}") from None
    for key in ("modules", "pretrainer"):
        if key not in tree:
            raise ValueError(f"{path} must have `{key}`, but has not")


def _check_types(function: Any, arguments: Mapping[str, Any]) -> None:
    """Raises unless numbers and words are what the signature says."""
    is_class = isinstance(function, type)
    hints = get_type_hints(function.__init__ if is_class else function)
    for name, value in arguments.items():
        kind = hints.get(name)
        if kind is int:
            fits, what = type(value) is int and value > 0, "a whole number"
        elif kind is float:
            fits, what = type(value) in (int, float) and value >= 0, "a number"
        elif kind in (str, bool):
            fits, what = type(value) is kind, f"a {kind.__name__}"
        else:
            continue
        if not fits:
            raise ValueError(
                f"`{name}` must be {what}, but is {str(value)[:40]!r}"
            )


def _make(
    text: str, changes: Mapping[str, Any], must_match: bool, path: Path
) -> dict[str, Any]:
    """Makes the objects of a file that was checked; one line if one is none."""
    try:
        return load_hyperpyyaml(text, dict(changes), must_match)
    except MISFITS as error:
        lines = " ".join(str(error).split())[:300]
        raise ValueError(f"{path} cannot be made: {lines}") from None


def _check_size(function: Any, arguments: Any, n_bytes: int) -> None:
    """Raises if an encoder has more weights than there can be."""
    if arguments.get("source") is not None:
        raise ValueError(
            f"`source` must be null in a model folder, which has its own "
            f"weights, but is {arguments['source']!r}"
        )
    if "config" in arguments:
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
