"""The tables of a report, as Markdown."""

import statistics
from collections.abc import Sequence
from typing import Any

from dld_brain.encoder.costs import PARTS
from dld_brain.evaluation.escalation import EscalationPoint
from dld_brain.evaluation.routing import RoutingPoint
from dld_brain.evaluation.scores import DepthScore
from dld_brain.training.clock import COUNTS, with_before


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Formats cells.

    Example
    -------
    >>> print(markdown_table(["n", "WER %"], [["2", "24.8"]]))
    | n | WER % |
    |---|---|
    | 2 | 24.8 |
    """
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def mean_and_deviation(values: Sequence[float], decimals: int = 1) -> str:
    """Formats the values of several seeds.

    Returns
    -------
    str
        Mean and, of more than one value, the sample's standard deviation.

    Example
    -------
    >>> mean_and_deviation([1.0, 3.0]), mean_and_deviation([2.0], decimals=2)
    ('2.0 ± 1.4', '2.00')
    """
    mean = f"{statistics.mean(values):.{decimals}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{decimals}f}"


def table(rows: list[DepthScore]) -> str:
    """Formats the scores of a set as Markdown.

    Example
    -------
    >>> rates = {"WER": 31.0, "CER": 12.5}
    >>> row = DepthScore(2, [0, 11], "even", 5471488, 1.5e8, rates, rtf=0.01)
    >>> print(table([row]).splitlines()[-1])
    | 2 | even | 0, 11 | 5.47 M | 0.15 G | 31.00 | 12.50 | 0.0100 |
    """
    head = ["n", "chosen", "layers", "parameters", "MACs/s of audio"]
    head += [*(f"{metric} %" for metric in rows[0].rates), "RTF"]
    lines = []
    for row in rows:
        layers = f"{row.draws} draws"
        if row.layers is not None:
            layers = ", ".join(map(str, row.layers))
        rates = [f"{rate:.2f}" for rate in row.rates.values()]
        if row.std is not None:
            rates[0] += f" ± {row.std:.2f}"
        rtf = "" if row.rtf is None else f"{row.rtf:.4f}"
        size = f"{row.params / 1e6:.2f} M"
        macs = f"{row.macs_per_second / 1e9:.2f} G"
        cells = [str(row.n_layers), row.selection, layers, size, macs]
        lines.append([*cells, *rates, rtf])
    return markdown_table(head, lines)


def parts_table(rows: list[DepthScore]) -> str:
    """Shows where the time goes: a stem does not shrink with depth.

    Arguments
    ---------
    rows : list of DepthScore
        The scores; those of drawn layers are left out.

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
    head = ["n", "chosen", "G MACs/s: stem", "layers", "head"]
    head += ["time: stem", "layers", "head"]
    lines = []
    for row in rows:
        if row.rtf_parts is not None:
            macs = [f"{row.macs_parts[part] / 1e9:.3f}" for part in PARTS]
            shares = [f"{row.rtf_parts[p] / row.rtf:.0%}" for p in PARTS]
            shares = [share.replace("%", " %") for share in shares]
            lines.append([str(row.n_layers), row.selection, *macs, *shares])
    return markdown_table(head, lines)


def confidence_table(rows: list[DepthScore]) -> str:
    """Shows how far confidence is off, before and after it is fitted.

    Example
    -------
    >>> row = DepthScore(2, [0, 11], "even", 9, 3e9, {"WER": 3.0})
    >>> row.ece_raw, row.ece = 21.5, 4.25
    >>> print(confidence_table([row]).splitlines()[-1])
    | 2 | even | 21.5 | 4.2 |
    """
    return markdown_table(
        ["n", "chosen", "ECE % of the mean probability", "of the confidence"],
        [
            [str(r.n_layers), r.selection, f"{r.ece_raw:.1f}", f"{r.ece:.1f}"]
            for r in rows
            if r.ece is not None
        ],
    )


def word_table(rows: list[DepthScore]) -> str:
    """Shows how far words are from where they were said.

    Example
    -------
    >>> row = DepthScore(2, [0, 11], "even", 9, 3e9, {"WER": 3.0})
    >>> row.word_start_ms, row.word_start_p90_ms = 40.0, 121.25
    >>> print(word_table([row]).splitlines()[-1])
    | 2 | even | 40 | 121 |
    """
    return markdown_table(
        ["n", "chosen", "median, ms", "nine of ten within, ms"],
        [
            [
                str(r.n_layers),
                r.selection,
                f"{r.word_start_ms:.0f}",
                f"{r.word_start_p90_ms:.0f}",
            ]
            for r in rows
            if r.word_start_ms is not None
        ],
    )


