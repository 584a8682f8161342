"""What a run changes of the configuration of the model that it starts from."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from dld_brain.run.config import Composed
from dld_brain.run.overriding import merged
from dld_brain.run.places import SHARED
from dld_brain.run.tree import read_tree


def changed(
    config: Mapping[str, Any],
    composed: Composed,
    overrides: Mapping[str, Any],
    folder: str,
) -> dict[str, Any]:
    """The configuration of a model, with what a run changes of it.

    What hparams/shared/ has there stands in the place of the model's own, and
    is no change.

    Arguments
    ---------
    config : mapping
        The model's, whole.
    composed : Composed
        Of the run's hparams file and the command line.
    overrides : mapping
        Settings of the command line, by key.

    Raises
    ------
    ValueError
        If the model has no such setting.
    """
    usual = read_tree(SHARED / f"{composed.encoder}.yml")["config"]
    changes = differing(composed.settings().encoder.config, usual)
    changes = merged("", changes, overrides.get("config", {}))
    unknown = sorted(str(key) for key in set(changes) - set(config))
    if unknown:
        near = get_close_matches(unknown[0], config, n=3, cutoff=0.4)
        hint = ", ".join(near) or f"those of {folder}/hyperparams.yaml"
        raise ValueError(
            f"`config` must have settings of the model alone, but has "
            f"{unknown[0]!r}: try {hint}"
        )
    return merged("", config, changes)


def differing(
    given: Mapping[str, Any], usual: Mapping[str, Any]
) -> dict[str, Any]:
    """What a mapping has that another has not, or has otherwise.

    Example
    -------
    >>> usual = {"width": 4, "cnn": {"blocks": 2}}
    >>> differing({"width": 4, "cnn": {"blocks": 2, "dropout": 0.1}}, usual)
    {'cnn': {'dropout': 0.1}}
    """
    found = {}
    for key, value in given.items():
        before = usual.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            value = differing(value, before)
            if value:
                found[key] = value
        elif key not in usual or value != before:
            found[key] = value
    return found
