"""What comes behind training: the model's folder, and its scores."""

import copy
import csv
from pathlib import Path
from typing import Any, Optional

from speechbrain.dataio.dataloader import make_dataloader

from dld_brain.audio import dataset as data
from dld_brain.depth_table import DepthTable
from dld_brain.encoder.deepen import default_ladder
from dld_brain.encoder.routers.of_input import InputRouter
from dld_brain.encoder.routers.of_layers import ScoredLayers
from dld_brain.evaluation import report
from dld_brain.evaluation.escalation import escalation_curve
from dld_brain.evaluation.evaluate import DepthEvaluation, default_depths
from dld_brain.evaluation.routing import routing_curve
from dld_brain.evaluation.scores import DepthScore
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import (
    add_report,
    load_state_strictly,
    save_model,
    weights_hash,
)
from dld_brain.run.config import choice
from dld_brain.search.choose import LayerChooser, check_splits
from dld_brain.search.strategies import check_strategy
from dld_brain.tasks import Task
from dld_brain.training.brain import ORDERS, DLDBrain
from dld_brain.training.checkpoints import epoch_file


def check_finish(hparams: dict[str, Any]) -> None:
    """Raises where a model cannot be evaluated as asked; before long work.

    Raises
    ------
    ValueError
        If a strategy cannot be run, or would see test speech, an epoch is
        to be kept that there is not, or a choice is none.
    """
    last = hparams["number_of_epochs"]
    for epoch in hparams["keep_epochs"]:
        if not 1 <= epoch <= last:
            raise ValueError(
                f"`keep_epochs` must be between 1 and `number_of_epochs` "
                f"({last}), but has {epoch}"
            )
    for key, options in (
        ("gates", hparams["gate_samplers"]),
        ("distillation", hparams["distillations"]),
        ("averaged", ORDERS),
    ):
        choice(hparams, key, options)
    n_total = hparams["modules"]["model"].n_total
    check_strategy(hparams["layer_selection"], n_total, hparams["nested"])
    for strategy in hparams["compare_selections"]:
        check_strategy(strategy, n_total, False)
    check_splits(list(hparams["search_splits"]), list(hparams["test_splits"]))


def make_chooser(
    brain: DLDBrain,
    model_hash: str,
    hparams: dict[str, Any],
    task: Task,
    csv_folder: str,
) -> LayerChooser:
    """Makes what chooses the layers of each depth, on development speech."""
    splits = hparams["search_splits"] or hparams["valid_splits"]
    return LayerChooser(
        brain.plain_modules(),
        model_hash,
        task,
        data.make_dataset(
            data.merged_csv(csv_folder, splits, hparams["save_folder"]),
            hparams["data_folder"],
            task,
            hparams["sample_rate"],
        ),
        hparams["sample_rate"],
        n_utterances=hparams["search_utterances"],
        batch_size=hparams["test_batch_size"],
        seed=hparams["seed"],
        path=str(Path(hparams["save_folder"], "layer_scores.json")),
        trained=trained_layers(brain),
    )


def trained_layers(brain: DLDBrain) -> dict[int, Gates]:
    """The layers that training had for each of its depths, or has learnt."""
    router = brain.plain_modules()["model"].router
    source = router if isinstance(router, ScoredLayers) else brain.gate_sampler
    return {n: source.gates_for(n) for n in brain.gate_sampler.depths}


def make_evaluation(
    brain: DLDBrain,
    hparams: dict[str, Any],
    task: Task,
    selections: dict[str, dict[int, Gates]],
    random_draws: int = 0,
) -> DepthEvaluation:
    """Makes what scores test sets.

    Arguments
    ---------
    selections : dict of str to dict of int to Gates
        By strategy and depth.
    """
    return DepthEvaluation(
        brain.plain_modules(),
        task.with_decoding(hparams["decoding"], hparams["beam_options"]),
        hparams["sample_rate"],
        selections,
        random_draws=random_draws,
        seed=hparams["seed"],
    )


def test_sets(
    hparams: dict[str, Any], task: Task, csv_folder: str
) -> dict[str, Any]:
    """Loaders of the test sets."""
    return {
        name: make_dataloader(
            data.make_dataset(
                str(data.csv_file(csv_folder, name)),
                hparams["data_folder"],
                task,
                hparams["sample_rate"],
            ),
            batch_size=hparams["test_batch_size"],
        )
        for name in hparams["test_splits"]
    }


def score_epochs(
    brain: DLDBrain,
    hparams: dict[str, Any],
    task: Task,
    loaders: dict[str, Any],
    chosen: dict[str, dict[int, Gates]],
) -> Optional[dict[int, dict[str, list[DepthScore]]]]:
    """Scores the epochs that were kept; the model is as before behind it.

    Arguments
    ---------
    chosen : dict of str to dict of int to Gates
        By strategy and depth.

    Returns
    -------
    dict of int to dict of str to list of DepthScore
        By epoch and test set; None if no epoch was kept.
    """
    files = {
        epoch: epoch_file(hparams["save_folder"], epoch)
        for epoch in hparams["keep_epochs"]
    }
    kept = {epoch: path for epoch, path in files.items() if path.is_file()}
    model = brain.plain_modules()["model"]
    state = copy.deepcopy(model.state_dict())
    found = {}
    for epoch, path in kept.items():
        load_state_strictly(model, path)
        evaluation = make_evaluation(brain, hparams, task, chosen)
        found[epoch] = {
            name: evaluation.scores(
                evaluation.answer(loader, f"epoch {epoch}, {name}")
            )
            for name, loader in loaders.items()
        }
    model.load_state_dict(state)
    return found or None


