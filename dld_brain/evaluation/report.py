"""The report of an evaluation over depth: JSON, table, plots, details."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from dld_brain.evaluation import report_text
from dld_brain.evaluation.escalation import EscalationPoint
from dld_brain.evaluation.plots import (
    plot_adaptive,
    plot_depth,
    plot_gates,
    plot_importance,
    plot_speed,
)
from dld_brain.evaluation.routing import RoutingPoint
from dld_brain.evaluation.scores import Answers, DepthScore
from dld_brain.files.whole import whole_file, write_text
from dld_brain.gates.gates import Gates
from dld_brain.tasks import Task


@dataclass
class Report:
    """What an evaluation over depths found.

    Arguments
    ---------
    command : str
        What trains and scores the same again.
    commit : str, optional
        Of this package, where it is a clone.
    date : str
        ISO 8601.
    train_hours : float
        Of speech that training has seen.
    starts_from_model : bool
        Whether it started from a trained model.
    metric : str
        What depths are compared by: WER, CER or accuracy.
    higher_is_better : bool
        Whether a higher value of it is the better one.
    teacher : dict of str to float, optional
        By test set, the metric of the teacher at full depth, %.
    training : dict, optional
        Fields of a Training: what it took.
    epochs : dict of int to dict of str to list of DepthScore, optional
        By epoch that was kept, and test set.
    layer_importance : list of float, optional
        The metric on development speech by the one layer that is closed,
        and behind them with none, %.
    gates_seen : dict of int to int, optional
        Training steps by the number of open gates.
    escalation : dict of str to list of EscalationPoint, optional
        By test set, what going deeper where unsure gives.
    routing : dict of str to list of RoutingPoint, optional
        By test set, what the thresholds of a router of inputs give.
    unknown_labels : dict of str to dict of str to int, optional
        By test set, labels that training data has not and how often they
        are there; no answer is right.
    lm : dict, optional
        The language model that depths are scored with, too: `file`, `alpha`,
        `beta`.
    decoder : dict of str to list of DepthScore, optional
        By test set, the depths of the encoder with those of the decoder; see
        `decoder_grid`.
    judged_by_teacher : list of str, optional
        Splits without transcripts: their references are the teacher's.
    """

    experiment: str
    seed: int
    recipe: str
    command: str
    commit: Optional[str]
    machine: dict[str, Any]
    date: str
    corpus: str
    train_splits: list[str]
    train_hours: float
    gates: str
    starts_from_model: bool
    metric: str
    higher_is_better: bool
    sets: dict[str, list[DepthScore]]
    teacher: Optional[dict[str, float]] = None
    training: Optional[dict[str, Any]] = None
    epochs: Optional[dict[int, dict[str, list[DepthScore]]]] = None
    layer_importance: Optional[list[float]] = None
    gates_seen: Optional[dict[int, int]] = None
    escalation: Optional[dict[str, list[EscalationPoint]]] = None
    routing: Optional[dict[str, list[RoutingPoint]]] = None
    unknown_labels: Optional[dict[str, dict[str, int]]] = None
    lm: Optional[dict[str, Any]] = None
    decoder: Optional[dict[str, list[DepthScore]]] = None
    judged_by_teacher: Optional[list[str]] = None

    @property
    def title(self) -> str:
        """Experiment and seed."""
        return f"{self.experiment}, seed {self.seed}"

    @property
    def picture(self) -> str:
        """Name of the picture of the metric against depth."""
        return f"{self.metric.lower()}_vs_depth.png"

    def write(self, folder: str) -> str:
        """Writes depth_report.json, depth_report.md and the pictures."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        content = drop_none(asdict(self))
        others = content.get("epochs", {}).values()
        for sets in (content["sets"], content.get("decoder", {}), *others):
            for name, rows in sets.items():
                sets[name] = [drop_none(row) for row in rows]
        text = json.dumps(content, indent=2)
        write_text(path / "depth_report.json", text + "\n")
        write_text(path / "depth_report.md", self.markdown())
        name, labels = self.metric.lower(), (self.title, self.metric)
        plot_depth(self.sets, path / self.picture, *labels, self.teacher)
        plot_speed(self.sets, path / f"{name}_vs_rtf.png", *labels)
        if self.layer_importance is not None:
            file = path / "layer_importance.png"
            plot_importance(self.layer_importance, file, *labels)
        if self.gates_seen is not None:
            plot_gates(self.gates_seen, path / "gates_seen.png", self.title)
        if self.escalation is not None:
            file = path / "escalation.png"
            plot_adaptive(
                self.sets, self.escalation, file, *labels, "deeper where unsure"
            )
        if self.routing is not None:
            file = path / "routing.png"
            plot_adaptive(self.sets, self.routing, file, *labels, "routed")
        return self.markdown()

    def summary(self) -> str:
        """The scores alone: what a run ends with."""
        return "\n\n".join(report_text.summary(self)) + "\n"

    def markdown(self) -> str:
        """All that there is: tables and sentences."""
        return "\n\n".join(report_text.paragraphs(self)) + "\n"


def rates_of_teacher(
    save_folder: str, metric: str
) -> Optional[dict[str, float]]:
    """What the teacher of a run scored at full depth.

    Arguments
    ---------
    save_folder : str
        Folder of the checkpoints, where the teacher's report was kept.

    Returns
    -------
    dict of str to float
        By test set, %; None if there was no teacher.
    """
    path = Path(save_folder, "teacher_report.json")
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    return {
        name: deepest(rows)["rates"][metric]
        for name, rows in content["sets"].items()
        if metric in deepest(rows)["rates"]
    }


def deepest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of full depth.

    Example
    -------
    >>> deepest([{"n_layers": 2}, {"n_layers": 12}, {"n_layers": 2}])
    {'n_layers': 12}
    """
    return max(rows, key=lambda row: row["n_layers"])


def drop_none(row: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what a row does not have; `layers` stays.

    Example
    -------
    >>> drop_none({"layers": None, "rtf": None, "wer": 1.0})
    {'layers': None, 'wer': 1.0}
    """
    return {k: v for k, v in row.items() if v is not None or k == "layers"}


def write_details(
    folder: str,
    name: str,
    task: Task,
    chosen: Mapping[int, Gates],
    result: Answers,
) -> None:
    """Writes what was right and wrong at each depth: <metric>_<set>_n<k>.txt.

    Arguments
    ---------
    task : Task
        Says how: alignments, or confusions.
    """
    for n_layers, gates in chosen.items():
        path = Path(folder, f"{task.metric.lower()}_{name}_n{n_layers}.txt")
        answers = result.answers[gates]
        with whole_file(path) as file:
            task.write_details(file, result.ids, result.references, answers)
