"""What comes behind training: the model's folder, and its scores."""

import copy
import datetime
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

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
    commit,
    load_state_strictly,
    save_model,
    weights_hash,
)
from dld_brain.run.record import training_speech
from dld_brain.run.settings import Settings
from dld_brain.search.choose import LayerChooser
from dld_brain.tasks import Task
from dld_brain.training.brain import DLDBrain
from dld_brain.training.checkpoints import epoch_file
from dld_brain.training.clock import machine
from speechbrain.dataio.dataloader import make_dataloader


def trained_layers(brain: DLDBrain) -> dict[int, Gates]:
    """The layers that training had for each of its depths, or has learnt."""
    router = brain.plain_modules()["model"].router
    source = router if isinstance(router, ScoredLayers) else brain.gate_sampler
    return {n: source.gates_for(n) for n in brain.gate_sampler.depths}


class Finish:
    """Writes and scores what a run has trained.

    Arguments
    ---------
    csv_folder : str
        Folder of `<split>.csv`.
    command : str
        What trains and scores the same again.
    """

    def __init__(
        self,
        settings: Settings,
        brain: DLDBrain,
        task: Task,
        csv_folder: str,
        command: str = "",
    ) -> None:
        self.settings = settings
        self.brain = brain
        self.task = task
        self.csv_folder = csv_folder
        self.command = command

    def run(self, encoder: Mapping[str, Any]) -> None:
        """Writes `pretrained/` with its depth table; evaluates.

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
        save_model(pretrained, modules, self.task, table, encoder, training)
        if self.settings.evaluation.export_only:
            return
        found = self.evaluate(chooser, table)
        add_report(pretrained, self.task, table, found.write)
        found.write(output_folder)
        self.print_end(found, pretrained)

    def print_end(self, found: report.Report, pretrained: str) -> None:
        """Prints the table, where the picture is, and what to try.

        The depth is the middle one of those that were scored, the file one
        of the test speech.
        """
        folder = Path(self.settings.start.output_folder)
        name, scores = next(iter(found.sets.items()))
        depths = sorted({s.n_layers for s in scores})
        path = str(data.csv_file(self.csv_folder, name))
        wav = next(iter(self.dataset(path).data.values()))["wav"]
        verb = {"transcription": "transcribe", "classification": "classify"}
        print(
            f"\n{found.summary()}\n"
            f"More in {folder / 'depth_report.md'}; the picture of it: "
            f"{folder / found.picture}\n"
            f"{verb[self.task.name].capitalize()} a file with:\n"
            f"  python -m pretrained_interfaces {verb[self.task.name]} "
            f"--source {pretrained} --n_layers {depths[len(depths) // 2]} "
            f"{shlex.quote(wav)}"
        )

    def dataset(self, csv: str) -> Any:
        """The dataset of a CSV file."""
        return data.make_dataset(
            csv,
            self.settings.data.data_folder,
            self.task,
            self.settings.encoder.sample_rate,
        )

    def make_chooser(self, model_hash: str) -> LayerChooser:
        """Makes what chooses the layers of each depth, on development speech."""
        search, folder = self.settings.search, self.settings.start.save_folder
        splits = search.search_splits or self.settings.data.valid_splits
        return LayerChooser(
            self.brain.plain_modules(),
            model_hash,
            self.task,
            self.dataset(
                data.merged_csv(self.csv_folder, list(splits), folder)
            ),
            self.settings.encoder.sample_rate,
            n_utterances=search.search_utterances,
            batch_size=self.settings.evaluation.test_batch_size,
            seed=self.settings.start.seed,
            path=str(Path(folder, "layer_scores.json")),
            trained=trained_layers(self.brain),
        )

    def make_evaluation(
        self, selections: dict[str, dict[int, Gates]], random_draws: int = 0
    ) -> DepthEvaluation:
        """Makes what scores test sets.

        Arguments
        ---------
        selections : dict of str to dict of int to Gates
            By strategy and depth.
        """
        decoding = self.settings.evaluation.decoding
        return DepthEvaluation(
            self.brain.plain_modules(),
            self.task.with_decoding(decoding.name, decoding.options),
            self.settings.encoder.sample_rate,
            selections,
            random_draws=random_draws,
            seed=self.settings.start.seed,
        )

    def test_sets(self) -> dict[str, Any]:
        """Loaders of the test sets."""
        return {
            name: make_dataloader(
                self.dataset(str(data.csv_file(self.csv_folder, name))),
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

    def evaluate(
        self, chooser: LayerChooser, table: DepthTable
    ) -> report.Report:
        """Scores every test set at every depth.

        Arguments
        ---------
        chooser : LayerChooser
            Chooses the layers that are compared with those of the table.
        """
        settings, brain, task = self.settings, self.brain, self.task
        depths = list(settings.evaluation.test_depths) or [
            n for n in default_depths(brain.n_total) if n in table.depths
        ]
        others = [
            s for s in settings.search.compare_selections if s != table.strategy
        ]
        tables = [table, *(chooser.choose(strategy) for strategy in others)]
        chosen = {
            t.strategy: {n: t.gates(n, brain.n_total) for n in depths}
            for t in tables
        }
        evaluation = self.make_evaluation(
            chosen, settings.evaluation.random_draws
        )
        loaders = self.test_sets()
        gates = chosen[table.strategy]
        rungs = [gates[n] for n in default_ladder(depths[0], depths)]
        sets, curves, unknown, routing = {}, {}, {}, {}
        is_routed = isinstance(evaluation.model.router, InputRouter)
        folder = settings.start.output_folder
        for name, loader in loaders.items():
            result = evaluation.answer(loader, name)
            sets[name] = evaluation.scores(result)
            report.write_details(folder, name, task, gates, result)
            curves[name] = escalation_curve(result, rungs, task)
            unknown[name] = task.unknown(result.references)
            if is_routed:
                routing[name] = routing_curve(evaluation, loader, name)
        return report.Report(
            experiment=Path(folder).parent.name,
            seed=settings.start.seed,
            recipe=settings.title,
            command=self.command,
            commit=commit(),
            machine=machine(brain.device),
            date=datetime.date.today().isoformat(),
            corpus=settings.data.corpus,
            gates=settings.losses.gates.name,
            starts_from_model=bool(settings.start.init_from),
            metric=task.metric,
            higher_is_better=task.higher_is_better,
            sets=sets,
            teacher=report.rates_of_teacher(settings.start.save_folder),
            training=brain.last_meta().get("training"),
            epochs=self.score_epochs(loaders, chosen),
            layer_importance=(
                chooser.importance()
                if settings.evaluation.layer_importance
                else None
            ),
            gates_seen=brain.gates_seen(),
            escalation=curves,
            routing=routing or None,
            unknown_labels={k: v for k, v in unknown.items() if v} or None,
        )
