"""Tables and the picture of a comparison of methods."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dld_brain.evaluation.plots import DEPTHS, log_scale, picture
from dld_brain.evaluation.tables import markdown_table, mean_and_deviation
from dld_brain.training.clock import COUNTS

#: Styles of the lines, one a method.
STYLES = ("o-", "s--", "^:", "d-.", "v-", "P--", "*:", "X-.")


class Row(NamedTuple):
    """What a method reached.

    Arguments
    ---------
    rates : dict of int to list of float
        By depth, the metric with each seed, %.
    spent : dict of str to float
        Mean over the seeds: seconds, epochs, steps, hours of audio and layer
        passes of a training; of several models, their sum, but for epochs
        and steps.
    curve : list of list of float
        Of a model whose router looks at the input, mean depth and metric by
        threshold, with the first seed.
    """

    title: str
    metric: str
    rates: dict[int, list[float]]
    spent: dict[str, float]
    peak_bytes: int
    curve: Sequence[Sequence[float]] = ()


def read_report(folder: Path) -> dict[str, Any]:
    """Reads what a run has found."""
    return json.loads((folder / "depth_report.json").read_text())


def read_row(title: str, runs: list[list[Path]], stages: int = 1) -> Row:
    """Reads what a method reached.

    Arguments
    ---------
    runs : list of list of Path
        For each seed, the folder of its model; or of the models for the
        single depths.
    stages : int
        Trainings, each from the one before, that make such a model.
    """
    reports = [[read_report(folder) for folder in models] for models in runs]
    rates: dict[int, list[float]] = {}
    for report in (report for models in reports for report in models):
        (scores,) = report["sets"].values()
        first = scores[0]["selection"]
        for score in scores:
            if score["selection"] == first:
                value = score["rates"][report["metric"]]
                rates.setdefault(score["n_layers"], []).append(value)
    totals = [
        total([stages_of(r["training"], stages) for r in models])
        for models in reports
    ]
    points = next(iter(reports[0][0].get("routing", {}).values()), [])
    return Row(
        title=title,
        metric=reports[0][0]["metric"],
        rates=dict(sorted(rates.items())),
        spent={k: statistics.mean(t[k] for t in totals) for k in COUNTS},
        peak_bytes=max(
            report["training"].get("peak_bytes", 0)
            for models in reports
            for report in models
        ),
        curve=[[p["mean_depth"], p["rate"]] for p in points],
    )


def stages_of(training: dict[str, Any], stages: int) -> dict[str, float]:
    """What a model took that was trained in stages.

    Arguments
    ---------
    training : dict
        Fields of a Training, the last stage's.

    Example
    -------
    >>> first = dict.fromkeys(COUNTS, 1)
    >>> stages_of({**dict.fromkeys(COUNTS, 2), "before": first}, 2)["steps"]
    3
    """
    if stages == 1:
        return training
    before = stages_of(training["before"], stages - 1)
    return {key: training[key] + before[key] for key in COUNTS}


def total(trainings: list[dict[str, Any]]) -> dict[str, float]:
    """What the models of a seed took together.

    Returns
    -------
    dict of str to float
        Epochs and steps are those of one of them.
    """
    sums = {key: sum(t[key] for t in trainings) for key in COUNTS}
    return {**sums, **{k: trainings[0][k] for k in ("epochs", "steps")}}


def table(rows: list[Row]) -> str:
    """The methods, their rates and what they took, as Markdown."""
    depths = sorted({n for row in rows for n in row.rates})
    head = [f"{rows[0].metric} %", "seeds", *map(str, depths)]
    head += ["epochs", "updates", "layer passes", "minutes", "peak GiB"]
    lines = []
    for row in rows:
        cells = [row.title, str(max(map(len, row.rates.values())))]
        for n in depths:
            values = row.rates.get(n)
            cells.append(mean_and_deviation(values) if values else "")
        spent = row.spent
        cells += [
            f"{spent['epochs']:.0f}",
            f"{spent['steps']:.0f}",
            f"{spent['layer_passes']:,.0f}",
            f"{spent['seconds'] / 60:.1f}",
            f"{row.peak_bytes / 2**30:.2f}" if row.peak_bytes else "",
        ]
        lines.append(cells)
    return markdown_table(head, lines)


def differences(rows: list[Row], ours: str) -> str:
    """How far one method is from the others, in points, as Markdown."""
    (own,) = (row for row in rows if row.title == ours)
    depths = list(own.rates)
    head = ["points", *map(str, depths)]
    lines = []
    for row in rows:
        if row.title == ours:
            continue
        cells = [row.title]
        for n in depths:
            other = row.rates.get(n)
            difference = statistics.mean(own.rates[n]) - (
                statistics.mean(other) if other else float("nan")
            )
            cells.append(f"{difference:+.1f}" if other else "")
        lines.append(cells)
    return markdown_table(head, lines)


def curves(rows: list[Row]) -> str:
    """Mean depth and metric of models that look at the input, as Markdown."""
    lines = []
    for row in (row for row in rows if row.curve):
        depths, rates = zip(*row.curve)
        for name, values in (("mean depth", depths), (row.metric, rates)):
            lines.append([row.title, name, *(f"{v:.1f}" for v in values)])
    return markdown_table([""] * len(lines[0]), lines)


def draw(rows: list[Row], path: Path, title: str) -> None:
    """Draws the methods against depth."""
    with picture(
        path,
        xlabel=DEPTHS,
        ylabel=f"{rows[0].metric}, %, log scale",
        title=title,
    ) as axes:
        for i, row in enumerate(rows):
            axes.errorbar(
                list(row.rates),
                [statistics.mean(v) for v in row.rates.values()],
                yerr=[
                    statistics.stdev(v) if len(v) > 1 else 0.0
                    for v in row.rates.values()
                ],
                fmt=STYLES[i % len(STYLES)],
                color=f"C{i}",
                label=row.title,
            )
            if row.curve:
                depths, rates = zip(*row.curve)
                label = f"{row.title}, by threshold"
                axes.plot(depths, rates, "x-", color=f"C{i}", label=label)
        log_scale(axes)
        axes.legend(fontsize="x-small")
