"""The report of an evaluation over depth: JSON, table, plot, alignments.

Authors
 * The dld_brain authors 2026
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

from speechbrain.utils.metric_stats import ErrorRateStats

from dld_brain.costs import PARTS
from dld_brain.depth import Layers
from dld_brain.escalate import EscalationPoint
from dld_brain.plots import (
    plot_depth,
    plot_escalation,
    plot_gates,
    plot_importance,
    plot_speed,
)
from dld_brain.scores import DepthScore, Transcripts

HEADER = (
    "| n | chosen | layers | parameters | MACs/s of audio | WER % | CER % "
    "| RTF |\n|---|---|---|---|---|---|---|---|"
)


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
    >>> row = DepthScore(2, [0, 11], "even", 5471488, 1.5e8, 31.0, 12.5)
    >>> row.rtf = 0.01
    >>> print(table([row]).splitlines()[-1])
    | 2 | even | 0, 11 | 5.47 M | 0.15 G | 31.00 | 12.50 | 0.0100 |
    """
    lines = [HEADER]
    for row in rows:
        layers = f"{row.draws} draws"
        if row.layers is not None:
            layers = ", ".join(map(str, row.layers))
        deviation = "" if row.wer_std is None else f" ± {row.wer_std:.2f}"
        rtf = "" if row.rtf is None else f"{row.rtf:.4f}"
        lines.append(
            f"| {row.n_layers} | {row.selection} | {layers} "
            f"| {row.params / 1e6:.2f} M "
            f"| {row.macs_per_second / 1e9:.2f} G "
            f"| {row.wer:.2f}{deviation} | {row.cer:.2f} | {rtf} |"
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
    >>> row = DepthScore(2, [0, 11], "even", 9, 3e9, 3.0, 1.0, macs, 0.03)
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


@dataclass
class Report:
    """What an evaluation over depths found.

    Arguments
    ---------
    experiment : str
        Name of the experiment.
    seed : int
        Its seed.
    sets : dict of str to list of DepthScore
        Scores by test set.
    layer_importance : list of float, optional
        WER on development speech by the one layer that is closed, and
        behind them with none, %.
    gates_seen : dict of int to int, optional
        Training steps by the number of open gates.
    escalation : dict of str to list of EscalationPoint, optional
        By test set, what going deeper where unsure gives.
    """

    experiment: str
    seed: int
    sets: dict[str, list[DepthScore]]
    layer_importance: Optional[list[float]] = None
    gates_seen: Optional[dict[int, int]] = None
    escalation: Optional[dict[str, list[EscalationPoint]]] = None

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
        for name, rows in content["sets"].items():
            content["sets"][name] = [drop_none(row) for row in rows]
        text = json.dumps(content, indent=2)
        (path / "depth_report.json").write_text(text + "\n")
        (path / "depth_report.md").write_text(self.markdown())
        plot_depth(self.sets, path / "wer_vs_depth.png", self.title)
        plot_speed(self.sets, path / "wer_vs_rtf.png", self.title)
        if self.layer_importance is not None:
            file = path / "layer_importance.png"
            plot_importance(self.layer_importance, file, self.title)
        if self.gates_seen is not None:
            plot_gates(self.gates_seen, path / "gates_seen.png", self.title)
        if self.escalation is not None:
            file = path / "escalation.png"
            plot_escalation(self.sets, self.escalation, file, self.title)
        return self.markdown()

    def markdown(self) -> str:
        """The tables.

        Returns
        -------
        str
        """
        text = f"# {self.title}\n" + "".join(
            f"\n## {name}\n\n{table(scores)}\n\nWhere the work is (features "
            f"count as stem, decoding as head):\n\n{parts_table(scores)}\n"
            for name, scores in self.sets.items()
        )
        if self.layer_importance is not None:
            *closed, whole = self.layer_importance
            text += (
                f"\n## One layer closed\n\nWER in % on development speech; "
                f"with all layers {whole:.2f}.\n\n"
                f"| layer | {' | '.join(map(str, range(len(closed))))} |\n"
                f"|---|{'---|' * len(closed)}\n"
                f"| WER | {' | '.join(f'{wer:.2f}' for wer in closed)} |\n"
            )
        for name, points in (self.escalation or {}).items():
            text += (
                f"\n## Deeper where unsure: {name}\n\n"
                f"| max_entropy, nats | mean depth | layers computed | WER % |\n"
                f"|---|---|---|---|\n"
            ) + "".join(
                f"| {p.max_entropy:.4f} | {p.mean_depth:.2f} "
                f"| {p.mean_computed:.2f} | {p.wer:.2f} |\n"
                for p in points
            )
        return text


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


def write_alignments(
    folder: str, name: str, chosen: Mapping[int, Layers], result: Transcripts
) -> None:
    """Writes wer_<set>_n<k>.txt: SpeechBrain's alignments at each depth.

    Arguments
    ---------
    folder : str
        Where to.
    name : str
        Name of the set.
    chosen : mapping of int to tuple of int
        Layers by depth.
    result : Transcripts
        The transcripts.
    """
    references = [text.split() for text in result.references]
    for n_layers, layers in chosen.items():
        stats = ErrorRateStats()
        hypotheses = [t.split() for t in result.hypotheses[layers]]
        stats.append(result.ids, hypotheses, references)
        path = Path(folder, f"wer_{name}_n{n_layers}.txt")
        with open(path, "w", encoding="utf-8") as file:
            stats.write_stats(file)
