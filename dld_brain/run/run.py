"""One run: models, data, training, evaluation."""

from pathlib import Path
from typing import Any, Optional

import speechbrain as sb
from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.run_opts import RunOptions
from speechbrain.utils.seed import seed_everything
from speechbrain.utils.train_logger import TensorboardLogger

from dld_brain.audio import dataset as data
from dld_brain.model_folder import (
    PretrainedModel,
    copy_weights,
    load_pretrained,
)
from dld_brain.run.config import load_flat, route
from dld_brain.run.finish import check_finish, finish
from dld_brain.run.start import (
    find_model,
    find_vocabulary,
    keep_teacher_report,
    keep_vocabulary,
    layers_to_start_from,
    make_vocabulary,
)
from dld_brain.tasks import Task
from dld_brain.training.brain import DLDBrain
from dld_brain.training.clock import read_training


def prepare_data(hparams: dict[str, Any]) -> str:
    """Writes the CSV files of the corpus, or finds those of one's own.

    Raises
    ------
    FileNotFoundError
        If there is no corpus where it should be.
    """
    if (
        not hparams["makes_itself"]
        and not Path(hparams["data_folder"]).is_dir()
    ):
        raise FileNotFoundError(
            f"`data_folder` must be a folder, but {hparams['data_folder']} "
            f"is none"
        )
    if hparams["prepare"] is None:
        return hparams["data_folder"]
    if not hparams["skip_prep"]:
        splits = ("train_splits", "valid_splits", "test_splits")
        run_on_main(
            hparams["prepare"],
            kwargs={
                "data_folder": hparams["data_folder"],
                "csv_folder": hparams["csv_folder"],
                "splits": sum((list(hparams[key]) for key in splits), []),
                **hparams["corpus_options"],
            },
        )
    return hparams["csv_folder"]


def make_brain(
    hparams: dict[str, Any],
    run_opts: RunOptions,
    task: Task,
    teacher: Optional[PretrainedModel],
) -> DLDBrain:
    """Makes the Brain of a run."""
    make_sampler = hparams["gate_samplers"][hparams["gates"]]
    hparams["train_loggers"] = [hparams["train_logger"]]
    if hparams["tensorboard"]:
        folder = str(Path(hparams["output_folder"], "tensorboard"))
        hparams["train_loggers"].append(TensorboardLogger(folder))
    return DLDBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
        gate_sampler=make_sampler(
            n_total=hparams["modules"]["model"].n_total, seed=hparams["seed"]
        ),
        task=task,
        teacher=teacher.modules if teacher else None,
        valid_depths=list(hparams["valid_depths"]),
    )


def fit(
    brain: DLDBrain,
    hparams: dict[str, Any],
    task: Task,
    csv_folder: str,
) -> None:
    """Trains."""
    train_set, valid_set = (
        data.make_dataset(
            data.merged_csv(csv_folder, hparams[key], hparams["save_folder"]),
            hparams["data_folder"],
            task,
            hparams["sample_rate"],
            max_seconds,
        )
        for key, max_seconds in (
            ("train_splits", hparams["max_train_seconds"]),
            ("valid_splits", float("inf")),
        )
    )
    brain.fit(
        hparams["epoch_counter"],
        train_set,
        valid_set,
        train_loader_kwargs=data.train_loader_options(
            train_set,
            batch_size=hparams["batch_size"],
            max_batch_seconds=hparams["max_batch_seconds"],
            num_buckets=hparams["num_buckets"],
            num_workers=hparams["num_workers"],
            seed=hparams["seed"],
        ),
        valid_loader_kwargs={"batch_size": hparams["test_batch_size"]},
    )


def run(
    hparams_file: str, run_opts: RunOptions, overrides: dict[str, Any]
) -> None:
    """Runs a recipe: models, data, training, evaluation."""
    hparams = load_flat(hparams_file, overrides)
    hparams["hparams_file"] = hparams_file
    check_finish(hparams)
    # load_flat puts hparams["encoder"] and hparams["recipe"] on its level.
    is_training = not (run_opts.test_only or hparams["export_only"])
    roles = ("teacher", "init_from") if is_training else ()
    folders = {
        role: find_model(
            hparams[role],
            hparams_file,
            overrides,
            hparams,
            train=lambda recipe, settings: run(recipe, run_opts, settings),
        )
        for role in roles
        if hparams[role]
    }
    models = {folder: load_pretrained(folder) for folder in folders.values()}
    task = find_vocabulary(hparams, models)
    teacher = models.get(folders.get("teacher"))
    if "init_from" in folders:
        start = folders["init_from"]
        source, target = models[start].modules, hparams["modules"]
        sizes = (m["model"].n_total for m in (target, source))
        gates = layers_to_start_from(hparams["init_layers"], *sizes)
        copy_weights(source, target, start, gates)

    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file if is_training else None,
        overrides=route(hparams_file, overrides),
        save_env_desc=is_training,
    )
    csv_folder = prepare_data(hparams)
    task = task or make_vocabulary(hparams, csv_folder)
    # What cannot be decoded as asked is said before training.
    task.with_decoding(hparams["decoding"], hparams["beam_options"])
    keep_vocabulary(hparams, task)
    seed_everything(hparams["seed"])
    brain = make_brain(hparams, run_opts, task, teacher)
    if is_training:
        if "teacher" in folders:
            keep_teacher_report(folders["teacher"], hparams["save_folder"])
        if "init_from" in folders:
            brain.clock.spent.before = read_training(folders["init_from"])
        fit(brain, hparams, task, csv_folder)
    brain.load_average()
    run_on_main(finish, args=[brain, hparams, task, csv_folder])
