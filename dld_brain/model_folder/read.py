"""Reads a model folder: the one way in, for training, inference and export."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
from hyperpyyaml import load_hyperpyyaml

from dld_brain.depth_table import (
    FILE as TABLE,
    DepthTable,
)
from dld_brain.files import manifest
from dld_brain.files.whole import recover
from dld_brain.model_folder import safe_yaml
from dld_brain.model_folder.check import check_tree, make
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
        hparams = make(text, changes, overrides_must_match, path / hparams_file)
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
    n_features = hparams["modules"]["compute_features"].n_features
    task = loader.load(path, table, n_features, n_layers)
    if n_layers is not None:
        table = table.within(n_layers)
    extra = loader.hparams(task, table)
    hparams = {**extra, **hparams}
    return PretrainedModel(
        hparams["modules"], task, table, loader.sample_rate, hparams
    )


def load_for_inference(source: str) -> PretrainedModel:
    """Reads a model and puts it in eval mode."""
    return for_inference(load_pretrained(source))


def for_inference(model: PretrainedModel) -> PretrainedModel:
    """The same model, in eval mode."""
    for module in model.modules.values():
        module.eval()
    return model
