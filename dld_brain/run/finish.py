"""What comes behind training: the model's folder, and its scores."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dld_brain.audio.csv_files import csv_file, read_rows
from dld_brain.audio.dataset import merged_csv
from dld_brain.depth_table import DepthTable
from dld_brain.encoder.routers.of_layers import ScoredLayers
from dld_brain.evaluation import report
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import add_report, save_model, weights_hash
from dld_brain.model_folder.card import VERBS
from dld_brain.run.own_speech import most_tokens
from dld_brain.run.record import training_speech
from dld_brain.run.scoring import Scoring
from dld_brain.search.choose import LayerChooser
from dld_brain.training.brain import DLDBrain
from speechbrain.utils.distributed import run_on_main


def trained_layers(brain: DLDBrain) -> dict[int, Gates]:
    """The layers that training had for each of its depths, or has learnt."""
    router = brain.plain_modules()["model"].router
    source = router if isinstance(router, ScoredLayers) else brain.gate_sampler
    return {n: source.gates_for(n) for n in brain.gate_sampler.depths}


class Finish:
    """Writes and scores what a run has trained.

    Arguments
    ---------
    scoring : Scoring
        Of the run's model.
    """

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring
        self.settings = scoring.settings
        self.brain = scoring.brain
        self.task = scoring.task
        self.csv_folder = scoring.csv_folder

    def run(self, encoder: Mapping[str, Any]) -> None:
        """Writes `pretrained/` with its depth table; evaluates.

        Every rank is to call it: they share the evaluation, and the main
        process writes.

        Arguments
        ---------
        encoder : mapping
            Has the arguments of the encoder's factory; see `save_model`.
        """
        output_folder = self.settings.start.output_folder
        pretrained = str(Path(output_folder, "pretrained"))
        modules = self.brain.plain_modules()
        chooser = self.make_chooser(weights_hash(modules["model"]))
        selection = self.settings.search.selection
        table = chooser.choose(selection.name, **selection.options)
        training = training_speech(self.settings, self.csv_folder)
        told = [pretrained, modules, self.task, table, encoder, training]
        run_on_main(save_model, told)
        if self.settings.evaluation.export_only:
            return
        table = self.scoring.with_confidence(chooser, table)
        found = self.scoring.evaluate(chooser, table)
        run_on_main(self._write, [found, table, pretrained])

    def _write(
        self, found: report.Report, table: DepthTable, pretrained: str
    ) -> None:
        """Writes what was found, and prints it."""

        def write(folder: str) -> None:
            """Adds to the model's folder what was found."""
            table.save(folder)
            found.write(folder)

        add_report(pretrained, self.task, table, write)
        found.write(self.settings.start.output_folder)
        self.print_end(found, pretrained)

    def print_end(self, found: report.Report, pretrained: str) -> None:
        """Prints the table, where the picture is, and what to try.

        The depth is the middle one of those that were scored, the file one
        of the test speech.
        """
        folder = Path(self.settings.start.output_folder)
        name, scores = next(iter(found.sets.items()))
        depths = sorted({s.n_layers for s in scores})
        path = csv_file(self.csv_folder, name)
        root, column = self.settings.data.data_folder, self.task.column
        rows = read_rows(path, root, column)
        wav = next(iter(rows.items.values()))["wav"]
        verb = VERBS[self.task.name]
        print(
            f"\n{found.summary()}\n"
            f"More in {folder / 'depth_report.md'}; the picture of it: "
            f"{folder / found.picture}\n"
            f"{verb.capitalize()} a file with:\n"
            f"  python -m pretrained_interfaces {verb} "
            f"--source {pretrained} --n_layers {depths[len(depths) // 2]} "
            f"{shlex.quote(wav)}"
        )

    def make_chooser(self, model_hash: str) -> LayerChooser:
        """Makes what chooses the layers of each depth, on development speech."""
        search, folder = self.settings.search, self.settings.start.save_folder
        splits = search.search_splits or self.settings.data.valid_splits
        return LayerChooser(
            self.brain.plain_modules(),
            model_hash,
            self.task,
            self.scoring.dataset(
                merged_csv(self.csv_folder, list(splits), folder),
                most_tokens(self.settings),
            ),
            self.settings.encoder.sample_rate,
            n_utterances=search.search_utterances,
            batch_size=self.settings.evaluation.test_batch_size,
            seed=self.settings.start.seed,
            path=str(Path(folder, "layer_scores.json")),
            trained=trained_layers(self.brain),
        )