def lm_table(rows: list[DepthScore]) -> str:
    """Shows what a language model is worth at each depth.

    Example
    -------
    >>> row = DepthScore(2, [0, 11], "even", 9, 3e9, {"WER": 40.0})
    >>> row.lm_rates, row.lm_rtf = {"WER": 30.0}, 0.02
    >>> print(lm_table([row]).splitlines()[-1])
    | 2 | 40.00 | 30.00 | -10.00 | 0.0200 |
    """
    metric = next(iter(rows[0].rates))
    head = ["n", f"{metric} % without", "with", "points", "RTF of the search"]
    lines = []
    for row in rows:
        if row.lm_rates is not None:
            rate = row.lm_rates[metric]
            cells = [f"{v:.2f}" for v in (row.rate, rate, rate - row.rate)]
            lines.append([str(row.n_layers), *cells, f"{row.lm_rtf:.4f}"])
    return markdown_table(head, lines)


def training_table(training: dict[str, Any]) -> str:
    """Shows what a training took, alone and with those it started from.

    Example
    -------
    >>> spent = {"seconds": 5400.0, "epochs": 3, "steps": 90}
    >>> spent |= {"audio_hours": 6.0, "layer_passes": 4e3, "device": "cpu"}
    >>> print(training_table({**spent, "before": spent}).splitlines()[-1])
    | with what it started from | 3.00 | 6 | 180 | 12.0 | 8,000 |
    """
    head = ["", "hours", "epochs", "steps", "hours of audio", "layer passes"]
    lines = []
    alone = {**training, "before": None}
    title = f"this training, {training['device']}"
    for name, chain in (
        (title, alone),
        ("with what it started from", training),
    ):
        spent = {key: with_before(chain, key) for key in COUNTS}
        lines.append(
            [
                name,
                f"{spent['seconds'] / 3600:.2f}",
                str(spent["epochs"]),
                str(spent["steps"]),
                f"{spent['audio_hours']:.1f}",
                f"{spent['layer_passes']:,.0f}",
            ]
        )
    return markdown_table(head, lines)


def importance_table(rates: Sequence[float], metric: str) -> str:
    """Shows what each layer is worth.

    Arguments
    ---------
    rates : sequence of float
        The metric by the one layer that is closed, %.

    Example
    -------
    >>> print(importance_table([30.0, 9.5], "WER").splitlines()[-1])
    | WER | 30.00 | 9.50 |
    """
    head = ["layer", *map(str, range(len(rates)))]
    return markdown_table(head, [[metric, *(f"{r:.2f}" for r in rates)]])


def escalation_table(points: Sequence[EscalationPoint], metric: str) -> str:
    """Shows what going deeper where unsure gives.

    Example
    -------
    >>> points = [EscalationPoint(0.5, 3.0, 4.5, 12.0)]
    >>> print(escalation_table(points, "WER").splitlines()[-1])
    | 0.5000 | 3.00 | 4.50 | 12.00 |
    """
    head = ["max_entropy, nats", "mean depth", "layers computed"]
    return markdown_table(
        [*head, f"{metric} %"],
        [
            [
                f"{p.max_entropy:.4f}",
                f"{p.mean_depth:.2f}",
                f"{p.mean_computed:.2f}",
                f"{p.rate:.2f}",
            ]
            for p in points
        ],
    )


def routing_table(points: Sequence[RoutingPoint], metric: str) -> str:
    """Shows what the thresholds of a router of inputs give.

    Example
    -------
    >>> points = [RoutingPoint(0.5, 3.0, 12.0)]
    >>> print(routing_table(points, "WER").splitlines()[-1])
    | 0.5 | 3.00 | 12.00 |
    """
    return markdown_table(
        ["threshold", "mean depth", f"{metric} %"],
        [
            [f"{p.threshold:g}", f"{p.mean_depth:.2f}", f"{p.rate:.2f}"]
            for p in points
        ],
    )
