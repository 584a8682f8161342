"""The report of an evaluation over depth: JSON, table, plots, details.

Authors
 * The dld_brain authors 2026
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from dld_brain.costs import PARTS
from dld_brain.depth import Layers
from dld_brain.escalate import EscalationPoint
from dld_brain.plots import (
    plot_adaptive,
    plot_depth,
    plot_gates,
    plot_importance,
    plot_speed,
)
from dld_brain.routing import RoutingPoint
from dld_brain.scores import Answers, DepthScore
from dld_brain.tasks import Task
from dld_brain.training_cost import COUNTS, with_before


def table(rows: list[DepthScore]) -> str:
    """Formats the scores of a set as Markdown.

    Arguments
    ---------
    rows : list of DepthScore
        The scores.

    Returns
    -------
    str

    Example
    -------
    >>> rates = {"WER": 31.0, "CER": 12.5}
    >>> row = DepthScore(2, [0, 11], "even", 5471488, 1.5e8, rates, rtf=0.01)
    >>> print(table([row]).splitlines()[-1])
    | 2 | even | 0, 11 | 5.47 M | 0.15 G | 31.00 | 12.50 | 0.0100 |
    """
    head = ["n", "chosen", "layers", "parameters", "MACs/s of audio"]
    head += [*(f"{metric} %" for metric in rows[0].rates), "RTF"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        layers = f"{row.draws} draws"
        if row.layers is not None:
            layers = ", ".join(map(str, row.layers))
        rates = [f"{rate:.2f}" for rate in row.rates.values()]
        if row.std is not None:
            rates[0] += f" ± {row.std:.2f}"
        rtf = "" if row.rtf is None else f"{row.rtf:.4f}"
        lines.append(
            f"| {row.n_layers} | {row.selection} | {layers} "
            f"| {row.params / 1e6:.2f} M "
            f"| {row.macs_per_second / 1e9:.2f} G "
            f"| {' | '.join(rates)} | {rtf} |"
        )
    return "\n".join(lines)


def parts_table(rows: list[DepthScore]) -> str:
    """Shows where the time goes: a stem does not shrink with depth.

    Arguments
    ---------
    rows : list of DepthScore
        The scores; those of drawn layers are left out.

    Returns
    -------
    str

    Example
    -------
    >>> parts = {"stem": 0.02, "layers": 0.01, "head": 0.0}
    >>> macs = {"stem": 2e9, "layers": 1e9, "head": 1e6}
    >>> rates = {"WER": 3.0, "CER": 1.0}
    >>> row = DepthScore(2, [0, 11], "even", 9, 3e9, rates, macs, 0.03)
    >>> row.rtf_parts = parts
    >>> print(parts_table([row]).splitlines()[-1])
    | 2 | even | 2.000 | 1.000 | 0.001 | 67 % | 33 % | 0 % |
    """
    lines = [
        "| n | chosen | G MACs/s: stem | layers | head | time: stem | layers "
        "| head |\n|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.rtf_parts is not None:
            macs = [f"{row.macs_parts[part] / 1e9:.3f}" for part in PARTS]
            shares = [f"{row.rtf_parts[p] / row.rtf:.0%}" for p in PARTS]
            shares = [share.replace("%", " %") for share in shares]
            cells = [str(row.n_layers), row.selection, *macs, *shares]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def training_table(training: dict[str, Any]) -> str:
    """Shows what a training took, alone and with those it started from.

    Arguments
    ---------
    training : dict
        Fields of a Training.

    Returns
    -------
    str

    Example
    -------
    >>> spent = {"seconds": 5400.0, "epochs": 3, "steps": 90}
    >>> spent |= {"audio_hours": 6.0, "layer_passes": 4e3, "device": "cpu"}
    >>> print(training_table({**spent, "before": spent}).splitlines()[-1])
    | with what it started from | 3.00 | 6 | 180 | 12.0 | 8,000 |
    """
    lines = [
        "| | hours | epochs | steps | hours of audio | layer passes |",
        "|---|---|---|---|---|---|",
    ]
    alone = {**training, "before": None}
    title = f"this training, {training['device']}"
    for name, chain in (
        (title, alone),
        ("with what it started from", training),
    ):
        spent = {key: with_before(chain, key) for key in COUNTS}
        lines.append(
            f"| {name} | {spent['seconds'] / 3600:.2f} | {spent['epochs']} "
            f"| {spent['steps']} | {spent['audio_hours']:.1f} "
            f"| {spent['layer_passes']:,.0f} |"
        )
    return "\n".join(lines)


@dataclass
class Report:
    """What an evaluation over depths found.

    Arguments
    ---------
    experiment : str
        Name of the experiment.
    seed : int
        Its seed.
    recipe : str
        Name of its hparams file.
    corpus : str
        Its corpus.
    gates : str
        What drew the gates in training.
    starts_from_model : bool
        Whether it started from a trained model.
    metric : str
        What depths are compared by: WER or accuracy.
    higher_is_better : bool
        Whether a higher value of it is the better one.
    sets : dict of str to list of DepthScore
        Scores by test set.
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
    """

    experiment: str
    seed: int
    recipe: str
    corpus: str
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

    @property
    def title(self) -> str:
        """Experiment and seed."""
        return f"{self.experiment}, seed {self.seed}"

    def write(self, folder: str) -> str:
        """Writes depth_report.json, depth_report.md and the pictures.

        Arguments
        ---------
        folder : str
            Where to.

        Returns
        -------
        str
            The Markdown.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        content = drop_none(asdict(self))
        for sets in (content["sets"], *content.get("epochs", {}).values()):
            for name, rows in sets.items():
                sets[name] = [drop_none(row) for row in rows]
        text = json.dumps(content, indent=2)
        (path / "depth_report.json").write_text(text + "\n")
        (path / "depth_report.md").write_text(self.markdown())
        name, labels = self.metric.lower(), (self.title, self.metric)
        file = path / f"{name}_vs_depth.png"
        plot_depth(self.sets, file, *labels, self.teacher)
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

    def markdown(self) -> str:
        """The tables.

        Returns
        -------
        str
        """
        text = f"# {self.title}\n"
        for name, rate in (self.teacher or {}).items():
            text += f"\nTeacher, {name}: {self.metric} {rate:.2f} %.\n"
        text += "".join(
            f"\n## {name}\n\n{table(scores)}\n\nWhere the work is (features "
            f"count as stem, decoding as head):\n\n{parts_table(scores)}\n"
            for name, scores in self.sets.items()
        )
        for epoch, sets in (self.epochs or {}).items():
            for name, scores in sets.items():
                text += f"\n## Epoch {epoch}: {name}\n\n{table(scores)}\n"
        if self.training is not None:
            text += f"\n## Training\n\n{training_table(self.training)}\n"
        if self.layer_importance is not None:
            *closed, whole = self.layer_importance
            text += (
                f"\n## One layer closed\n\n{self.metric} in % on development "
                f"speech; "
                f"with all layers {whole:.2f}.\n\n"
                f"| layer | {' | '.join(map(str, range(len(closed))))} |\n"
                f"|---|{'---|' * len(closed)}\n"
                f"| {self.metric} "
                f"| {' | '.join(f'{rate:.2f}' for rate in closed)} |\n"
            )
        for name, points in (self.escalation or {}).items():
            text += (
                f"\n## Deeper where unsure: {name}\n\n"
                f"| max_entropy, nats | mean depth | layers computed "
                f"| {self.metric} % |\n|---|---|---|---|\n"
            ) + "".join(
                f"| {p.max_entropy:.4f} | {p.mean_depth:.2f} "
                f"| {p.mean_computed:.2f} | {p.rate:.2f} |\n"
                for p in points
            )
        for name, points in (self.routing or {}).items():
            text += (
                f"\n## Layers that the input decides: {name}\n\n"
                f"| threshold | mean depth | {self.metric} % |\n"
                f"|---|---|---|\n"
            ) + "".join(
                f"| {p.threshold:g} | {p.mean_depth:.2f} | {p.rate:.2f} |\n"
                for p in points
            )
        for name, labels in (self.unknown_labels or {}).items():
            counts = [f"{label} ({n})" for label, n in sorted(labels.items())]
            text += (
                f"\n{name}: {sum(labels.values())} utterances count as wrong "
                f"whatever the answer: training data has no such label: "
                f"{', '.join(counts)}\n"
            )
        return text


