"""Scores what a run has trained, at every depth of every test set."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from dld_brain.audio.csv_files import csv_file
from dld_brain.audio.dataset import make_dataset
from dld_brain.depth_table import DepthTable
from dld_brain.encoder.deepen import default_ladder
from dld_brain.encoder.routers.of_input import InputRouter
from dld_brain.evaluation import report
from dld_brain.evaluation.confidence import add_errors, with_scales
from dld_brain.evaluation.escalation import EscalationPoint, escalation_curve
from dld_brain.evaluation.evaluate import DepthEvaluation, default_depths
from dld_brain.evaluation.routing import RoutingPoint, routing_curve
from dld_brain.evaluation.scores import DepthScore
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import load_state_strictly
from dld_brain.run.decoder_depths import score_decoder
from dld_brain.run.language_model import (
    weigh_language_model,
    with_language_model,
)
from dld_brain.run.record import origin
from dld_brain.run.settings import Settings
from dld_brain.search.choose import LayerChooser, some_of
from dld_brain.tasks import Task
from dld_brain.training.brain import DLDBrain
from dld_brain.training.keeping import epoch_file
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.utils.distributed import run_on_main

#: Of development speech, for confidence: two numbers a depth need no more,
#: and every depth answers them all.
MOST_UTTERANCES = 500


class SetScores(NamedTuple):
    """What one test set gave; see `Report`."""

    scores: list[DepthScore]
    escalation: list[EscalationPoint]
    unknown: dict[str, int]
    routing: Optional[list[RoutingPoint]]


def by_test_set(found: Mapping[str, SetScores]) -> dict[str, Any]:
    """What a report says of each test set, by the report's field."""
    return {
        "sets": {name: f.scores for name, f in found.items()},
        "escalation": {name: f.escalation for name, f in found.items()},
        "routing": {n: f.routing for n, f in found.items() if f.routing}
        or None,
        "unknown_labels": {n: f.unknown for n, f in found.items() if f.unknown}
        or None,
    }


