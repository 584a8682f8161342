"""Starts a run from a CTC model that is there: no teacher has to be trained.

The model is written as one of our model folders, once, where `init_from`
says; from there on it is a model like any other, and the student's sizes are
those that the folder has.
"""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from torch import nn

import dld_brain
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.files.hub import is_hub_id
from dld_brain.model_folder import (
    check_pretrained,
    load_pretrained,
    save_model,
    weights_hash,
)
from dld_brain.model_folder.save import FRONTS, TRAINING
from dld_brain.run.config import Composed
from dld_brain.run.model_config import changed
from dld_brain.run.model_kinds import FAMILIES, KINDS, check_file
from dld_brain.search.choose import even_gates, make_table
from speechbrain.utils.distributed import run_on_main

#: By the encoder's file of other runs that start from a model, what of the
#: encoder that decides.
SIZES = {
    "transformer_asr": (
        "vocab_size",
        "sample_rate",
        "n_mels",
        "n_fft",
        "window_ms",
        "hop_ms",
    ),
    "whole_whisper": ("vocab_size", "n_mels", "decoder"),
}
#: Names, in training.json, what a folder was made of.
SOURCE = "converted_from"
#: What all have that are converted, unless they say something else.
PLAIN = {
    "source": None,
    "closed": "identity",
    "freeze_stem": True,
    "per_depth": "none",
    "router": {"kind": "none"},
}


def settings_of_model(
    composed: Composed, overrides: dict[str, Any]
) -> dict[str, Any]:
    """The settings that the model decides which a run starts from.

    The model is converted first where it was not yet.

    Arguments
    ---------
    overrides : dict
        Settings of the command line, by key.

    Returns
    -------
    dict
        By key; none for a run that starts from no such model.

    Raises
    ------
    ValueError
        If a setting of the command line is not what the model has.
    """
    if composed.encoder not in KINDS:
        return {}
    settings = composed.settings()
    folder, source = settings.start.init_from, settings.encoder.model
    if folder is None:
        raise ValueError(
            "`init_from` must be where the model is, or is to be, converted "
            "to, but is not given"
        )
    told = [source, folder, composed.encoder, settings.data.language]
    run_on_main(find_or_convert, told)
    found = load_pretrained(folder).hparams
    sizes = _sizes_found(composed.encoder, found)
    if sizes is None:
        raise ValueError(
            f"`init_from` must be {KINDS[composed.encoder].what}, but "
            f"{folder} is of another kind: train from it with its own recipe"
        )
    for key, value in sizes.items():
        if overrides.get(key, value) != value:
            raise ValueError(
                f"`{key}` must be {value}, as the model of {folder} has "
                f"it, but is {overrides[key]!r}: leave it out"
            )
    check_layers(settings.encoder.n_total, found["n_total"], folder)
    config = changed(found["config"], composed, overrides, folder)
    return {"config": config, **sizes}


def _sizes_found(
    encoder: str, found: Mapping[str, Any]
) -> Optional[dict[str, Any]]:
    """What of the encoder a model decides; None for one of another kind."""
    if encoder in SIZES:
        keys = SIZES[encoder]
        is_such = {"config", *keys} <= set(found)
        return {key: found[key] for key in keys} if is_such else None
    kind = (found.get("config") or {}).get("model_type")
    return sizes_of(FAMILIES[kind], found) if kind in FAMILIES else None


def sizes_of(family: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """What of the encoder a CTC model of Hugging Face decides, by key.

    Arguments
    ---------
    family : str
        Of `FAMILIES`.
    found : mapping
        Settings of the model.
    """
    keys = ["vocab_size", "sample_rate", *FRONTS[family].options.values()]
    is_normalised = found.get("normalize_wav", False)
    return {
        "architecture": family,
        "normalize_wav": is_normalised,
        **{key: found[key] for key in keys},
    }


def make_features(architecture: str, **settings: Any) -> nn.Module:
    """Makes the features of a family, of those settings that it has."""
    front = FRONTS[architecture]
    options = {name: settings[key] for name, key in front.options.items()}
    return getattr(dld_brain, front.features)(**options)


def make_encoder(architecture: str, **settings: Any) -> DynamicEncoder:
    """Makes the encoder of a family, of those settings that it has."""
    factory = getattr(dld_brain, f"{architecture}_encoder")
    names = inspect.signature(factory).parameters
    return factory(**{name: settings[name] for name in names})


def check_layers(n_total: Any, n_there: int, folder: str) -> None:
    """Raises where more layers are asked for than there are.

    Example
    -------
    >>> check_layers(20, 12, "x")
    Traceback (most recent call last):
    ...
    ValueError: `n_total` must be between 1 and 12, the layers of the model ...
    """
    if n_total is not None and n_total > n_there:
        raise ValueError(
            f"`n_total` must be between 1 and {n_there}, the layers of the "
            f"model of {folder}, but is {n_total}"
        )


def find_or_convert(
    source: Any,
    folder: str,
    encoder: str = "pretrained",
    language: Optional[str] = None,
) -> None:
    """Makes a model folder of a CTC model, unless it is there.

    Arguments
    ---------
    source : str, optional
        Hub id or folder of the model; not needed if the folder is there.
    encoder : str
        A key of KINDS.
    language : str, optional
        See `convert`.

    Raises
    ------
    ValueError
        If the folder is there, and of another model or language.
    """
    if (Path(folder) / "hyperparams.yaml").is_file():
        check_pretrained(folder)
        told = json.loads((Path(folder) / TRAINING).read_text())
        theirs, spoken = told.get(SOURCE), told.get("language")
        if theirs and spoken and language not in (None, spoken):
            raise ValueError(
                f"`language` must be {spoken}, for which {folder} was made of "
                f"{theirs}, but is {language!r}: give another --output_folder"
            )
        if source and theirs not in (None, source, str(Path(source).resolve())):
            raise ValueError(
                f"{folder} must be made of {source}, but was of {theirs}: "
                f"give another --output_folder"
            )
        return
    if source is None:
        raise ValueError(
            f"`model` must be {KINDS[encoder].what}, but is not given: "
            f"--model={KINDS[encoder].example}"
        )
    convert(source, folder, encoder, language)


def convert(
    source: str,
    folder: str,
    encoder: str = "pretrained",
    language: Optional[str] = None,
) -> None:
    """Writes a model folder that gives what a CTC model gives.

    Arguments
    ---------
    source : str
        Hub id or folder of the model.
    encoder : str
        A key of KINDS.
    language : str, optional
        That a multilingual Whisper is told, ISO 639-1; others know theirs.
    """
    kind = KINDS[encoder]
    is_folder = Path(source).is_dir()
    if is_folder:
        check_file(source, kind)
    if not is_folder and is_hub_id(source):
        print(f"fetching {source} from the Hugging Face Hub, if need be")
    model, norm, task, sizes, longest = kind.read(source, language)
    sizes = {**PLAIN, **sizes, "n_total": model.n_total, "task": task.name}
    modules = {
        "compute_features": make_features(**sizes),
        "normalize": norm.eval(),
        "model": model.eval(),
    }
    rate, layers = sizes["sample_rate"], even_gates(model.n_total)
    table = make_table(modules, weights_hash(model), rate, "even", layers)
    known_as = str(Path(source).resolve()) if is_folder else source
    training = {
        SOURCE: known_as,
        "language": language,
        "longest_utterance": longest,
    }
    save_model(folder, modules, task, table, sizes, training)
    print(f"{source} is converted, {model.n_total} layers: {folder}")
