"""The feature statistics of a model folder, checked when they are loaded."""

from pathlib import Path

import torch

from dld_brain.files.console import escaped
from dld_brain.model_folder.weights import Weights
from speechbrain.processing.features import InputNormalization


def load_normalizer(
    normalizer: InputNormalization, path: Path, n_features: int
) -> None:
    """Loads feature statistics.

    Arguments
    ---------
    n_features : int
        Features of a frame, F: those of norm_type "global" have as many.

    Raises
    ------
    ValueError
        If the file has not what it must have.
    """
    state = Weights(path)
    is_global = normalizer.norm_type == "global"
    names = set(normalizer._statistics_dict())
    count = _count(state, names, is_global, path)
    found = {key: state[key] for key in ("glob_mean", "glob_std")}
    for key, value in found.items():
        if not value.is_floating_point() or (
            is_global and value.shape != (n_features,)
        ):
            raise ValueError(
                f"{path}: `{key}` must be {n_features} floats, but is "
                f"{value.dtype} of shape {list(value.shape)[:6]}"
            )
    found = {key: value.float().clone() for key, value in found.items()}
    if not all(value.isfinite().all() for value in found.values()):
        raise ValueError(f"{path} must have finite statistics")
    if is_global and not (found["glob_std"] > 0).all():
        raise ValueError(
            f"{path}: `glob_std` must be above 0, but has "
            f"{float(found['glob_std'].min()):g}"
        )
    normalizer._load_statistics_dict({"count": count, **found})


def _count(state: Weights, names: set[str], is_global: bool, path: Path) -> int:
    """How much was learnt from, where a file has what it must have."""
    if set(state) != names or state["count"].numel() != 1:
        raise ValueError(
            f"{path} must have the feature statistics "
            f"{', '.join(sorted(names))}, but has "
            f"{escaped(', '.join(sorted(state)), 80)}"
        )
    if state["count"].dtype != torch.int64:
        raise ValueError(
            f"{path}: `count` must be int64, but is {state['count'].dtype}"
        )
    count = int(state["count"])
    if count < 0 or (is_global and count == 0):
        raise ValueError(
            f"{path} must hold the statistics of utterances, but of {count}"
        )
    return count