class Scoring:
    """Scores the model of a run.

    Arguments
    ---------
    csv_folder : str
        Folder of `<split>.csv`.
    command : str
        What trains and scores the same again.
    judged_by_teacher : sequence of str
        Splits whose references are the teacher's transcripts.
    """

    def __init__(
        self,
        settings: Settings,
        brain: DLDBrain,
        task: Task,
        csv_folder: str,
        command: str = "",
        judged_by_teacher: Sequence[str] = (),
    ) -> None:
        self.settings = settings
        self.brain = brain
        self.task = task
        self.csv_folder = csv_folder
        self.command = command
        self.judged_by_teacher = judged_by_teacher

    def dataset(self, csv: str, max_tokens: Optional[int] = None) -> Any:
        """The dataset of a CSV file, under the settings of the run.

        Arguments
        ---------
        max_tokens : int, optional
            Of a reference; see `make_dataset`.
        """
        told = self.settings.data
        return make_dataset(
            csv,
            told.data_folder,
            self.task,
            self.settings.encoder.sample_rate,
            max_unspellable=told.max_unspellable,
            only_readable=not told.is_decoded,
            max_tokens=max_tokens,
        )

    def make_evaluation(
        self,
        selections: dict[str, dict[int, Gates]],
        random_draws: int = 0,
        lm_task: Optional[Task] = None,
    ) -> DepthEvaluation:
        """Makes what scores test sets.

        Arguments
        ---------
        selections : dict of str to dict of int to Gates
            By strategy and depth.
        lm_task : Task, optional
            See `DepthEvaluation`.
        """
        decoding = self.settings.evaluation.decoding
        return DepthEvaluation(
            self.brain.plain_modules(),
            self.task.with_decoding(decoding.name, decoding.options),
            self.settings.encoder.sample_rate,
            selections,
            random_draws=random_draws,
            seed=self.settings.start.seed,
            lm_task=lm_task,
        )

    def test_sets(self) -> dict[str, Any]:
        """Loaders of the test sets."""
        return {
            name: make_dataloader(
                self.dataset(str(csv_file(self.csv_folder, name))),
                batch_size=self.settings.evaluation.test_batch_size,
            )
            for name in self.settings.data.test_splits
        }

    def score_epochs(
        self,
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
        folder = self.settings.start.save_folder
        epochs = self.settings.optimisation.keep_epochs
        files = {epoch: epoch_file(folder, epoch) for epoch in epochs}
        kept = {epoch: path for epoch, path in files.items() if path.is_file()}
        model = self.brain.plain_modules()["model"]
        state = copy.deepcopy(model.state_dict())
        found = {}
        for epoch, path in kept.items():
            load_state_strictly(model, path)
            evaluation = self.make_evaluation(chosen)
            found[epoch] = {
                name: evaluation.scores(
                    evaluation.answer(loader, f"epoch {epoch}, {name}")
                )
                for name, loader in loaders.items()
            }
        model.load_state_dict(state)
        return found or None

    def selections(
        self, chooser: LayerChooser, table: DepthTable
    ) -> dict[str, dict[int, Gates]]:
        """What is scored, by strategy and depth; the table's own first."""
        n_total, told = self.brain.n_total, self.settings
        depths = told.evaluation.test_depths or [
            n for n in default_depths(n_total) if n in table.depths
        ]
        others = [
            s for s in told.search.compare_selections if s != table.strategy
        ]
        tables = [table, *(chooser.choose(strategy) for strategy in others)]
        return {
            t.strategy: {n: t.gates(n, n_total) for n in depths} for t in tables
        }

    def with_confidence(
        self, chooser: LayerChooser, table: DepthTable
    ) -> DepthTable:
        """The table with what makes confidence, of development speech."""
        n_total = self.brain.n_total
        gates = {n: table.gates(n, n_total) for n in table.depths}
        part = some_of(chooser.dataset, MOST_UTTERANCES)
        size = self.settings.evaluation.test_batch_size
        loader = make_dataloader(part, batch_size=size)
        evaluation = self.make_evaluation({table.strategy: gates})
        result = evaluation.answer(loader, "confidence")
        return with_scales(table, result, self.task)

    def score_set(
        self,
        evaluation: DepthEvaluation,
        loader: Any,
        name: str,
        gates: Mapping[int, Gates],
        table: DepthTable,
    ) -> SetScores:
        """Scores a test set, and writes what was right and wrong in it.

        Arguments
        ---------
        gates : mapping of int to Gates
            Of the depth table, by depth.
        table : DepthTable
            With what makes confidence.
        """
        result = evaluation.answer(loader, name, word_times=True)
        folder, depths = self.settings.start.output_folder, list(gates)
        told = [folder, name, self.task, gates, result]
        run_on_main(report.write_details, told)
        rungs = [gates[n] for n in default_ladder(depths[0], depths)]
        is_routed = isinstance(evaluation.model.router, InputRouter)
        scores = evaluation.scores(result)
        add_errors(scores, table, result, self.task, self.brain.n_total)
        return SetScores(
            scores,
            escalation_curve(result, rungs, self.task),
            self.task.unknown(result.references),
            routing_curve(evaluation, loader, name) if is_routed else None,
        )

    def evaluate(
        self, chooser: LayerChooser, table: DepthTable
    ) -> report.Report:
        """Scores every test set at every depth.

        Arguments
        ---------
        chooser : LayerChooser
            Chooses the layers that are compared with those of the table.
        """
        told = self.settings.evaluation
        chosen = self.selections(chooser, table)
        loaders, gates = self.test_sets(), chosen[table.strategy]
        lm = weigh_language_model(self, chooser, gates)
        evaluation = self.make_evaluation(
            chosen, told.random_draws, with_language_model(told, self.task, lm)
        )
        found = {
            name: self.score_set(evaluation, loader, name, gates, table)
            for name, loader in loaders.items()
        }
        epochs = self.score_epochs(loaders, chosen)
        importance = chooser.importance() if told.layer_importance else None
        scores = {name: f.scores for name, f in found.items()}
        return report.Report(
            **origin(self.settings, self.brain, self.csv_folder),
            **by_test_set(found),
            command=self.command,
            epochs=epochs,
            layer_importance=importance,
            decoder=score_decoder(self, loaders, scores, table),
            lm=lm,
            judged_by_teacher=list(self.judged_by_teacher) or None,
        )
