"""Where a run starts: the models that it starts from."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

from torch import nn

from dld_brain.depth_table import FILE, DepthTable
from dld_brain.files.whole import whole_file
from dld_brain.gates.by_depth import FAMILIES
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import (
    PretrainedModel,
    check_pretrained,
    copy_weights,
    load_pretrained,
)
from dld_brain.model_folder.save import TRAINING
from dld_brain.run.choices import Block
from dld_brain.run.config import Composed, compose
from dld_brain.run.sections import Data, Start
from dld_brain.run.settings import Settings
from speechbrain.utils.distributed import if_main_process

#: What a student's run has in common with the run of its teacher, beside
#: the encoder: the data.
SHARED_KEYS = (
    "seed",
    "corpus",
    "data_folder",
    "corpus_options",
    "train_splits",
    "valid_splits",
    "test_splits",
    "text_case",
    "token_type",
    "max_unspellable",
    "num_workers",
)
#: What of the encoder is the student's own; and of one with fewer layers.
OWN_KEYS = (
    "closed",
    "per_depth",
    "router",
    "decoder_gates",
    "test_decoder_depths",
)
SIZED_KEYS = (*OWN_KEYS, "n_total")


def gates_with_table(gates: Block) -> Block:
    """The gates, with the layers of the table that they name.

    Raises
    ------
    FileNotFoundError
        If the folder holds no depth table.
    """
    folder = gates.get("table")
    if folder is None:
        return gates
    path = Path(folder, FILE)
    if not path.is_file():
        raise FileNotFoundError(
            f"`gates.table` must be a folder that holds {FILE}, but is "
            f"{folder}: give the folder `pretrained` of a finished run"
        )
    table = DepthTable()
    table.read(path)
    layers = {n: table.layers(n) for n in table.depths}
    return replace(gates, options={**gates.options, "table": layers})


def named_models(settings: Settings) -> dict[str, PretrainedModel]:
    """Loads the models that a run names by their folders, by folder."""
    named = set(sources_of(settings).values())
    return {
        folder: load_pretrained(folder)
        for folder in named
        if not folder.endswith(".yaml")
    }


def sources_of(settings: Settings) -> dict[str, str]:
    """What a run starts from, folders and hparams files, by role."""
    sources = {
        "teacher": settings.start.teacher,
        "init_from": settings.start.init_from,
    }
    return {role: source for role, source in sources.items() if source}


def find_models(
    composed: Composed,
    settings: Settings,
    train: Callable[[str, dict[str, Any]], None],
) -> dict[str, str]:
    """Finds the models that a run starts from; trains them if need be.

    Arguments
    ---------
    train : callable
        Runs the recipe of an hparams file with settings.

    Returns
    -------
    dict of str to str
        Their folders, by `teacher` and `init_from`.
    """
    return {
        role: find_model(source, composed, settings, train)
        for role, source in sources_of(settings).items()
    }


def find_model(
    source: str,
    composed: Composed,
    settings: Settings,
    train: Callable[[str, dict[str, Any]], None],
) -> str:
    """Finds a model that a run starts from; trains it if need be.

    Arguments
    ---------
    source : str
        A folder that holds a model, or the hparams file that makes one,
        given from here or from beside the run's.
    """
    if not source.endswith(".yaml"):
        check_pretrained(source)
        return source
    recipe = Path(source)
    if not recipe.is_file():
        recipe = Path(composed.hparams_file).parent / source
    encoder = composed.encoder_settings()
    is_shallower = settings.start.init_layers is not None
    for key in SIZED_KEYS if is_shallower else OWN_KEYS:
        encoder.pop(key, None)
    overrides = {
        **{key: composed.resolved()[key] for key in SHARED_KEYS},
        **encoder,
        **settings.start.teacher_overrides,
    }
    output_folder = compose(str(recipe), overrides).resolved()["output_folder"]
    folder = Path(output_folder, "pretrained")
    if not (folder / "hyperparams.yaml").is_file():
        print(f"{folder} holds no model yet: training it first ({recipe})")
        train(str(recipe), overrides)
    check_pretrained(str(folder))
    check_training_data(folder, settings.data)
    return str(folder)


def check_training_data(folder: Path, told: Data) -> None:
    """Raises where a model that was found was trained on other data.

    A model that a run names by its folder is taken whatever it was trained
    on.
    """
    theirs = json.loads((folder / TRAINING).read_text())
    ours = (told.corpus or None, list(told.train_splits))
    if (theirs["corpus"], theirs["train_splits"]) == ours:
        return
    raise ValueError(
        f"{folder} must be trained on what this run trains on "
        f"({in_words(*ours)}), but was on "
        f"{in_words(theirs['corpus'], theirs['train_splits'])}, "
        f"{theirs['hours']:.1f} h: name it by its folder to take it all the "
        f"same, or give another --output_folder to what it starts from"
    )


def in_words(corpus: Optional[str], splits: list[str]) -> str:
    """Training data as messages say it.

    Example
    -------
    >>> in_words("AN4", ["train"]), in_words(None, ["a", "b"])
    ('AN4: train', 'data of your own: a, b')
    """
    return f"{corpus or 'data of your own'}: {', '.join(splits)}"


def copy_start(
    told: Start,
    folders: Mapping[str, str],
    models: Mapping[str, PretrainedModel],
    modules: Mapping[str, nn.Module],
) -> None:
    """Gives a model the weights that it starts from, if there are some.

    Arguments
    ---------
    folders : mapping of str to str
        By `teacher` and `init_from`.
    models : mapping of str to PretrainedModel
        By folder.
    modules : mapping of str to torch.nn.Module
        Of the run.
    """
    if "init_from" not in folders:
        return
    folder = folders["init_from"]
    source = models[folder].modules
    sizes = (m["model"].n_total for m in (modules, source))
    gates = layers_to_start_from(told.init_layers, *sizes)
    copy_weights(source, modules, folder, gates, told.new_head)


def layers_to_start_from(
    init_layers: Union[str, list[int], None], n_layers: int, n_total: int
) -> Optional[Gates]:
    """Layers of the model that a shallower one starts from.

    Arguments
    ---------
    init_layers : str or list of int, optional
        even, prefix, ends or nested, or the layers; all if not given.
    n_total : int
        Layers of the model that it starts from.

    Returns
    -------
    Gates
        Or None, for all.

    Raises
    ------
    ValueError
        If there are not as many, or they are none of the model's.

    Example
    -------
    >>> layers_to_start_from("even", 4, 12)
    Gates(layers=(0, 4, 7, 11), n_total=12)
    """
    if init_layers is None:
        return None
    if isinstance(init_layers, str):
        if init_layers not in FAMILIES:
            raise ValueError(
                f"`init_layers` must be one of {', '.join(FAMILIES)}, or a "
                f"list of layers, but is {init_layers!r}"
            )
        return FAMILIES[init_layers](n_layers, n_total)
    gates = Gates.of(init_layers, n_total)
    if gates.depth != n_layers:
        raise ValueError(
            f"`init_layers` must name {n_layers} layers, as many as the "
            f"model has, but has {list(init_layers)}"
        )
    return gates


def keep_teacher_report(folder: str, save_folder: str) -> None:
    """Keeps what the teacher scored beside the checkpoints of its student.

    Arguments
    ---------
    save_folder : str
        Where to; nothing is kept of a teacher without a report.
    """
    report = Path(folder, "depth_report.json")
    if if_main_process() and report.is_file():
        with whole_file(Path(save_folder, "teacher_report.json")) as path:
            shutil.copy(report, path)