def evaluate(
    brain: DLDBrain,
    hparams: dict[str, Any],
    task: Task,
    csv_folder: str,
    chooser: LayerChooser,
    table: DepthTable,
) -> report.Report:
    """Scores every test set at every depth.

    Arguments
    ---------
    chooser : LayerChooser
        Chooses the layers that are compared with those of the table.
    """
    depths = list(hparams["test_depths"]) or [
        n for n in default_depths(brain.n_total) if n in table.depths
    ]
    others = [s for s in hparams["compare_selections"] if s != table.strategy]
    tables = [table, *(chooser.choose(strategy) for strategy in others)]
    chosen = {
        t.strategy: {n: Gates.of(t.layers(n), brain.n_total) for n in depths}
        for t in tables
    }
    evaluation = make_evaluation(
        brain, hparams, task, chosen, hparams["random_draws"]
    )
    loaders = test_sets(hparams, task, csv_folder)
    ladder = default_ladder(depths[0], depths)
    sets, curves, unknown, routing = {}, {}, {}, {}
    is_routed = isinstance(evaluation.model.router, InputRouter)
    folder = hparams["output_folder"]
    for name, loader in loaders.items():
        result = evaluation.answer(loader, name)
        sets[name] = evaluation.scores(result)
        gates = chosen[table.strategy]
        report.write_details(folder, name, task, gates, result)
        rungs = [gates[n] for n in ladder]
        curves[name] = escalation_curve(result, rungs, task)
        unknown[name] = task.unknown(result.references)
        if is_routed:
            routing[name] = routing_curve(evaluation, loader, name)
    return report.Report(
        experiment=Path(folder).parent.name,
        seed=hparams["seed"],
        recipe=Path(hparams["hparams_file"]).stem,
        corpus=hparams["corpus"],
        gates=hparams["gates"],
        starts_from_model=bool(hparams["init_from"]),
        metric=task.metric,
        higher_is_better=task.higher_is_better,
        sets=sets,
        teacher=report.rates_of_teacher(hparams["save_folder"]),
        training=brain.last_meta().get("training"),
        epochs=score_epochs(brain, hparams, task, loaders, chosen),
        layer_importance=(
            chooser.importance() if hparams["layer_importance"] else None
        ),
        gates_seen=brain.gates_seen(),
        escalation=curves,
        routing=routing or None,
        unknown_labels={k: v for k, v in unknown.items() if v} or None,
    )


def print_next_step(hparams: dict[str, Any], task: Task, depth: int) -> None:
    """Prints how the model is used."""
    verb = {"transcription": "transcribe", "classification": "classify"}
    command = verb[task.name]
    print(
        f"{command.capitalize()} a file with:\n  python -m "
        f"pretrained_interfaces {command} --source {hparams['output_folder']}/pretrained "
        f"--n_layers {depth} FILE"
    )


def finish(
    brain: DLDBrain,
    hparams: dict[str, Any],
    task: Task,
    csv_folder: str,
) -> None:
    """Writes `pretrained/` with its depth table; evaluates."""
    pretrained = str(Path(hparams["output_folder"], "pretrained"))
    modules = brain.plain_modules()
    model_hash = weights_hash(modules["model"])
    chooser = make_chooser(brain, model_hash, hparams, task, csv_folder)
    table = chooser.choose(hparams["layer_selection"], hparams["nested"])
    training = describe_training(hparams, csv_folder)
    save_model(pretrained, modules, task, table, hparams, training)
    if not hparams["export_only"]:
        found = evaluate(brain, hparams, task, csv_folder, chooser, table)
        add_report(pretrained, task, table, found.write)
        print(found.write(hparams["output_folder"]))
        print_next_step(hparams, task, table.depths[0])


def describe_training(
    hparams: dict[str, Any], csv_folder: str
) -> dict[str, Any]:
    """What the training.json of a model says that training knows."""
    seconds = []
    for split in hparams["train_splits"]:
        path = data.csv_file(csv_folder, split)
        with open(path, newline="", encoding="utf-8") as file:
            seconds += [float(row["duration"]) for row in csv.DictReader(file)]
    seconds = [x for x in seconds if x <= hparams["max_train_seconds"]]
    keys = ("train_splits", "valid_splits", "test_splits")
    return {
        "corpus": hparams["corpus"] or None,
        **{key: list(hparams[key]) for key in keys},
        "hours": round(sum(seconds) / 3600, 6),
        "longest_utterance": max(seconds, default=None),  # s
        "language": hparams.get("language"),
        "seed": hparams["seed"],
        "recipe": Path(hparams["hparams_file"]).stem,
        "init_from": hparams["init_from"],
        "teacher": hparams["teacher"],
    }
