"""The pictures of a depth report."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Optional, Union

from dld_brain.evaluation.escalation import EscalationPoint
from dld_brain.evaluation.routing import RoutingPoint
from dld_brain.evaluation.scores import DepthScore
from dld_brain.files.whole import whole_file

#: One for each way of choosing layers.
STYLES = ("o-", "s--", "^:", "d-.", "v-", "P--", "*:")
#: The name of the axis of depths, which are whole numbers.
DEPTHS = "layers that run, n"


@contextmanager
def picture(path: Path, **labels: Any) -> Iterator[Any]:
    """Makes a figure of one plot and saves it.

    Arguments
    ---------
    **labels
        Of matplotlib's `Axes.set`: title, xlabel, ylabel.
    """
    from matplotlib.figure import Figure  # slow to import, and not elsewhere

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    yield axes
    axes.set(**labels)
    if labels.get("xlabel") == DEPTHS:
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    with whole_file(path) as file:
        figure.savefig(file, dpi=120)


def log_scale(axes: Any) -> None:
    """A logarithmic y axis with plain numbers at 1, 2, 5, 10, 20, ..."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def plot_depth(
    sets: Mapping[str, list[DepthScore]],
    path: Path,
    title: str,
    metric: str,
    teacher: Optional[Mapping[str, float]] = None,
) -> None:
    """Draws the metric against depth, a line for a test set and selection.

    Arguments
    ---------
    teacher : mapping of str to float, optional
        By test set, the teacher's at full depth, %: a line across.
    """
    with picture(
        path, xlabel=DEPTHS, ylabel=f"{metric}, %", title=title
    ) as axes:
        for i, (name, scores) in enumerate(sets.items()):
            selections = dict.fromkeys(row.selection for row in scores)
            for selection, style in zip(selections, cycle(STYLES)):
                rows = [row for row in scores if row.selection == selection]
                axes.errorbar(
                    [row.n_layers for row in rows],
                    [row.rate for row in rows],
                    yerr=[row.std or 0.0 for row in rows],
                    fmt=style,
                    color=f"C{i}",
                    label=f"{name}, {selection} layers",
                )
            if teacher and name in teacher:
                axes.axhline(
                    teacher[name],
                    linestyle="--",
                    linewidth=1,
                    color=f"C{i}",
                    label=f"{name}, teacher",
                )
        axes.set_ylim(bottom=0)
        axes.legend()


def plot_speed(
    sets: Mapping[str, list[DepthScore]], path: Path, title: str, metric: str
) -> None:
    """Draws the metric against the real-time factor, each depth a point."""
    with picture(
        path, xlabel="real-time factor", ylabel=f"{metric}, %", title=title
    ) as axes:
        for name, scores in sets.items():
            first = scores[0].selection
            rows = [row for row in scores if row.selection == first]
            speeds, rates = [r.rtf for r in rows], [r.rate for r in rows]
            axes.plot(speeds, rates, "o-", label=f"{name}, {first} layers")
            for row in rows:
                axes.annotate(f" {row.n_layers}", (row.rtf, row.rate))
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.legend()


def plot_adaptive(
    sets: Mapping[str, list[DepthScore]],
    curves: Mapping[str, list[Union[EscalationPoint, RoutingPoint]]],
    path: Path,
    title: str,
    metric: str,
    name_of_curve: str,
) -> None:
    """Draws the metric against the layers computed, beside that of fixed depths.

    Arguments
    ---------
    curves : mapping of str to list of EscalationPoint or RoutingPoint
        What each threshold gives, by test set.
    name_of_curve : str
        What decides on the layers of an utterance.
    """
    with picture(
        path,
        xlabel="layers computed for an utterance, mean",
        ylabel=f"{metric}, %",
        title=title,
    ) as axes:
        for i, (name, points) in enumerate(curves.items()):
            first = sets[name][0].selection
            rows = [row for row in sets[name] if row.selection == first]
            fixed = [row.n_layers for row in rows], [row.rate for row in rows]
            label = f"{name}, fixed depth"
            axes.plot(*fixed, "o-", color=f"C{i}", label=label)
            climbs = [p.mean_computed for p in points], [p.rate for p in points]
            label = f"{name}, {name_of_curve}"
            axes.plot(*climbs, "x--", color=f"C{i}", label=label)
        axes.set_ylim(bottom=0)
        axes.legend()


def plot_importance(
    rates: list[float], path: Path, title: str, metric: str
) -> None:
    """Draws the metric when one layer alone is closed.

    Arguments
    ---------
    rates : list of float
        By the layer that is closed, %; the last, with none.
    """
    *closed, whole = rates
    with picture(
        path,
        xlabel="the one layer that is closed",
        ylabel=f"{metric}, %, development speech",
        title=title,
    ) as axes:
        axes.bar(range(len(closed)), closed)
        axes.axhline(whole, color="C1", label="all layers run")
        axes.legend()


def plot_gates(counts: Mapping[int, int], path: Path, title: str) -> None:
    """Draws how often each depth was trained.

    Arguments
    ---------
    counts : mapping of int to int
        Steps by the number of open gates.
    """
    with picture(
        path,
        xlabel="open gates, n",
        ylabel="training steps",
        title=title,
    ) as axes:
        axes.bar(list(counts), list(counts.values()))