def rates_of_teacher(save_folder: str) -> Optional[dict[str, float]]:
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
        name: deepest(rows)["rates"][content["metric"]]
        for name, rows in content["sets"].items()
    }


def deepest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of full depth.

    Arguments
    ---------
    rows : list of dict
        Rows of a test set.

    Returns
    -------
    dict

    Example
    -------
    >>> deepest([{"n_layers": 2}, {"n_layers": 12}, {"n_layers": 2}])
    {'n_layers': 12}
    """
    return max(rows, key=lambda row: row["n_layers"])


def drop_none(row: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what a row does not have; `layers` stays.

    Arguments
    ---------
    row : dict
        A row.

    Returns
    -------
    dict

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
    chosen: Mapping[int, Layers],
    result: Answers,
) -> None:
    """Writes what was right and wrong at each depth: <metric>_<set>_n<k>.txt.

    Arguments
    ---------
    folder : str
        Where to.
    name : str
        Name of the set.
    task : Task
        Says how: alignments, or confusions.
    chosen : mapping of int to tuple of int
        Layers by depth.
    result : Answers
        The answers.
    """
    for n_layers, layers in chosen.items():
        path = Path(folder, f"{task.metric.lower()}_{name}_n{n_layers}.txt")
        answers = result.answers[layers]
        task.write_details(path, result.ids, result.references, answers)
