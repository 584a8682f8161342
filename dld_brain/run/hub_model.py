"""Starts a run from a CTC model of the Hub: no teacher has to be trained.

The model is written as one of our model folders, once, where `init_from`
says; from there on it is a model like any other, and the student's sizes are
those that the folder has.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

from dld_brain.audio.features import FeatureNorm, Waveform
from dld_brain.model_folder import (
    check_pretrained,
    load_pretrained,
    save_model,
    weights_hash,
)
from dld_brain.model_folder.save import TRAINING
from dld_brain.run.config import Composed
from dld_brain.search.choose import even_gates, make_table
from dld_brain.tasks import TranscriptionTask
from dld_brain.tasks.characters import character_vocabulary
from speechbrain.utils.distributed import run_on_main

#: The encoder's file of runs that start from such a model.
ENCODER = "pretrained"
#: What of the encoder the model decides.
SIZES = ("vocab_size", "normalize_wav", "sample_rate")
#: Names, in training.json, what a folder was made of.
SOURCE = "converted_from"


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
    if composed.encoder != ENCODER:
        return {}
    settings = composed.settings()
    folder, source = settings.start.init_from, settings.encoder.model
    if folder is None:
        raise ValueError(
            "`init_from` must be where the model is, or is to be, converted "
            "to, but is not given"
        )
    run_on_main(partial(find_or_convert, source, folder))
    found = load_pretrained(folder).hparams
    if "config" not in found:
        raise ValueError(
            f"`init_from` must be a WavLM, wav2vec 2.0 or HuBERT, but "
            f"{folder} is of another kind: train from it with its own recipe"
        )
    for key in SIZES:
        if overrides.get(key, found[key]) != found[key]:
            raise ValueError(
                f"`{key}` must be {found[key]}, as the model of {folder} has "
                f"it, but is {overrides[key]!r}: leave it out"
            )
    check_layers(settings.encoder.n_total, found["n_total"], folder)
    config = {**found["config"], **overrides.get("config", {})}
    return {"config": config, **{key: found[key] for key in SIZES}}


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


def find_or_convert(source: Any, folder: str) -> None:
    """Makes a model folder of a CTC model, unless it is there.

    Arguments
    ---------
    source : str, optional
        Hub id or folder of the model; not needed if the folder is there.

    Raises
    ------
    ValueError
        If the folder is there, and of another model.
    """
    if (Path(folder) / "hyperparams.yaml").is_file():
        check_pretrained(folder)
        theirs = json.loads((Path(folder) / TRAINING).read_text()).get(SOURCE)
        if source and theirs not in (None, source, str(Path(source).resolve())):
            raise ValueError(
                f"{folder} must be made of {source}, but was of {theirs}: "
                f"give another --output_folder"
            )
        return
    if source is None:
        raise ValueError(
            "`model` must be given: --model=facebook/wav2vec2-base-960h, or a "
            "folder of a CTC model"
        )
    convert(source, folder)


def convert(source: str, folder: str) -> None:
    """Writes a model folder that gives what a CTC model gives.

    Arguments
    ---------
    source : str
        Hub id or folder of the model.
    """
    from dld_brain.encoder.wavlm import ctc

    ctc.check_place(source)
    is_folder = Path(source).is_dir()
    if not is_folder:
        print(f"fetching {source} from the Hugging Face Hub, if need be")
    theirs = ctc.read_ctc(source)
    task = TranscriptionTask(character_vocabulary(theirs.symbols))
    model = ctc.load_ctc(theirs)
    norm = FeatureNorm("sentence", enabled=theirs.normalize_wav)
    modules = {
        "compute_features": Waveform(),
        "normalize": norm.eval(),
        "model": model,
    }
    sizes = _sizes(theirs, model.n_total)
    rate, layers = sizes["sample_rate"], even_gates(model.n_total)
    table = make_table(modules, weights_hash(model), rate, "even", layers)
    known_as = str(Path(source).resolve()) if is_folder else source
    save_model(folder, modules, task, table, sizes, {SOURCE: known_as})
    print(f"{source} is converted, {model.n_total} layers: {folder}")


def _sizes(theirs: Any, n_total: int) -> dict[str, Any]:
    """What a model folder says of a CTC model; see `save_model`."""
    from dld_brain.encoder.wavlm.ctc import SAMPLE_RATE

    return {
        "architecture": "wavlm",
        "sample_rate": SAMPLE_RATE,
        "normalize_wav": theirs.normalize_wav,
        "source": None,
        "config": theirs.config,
        "full_config": theirs.config,
        "vocab_size": len(theirs.symbols),
        "n_total": n_total,
        "closed": "identity",
        "freeze_stem": True,
        "task": TranscriptionTask.name,
        "per_depth": "none",
        "router": {"kind": "none"},
    }
