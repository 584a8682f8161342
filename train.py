#!/usr/bin/env python3
"""Trains a dynamic speech encoder and scores it at every depth.

The only training script: what is trained, and from what, stands in the
hparams file; the corpus in recipes/<Corpus>/.

To run this recipe, do the following:
> python train.py hparams/quickstart.yaml
> python train.py hparams/conformer_dld.yaml --data_folder=/LibriSpeech
> python train.py hparams/conformer_dld.yaml --data_folder=/an4 --corpus=AN4

Authors
 * The dld_brain authors 2026
"""

import sys
from pathlib import Path
from typing import Any, Optional

import speechbrain as sb
from sentencepiece import SentencePieceProcessor
from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.run_opts import RunOptions
from speechbrain.utils.seed import seed_everything
from speechbrain.utils.train_logger import TensorboardLogger

from dld_brain import data, report
from dld_brain.brain import DLDBrain
from dld_brain.choose import LayerChooser, check_splits
from dld_brain.config import load_flat, read_tree, route
from dld_brain.decode import make_decoder
from dld_brain.depth import DepthTable
from dld_brain.evaluate import DepthEvaluation, default_depths
from dld_brain.memory import keep_freed_memory
from dld_brain.pretrained import (
    PretrainedModel,
    copy_weights,
    load_pretrained,
    save_hyperparams,
    save_weights,
)
from dld_brain.start import find_model, find_tokenizer, keep_tokenizer
from dld_brain.strategies import check_strategy


