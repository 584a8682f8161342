"""Where a run starts: the models it starts from, and their vocabulary."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, Union

from speechbrain.utils.distributed import if_main_process

from dld_brain.audio import dataset as data
from dld_brain.gates.by_depth import FAMILIES
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import PretrainedModel, check_pretrained
from dld_brain.run.config import encoder_settings, resolve_key
from dld_brain.tasks import Task, find_task

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
    "token_type",
    "num_workers",
)
#: What of the encoder is the student's own; and of one with fewer layers.
OWN_KEYS = ("per_depth", "router")
SIZED_KEYS = (*OWN_KEYS, "n_total")


def find_model(
    source: str,
    hparams_file: str,
    overrides: dict[str, Any],
    hparams: dict[str, Any],
    train: Callable[[str, dict[str, Any]], None],
) -> str:
    """Finds the model that a run starts from; trains it if need be.

    Arguments
    ---------
    source : str
        A folder that holds a model, or the hparams file that makes one,
        given from here or from beside `hparams_file`.
    train : callable
        Runs the recipe of an hparams file with a command line.
    """
    if not str(source).endswith(".yaml"):
        check_pretrained(source)
        return source
    recipe = Path(source)
    if not recipe.is_file():
        recipe = Path(hparams_file).parent / source
    encoder = encoder_settings(hparams_file, overrides)
    for key in OWN_KEYS if hparams["init_layers"] is None else SIZED_KEYS:
        encoder.pop(key, None)
    settings = {
        **{key: hparams[key] for key in SHARED_KEYS},
        **encoder,
        **hparams["teacher_overrides"],
    }
    output_folder = resolve_key(str(recipe), "output_folder", settings)
    folder = Path(output_folder, "pretrained")
    if not (folder / "hyperparams.yaml").is_file():
        print(f"{folder} holds no model yet: training it first ({recipe})")
        train(str(recipe), settings)
    check_pretrained(str(folder))
    return str(folder)


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


def find_vocabulary(
    hparams: dict[str, Any], models: dict[str, PretrainedModel]
) -> Optional[Task]:
    """Takes the task, with its vocabulary, of the models a run starts from.

    The vocabulary is kept in `save_folder`, from where a later evaluation
    takes it.

    Returns
    -------
    Task
        Or None, if there is neither a model nor an earlier run.

    Raises
    ------
    ValueError
        If a model is of another task, two vocabularies differ, or the size
        is not `vocab_size`.
    """
    kind = find_task(hparams["task"])
    tasks = {folder: model.task for folder, model in models.items()}
    kept = Path(hparams["save_folder"], kind.file)
    if kept.is_file():
        tasks[str(kept)] = kind.load(kept)
    for source, task in tasks.items():
        if type(task) is not kind:
            raise ValueError(
                f"the model of {source} must be one of {hparams['task']}, as "
                f"this run is, but is of another task"
            )
        task.check_size(hparams["vocab_size"], source)
    first = next(iter(tasks.values()), None)
    if any(task.symbols != first.symbols for task in tasks.values()):
        raise ValueError(
            f"all models of a run must have the same {kind.symbol}s, but "
            f"those of {' and '.join(tasks)} differ"
        )
    return first


def keep_teacher_report(folder: str, save_folder: str) -> None:
    """Keeps what the teacher scored beside the checkpoints of its student.

    Arguments
    ---------
    save_folder : str
        Where to; nothing is kept of a teacher without a report.
    """
    report = Path(folder, "depth_report.json")
    if if_main_process() and report.is_file():
        Path(save_folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(report, Path(save_folder, "teacher_report.json"))


def make_vocabulary(hparams: dict[str, Any], csv_folder: str) -> Task:
    """Makes the task, with a vocabulary of training data."""
    folder = hparams["save_folder"]
    csv = data.merged_csv(csv_folder, hparams["train_splits"], folder)
    task = find_task(hparams["task"]).make(folder, csv, hparams)
    task.check_size(hparams["vocab_size"], csv)
    return task


def keep_vocabulary(hparams: dict[str, Any], task: Task) -> None:
    """Writes the vocabulary of a run beside its checkpoints."""
    if if_main_process():
        path = Path(hparams["save_folder"], task.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        task.save(path)
