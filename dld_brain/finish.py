"""What comes behind training: the model's folder, and its scores.

Authors
 * The dld_brain authors 2026
"""

from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor
from speechbrain.dataio.dataloader import make_dataloader

from dld_brain import data, report
from dld_brain.brain import DLDBrain
from dld_brain.choose import LayerChooser, check_splits
from dld_brain.decode import make_decoder
from dld_brain.depth import DepthTable
from dld_brain.escalate import default_ladder, escalation_curve
from dld_brain.evaluate import DepthEvaluation, default_depths
from dld_brain.pretrained import save_hyperparams, save_weights
from dld_brain.strategies import check_strategy


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
    sets, curves = {}, {}
    ladder = [table.layers(n) for n in default_ladder(depths[0], depths)]
    for name in hparams["test_splits"]:
        dataset = data.make_dataset(
            str(data.csv_file(csv_folder, name)),
            hparams["data_folder"],
            tokenizer,
            hparams["sample_rate"],
        )
        loader = make_dataloader(dataset, batch_size=hparams["test_batch_size"])
        result = evaluation.transcribe(loader, name)
        sets[name] = evaluation.scores(result)
        chosen = evaluation.selections[table.strategy]
        report.write_alignments(folder, name, chosen, result)
        curves[name] = escalation_curve(result, ladder, brain.n_total)
    found = report.Report(
        experiment=Path(folder).parent.name,
        seed=hparams["seed"],
        sets=sets,
        layer_importance=(
            chooser.importance() if hparams["layer_importance"] else None
        ),
        gates_seen=brain.gates_seen(),
        escalation=curves,
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
