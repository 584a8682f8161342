"""The paper's figures: ours as lines, the paper's as crosses or circles."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dld_brain.evaluation.plots import DEPTHS, picture
from dld_brain.paper.finished_runs import Measured, Run, of_the_table
from dld_brain.paper.published import Published

#: Area of a circle in points squared, for a million parameters.
AREA = 2.0


def draw_depth(
    path: Path, spec: Mapping[str, Any], part: Mapping[str, Any], ours: Measured
) -> None:
    """Draws a metric against depth."""
    paper = Published.of(part)
    labels = {
        "xlabel": DEPTHS,
        "ylabel": f"{spec['metric']}, %",
        "title": f"{spec['title']}\n{part['corpus']}, {part['name']}",
    }
    with picture(path, **labels) as axes:
        for i, method in enumerate(dict.fromkeys([*paper.printed, *ours])):
            rates = means(ours, method)
            if method == "M_ref" and rates:
                deepest = rates[max(rates)]
                axes.axhline(deepest, color=f"C{i}", ls="--", label=method)
            elif rates:
                axes.plot(*zip(*rates.items()), f"C{i}o-", label=method)
            if paper.knows(method) and paper.points(method):
                points = zip(*paper.points(method).items())
                axes.plot(*points, f"C{i}x", label=f"{method}, the paper's")
        axes.legend()


def draw_computation(
    path: Path,
    spec: Mapping[str, Any],
    part: Mapping[str, Any],
    ours: Measured,
    runs: list[Run],
) -> None:
    """Draws WER against computation; circles have the size of the models."""
    paper, costs = Published.of(part), measured_costs(runs, part["name"])
    labels = {
        "xlabel": "10^9 multiply-accumulates for a second of audio",
        "ylabel": f"{spec['metric']}, %",
        "title": f"{spec['title']}\n{part['corpus']}, {part['name']}; circles: parameters",
    }
    with picture(path, **labels) as axes:
        for i, method in enumerate(dict.fromkeys([*paper.printed, *ours])):
            rates = means(ours, method)
            points = [(costs[method][n], rate) for n, rate in rates.items()]
            circles(axes, points, f"C{i}", method, is_ours=True)
            known = paper.points(method) if paper.knows(method) else {}
            points = [(spec["costs"][n], rate) for n, rate in known.items()]
            circles(axes, points, f"C{i}", f"{method}, the paper's")
        for i, other in enumerate(spec["others"], start=len(paper.printed)):
            circles(axes, [(other, other["rate"])], f"C{i}", other["method"])
        axes.legend(fontsize=7, markerscale=0.4)


def circles(
    axes: Any,
    points: list[tuple[Mapping[str, float], float]],
    color: str,
    label: str,
    is_ours: bool = False,
) -> None:
    """Draws models: filled and joined where they are ours, else hollow."""
    if not points:
        return
    x = [cost["gmacs"] for cost, _ in points]
    y = [rate for _, rate in points]
    area = [AREA * cost["mparams"] for cost, _ in points]
    fill = color if is_ours else "none"
    axes.scatter(x, y, area, facecolors=fill, edgecolors=color, label=label)
    if is_ours:
        axes.plot(x, y, color=color, lw=1)


def means(ours: Measured, method: str) -> dict[int, float]:
    """The mean over seeds, by depth."""
    found = ours.get(method, {})
    return {n: statistics.mean(found[n]) for n in sorted(found)}


def measured_costs(
    runs: list[Run], name: str
) -> dict[str, dict[int, dict[str, float]]]:
    """What each depth of each method takes, as paper.yaml has it."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for run in runs:
        for row in of_the_table(run.report["sets"].get(name, [])):
            found.setdefault(run.method, {})[row["n_layers"]] = {
                "gmacs": row["macs_per_second"] / 1e9,
                "mparams": row["params"] / 1e6,
            }
    return found