def prepare_data(hparams: dict[str, Any]) -> str:
    """Writes the CSV files of the corpus, or finds those of one's own.

    Arguments
    ---------
    hparams : dict
        Hyperparameters.

    Returns
    -------
    str
        Folder of `<split>.csv`.

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
    tokenizer: SentencePieceProcessor,
    teacher: Optional[PretrainedModel],
) -> DLDBrain:
    """Makes the Brain of a run.

    Arguments
    ---------
    hparams : dict
        Hyperparameters.
    run_opts : RunOptions
        Run options.
    tokenizer : SentencePieceProcessor
        The tokenizer.
    teacher : PretrainedModel, optional
        The teacher.

    Returns
    -------
    DLDBrain
    """
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
        decoder=make_decoder("greedy", tokenizer),
        teacher=teacher.modules if teacher else None,
        valid_depths=list(hparams["valid_depths"]),
    )


def fit(
    brain: DLDBrain,
    hparams: dict[str, Any],
    tokenizer: SentencePieceProcessor,
    csv_folder: str,
) -> None:
    """Trains.

    Arguments
    ---------
    brain : DLDBrain
        The Brain.
    hparams : dict
        Hyperparameters.
    tokenizer : SentencePieceProcessor
        The tokenizer.
    csv_folder : str
        Folder of `<split>.csv`.
    """
    train_set, valid_set = (
        data.make_dataset(
            data.merged_csv(csv_folder, hparams[key], hparams["save_folder"]),
            hparams["data_folder"],
            tokenizer,
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


def check_search(hparams: dict[str, Any]) -> None:
    """Raises where layers cannot be chosen as asked; before long work.

    Arguments
    ---------
    hparams : dict
        Hyperparameters.

    Raises
    ------
    ValueError
        If a strategy cannot be run, or would see test speech.
    """
    n_total = hparams["modules"]["model"].n_total
    check_strategy(hparams["layer_selection"], n_total, hparams["nested"])
    for strategy in hparams["compare_selections"]:
        check_strategy(strategy, n_total, False)
    check_splits(list(hparams["search_splits"]), list(hparams["test_splits"]))


def make_chooser(
    brain: DLDBrain,
    model_hash: str,
    hparams: dict[str, Any],
    tokenizer: SentencePieceProcessor,
    csv_folder: str,
) -> LayerChooser:
    """Makes what chooses the layers of each depth, on development speech.

    Arguments
    ---------
    brain : DLDBrain
        The Brain, its weights averaged.
    model_hash : str
        Names these weights.
    hparams : dict
        Hyperparameters.
    tokenizer : SentencePieceProcessor
        The tokenizer.
    csv_folder : str
        Folder of `<split>.csv`.

    Returns
    -------
    LayerChooser
    """
    splits = hparams["search_splits"] or hparams["valid_splits"]
    return LayerChooser(
        brain.plain_modules(),
        model_hash,
        make_decoder("greedy", tokenizer),
        data.make_dataset(
            data.merged_csv(csv_folder, splits, hparams["save_folder"]),
            hparams["data_folder"],
            tokenizer,
            hparams["sample_rate"],
        ),
        hparams["sample_rate"],
        n_utterances=hparams["search_utterances"],
        batch_size=hparams["test_batch_size"],
        seed=hparams["seed"],
        path=str(Path(hparams["save_folder"], "layer_scores.json")),
    )


def evaluate(
    brain: DLDBrain,
    hparams: dict[str, Any],
    tokenizer: SentencePieceProcessor,
    csv_folder: str,
    chooser: LayerChooser,
    table: DepthTable,
) -> None:
    """Scores every test set at every depth; writes and prints the report.

    Arguments
    ---------
    brain : DLDBrain
        The Brain, its weights averaged.
    hparams : dict
        Hyperparameters.
    tokenizer : SentencePieceProcessor
        The tokenizer.
    csv_folder : str
        Folder of `<split>.csv`.
    chooser : LayerChooser
        Chooses the layers that are compared with those of the table.
    table : DepthTable
        The model's depth table.
    """
    depths = list(hparams["test_depths"]) or default_depths(brain.n_total)
    others = [s for s in hparams["compare_selections"] if s != table.strategy]
    tables = [table, *(chooser.choose(strategy) for strategy in others)]
    evaluation = DepthEvaluation(
        brain.plain_modules(),
        make_decoder(hparams["decoding"], tokenizer, hparams["beam_options"]),
        hparams["sample_rate"],
        {t.strategy: {n: t.layers(n) for n in depths} for t in tables},
        random_draws=hparams["random_draws"],
        seed=hparams["seed"],
    )
    folder = hparams["output_folder"]
    sets = {}
    for name in hparams["test_splits"]:
        dataset = data.make_dataset(
            str(data.csv_file(csv_folder, name)),
            hparams["data_folder"],
            tokenizer,
            hparams["sample_rate"],
        )
        loader = sb.dataio.dataloader.make_dataloader(
            dataset, batch_size=hparams["test_batch_size"]
        )
        result = evaluation.transcribe(loader, name)
        sets[name] = evaluation.scores(result)
        chosen = evaluation.selections[table.strategy]
        report.write_alignments(folder, name, chosen, result)
    found = report.Report(
        experiment=Path(folder).parent.name,
        seed=hparams["seed"],
        sets=sets,
        layer_importance=(
            chooser.importance() if hparams["layer_importance"] else None
        ),
        gates_seen=brain.gates_seen(),
    )
    for place in (str(Path(folder, "pretrained")), folder):
        markdown = found.write(place)
    shortest = dataset.data[dataset.data_ids[-1]]["wav"]
    print(
        f"{markdown}\nTranscribe a file with:\n"
        f"  python -m pretrained_interfaces transcribe --source "
        f"{folder}/pretrained --n_layers {depths[0]} {shortest}"
    )


def finish(
    brain: DLDBrain,
    hparams: dict[str, Any],
    tokenizer: SentencePieceProcessor,
    csv_folder: str,
) -> None:
    """Writes `pretrained/` with its depth table; evaluates.

    Arguments
    ---------
    brain : DLDBrain
        The Brain, its weights averaged.
    hparams : dict
        Hyperparameters.
    tokenizer : SentencePieceProcessor
        The tokenizer.
    csv_folder : str
        Folder of `<split>.csv`.
    """
    pretrained = str(Path(hparams["output_folder"], "pretrained"))
    model_hash = save_weights(pretrained, brain.plain_modules(), tokenizer)
    chooser = make_chooser(brain, model_hash, hparams, tokenizer, csv_folder)
    table = chooser.choose(hparams["layer_selection"], hparams["nested"])
    table.save(pretrained)
    save_hyperparams(pretrained, hparams["encoder_yaml"])
    if not hparams["export_only"]:
        evaluate(brain, hparams, tokenizer, csv_folder, chooser, table)


def run(
    hparams_file: str, run_opts: RunOptions, overrides: dict[str, Any]
) -> None:
    """Runs a recipe: models, data, training, evaluation.

    Arguments
    ---------
    hparams_file : str
        File of hparams/.
    run_opts : RunOptions
        Run options.
    overrides : dict
        Of the command line.
    """
    hparams = load_flat(hparams_file, overrides)
    check_search(hparams)
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
    tokenizer = find_tokenizer(hparams, models)
    teacher = models.get(folders.get("teacher"))
    if "init_from" in folders:
        start = folders["init_from"]
        copy_weights(models[start].modules, hparams["modules"], start)

    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file if is_training else None,
        overrides=route(hparams_file, overrides),
        save_env_desc=is_training,
    )
    csv_folder = prepare_data(hparams)
    if tokenizer is None:
        tokenizer = data.make_tokenizer(
            hparams["save_folder"],
            data.merged_csv(
                csv_folder, hparams["train_splits"], hparams["save_folder"]
            ),
            hparams["token_type"],
            hparams["vocab_size"],
        )
    keep_tokenizer(hparams, tokenizer)
    seed_everything(hparams["seed"])
    brain = make_brain(hparams, run_opts, tokenizer, teacher)
    if is_training:
        fit(brain, hparams, tokenizer, csv_folder)
    brain.load_average()
    run_on_main(finish, args=[brain, hparams, tokenizer, csv_folder])


def main(arguments: list[str]) -> None:
    """Runs the recipe that the command line names.

    Arguments
    ---------
    arguments : list of str
        The command line.
    """
    hparams_file, run_opts, overrides = sb.parse_arguments(arguments)
    sb.utils.distributed.ddp_init_group(run_opts)
    keep_freed_memory()
    run(hparams_file, run_opts, read_tree(overrides) if overrides else {})


if __name__ == "__main__":
    main(sys.argv[1:])
