"""The paper's tables and figures, from the reports of finished runs.

> python -m dld_brain.paper table1 --runs results/LibriSpeech/conformer_*/*
> python -m dld_brain.paper figure3 --runs results/FluentSpeechCommands/*/*

Writes <name>.md, and of a figure <name>.png, and prints the Markdown. Cells
are "ours (paper's)"; several seeds of a method give mean ± deviation. What
the paper reports stands in paper.yaml, with its source.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from dld_brain.evaluation.plots import picture
from dld_brain.evaluation.report import deepest
from dld_brain.evaluation.tables import markdown_table, mean_and_deviation
from dld_brain.files.whole import write_text
from dld_brain.paper.finished_runs import (
    Measured,
    Run,
    fitting,
    measured,
    of_the_table,
    read_runs,
)
from dld_brain.run.config import read_tree
from dld_brain.training.clock import with_before

DATA = Path(__file__).with_name("paper.yaml")
#: What a cell says where no number of the paper's is known.
UNKNOWN = "not published"
FOOTNOTE = (
    f'"{UNKNOWN}": the paper gives no number, or its number could not be '
    "recovered; dld_brain/paper/paper.yaml says which."
)
#: Of a training: a count, the unit it is shown in, and how.
COLUMNS = (
    ("seconds", 3600, ".2f"),
    ("epochs", 1, ".0f"),
    ("audio_hours", 1, ".1f"),
)


def cell(ours: Optional[list[float]], paper: Optional[float]) -> str:
    """Ours, and the paper's in parentheses.

    Example
    -------
    >>> cell([7.0, 8.0], 7.32), cell(None, 7.32), cell([7.0], None)
    ('7.50 ± 0.71 (7.32)', '- (7.32)', '7.00 (not published)')
    """
    text = mean_and_deviation(ours, decimals=2) if ours else "-"
    return f"{text} ({UNKNOWN if paper is None else f'{paper:.2f}'})"


def rates_table(
    ours: Measured, paper: Mapping[str, Any], depths: list[int]
) -> str:
    """A row for each method, a column for each depth.

    Arguments
    ---------
    depths : list of int
        Depths of the paper; those that were measured join them.
    """
    depths = sorted({*depths, *(n for rates in ours.values() for n in rates)})
    head = ["ours (paper's), n =", *map(str, depths)]
    lines = []
    for method in dict.fromkeys([*paper, *ours]):
        cells = [
            # A teacher is of one depth: the others are left out.
            cell(ours.get(method, {}).get(n), paper.get(method, {}).get(n))
            if method != "M_ref" or n in {*paper[method], *ours[method]}
            else ""
            for n in depths
        ]
        lines.append([method, *cells])
    return markdown_table(head, lines)


def cost_table(runs: list[Run]) -> str:
    """What each run's depths and training cost.

    Returns
    -------
    str
        Markdown; hours without, and with, the training of the model that a
        run started from.
    """
    head = ["run", "M parameters, by n", "speed-up by MACs, by n"]
    for name in ("hours", "epochs", "audio, h"):
        head += [name, "with teacher's"]
    lines = []
    for run in runs:
        rows = of_the_table(next(iter(run.report["sets"].values())))
        full = deepest(rows)["macs_per_second"]
        params = (f"{row['params'] / 1e6:.2f}" for row in rows)
        ratios = (f"{full / row['macs_per_second']:.2f}x" for row in rows)
        cells = [", ".join(params), ", ".join(ratios)]
        training = run.report.get("training")
        alone = training and {**training, "before": None}
        for key, unit, form in COLUMNS:
            for chain in (alone, training):
                value = with_before(chain, key) / unit
                cells.append(f"{value:{form}}" if training else "-")
        lines.append([f"{run.method}, seed {run.report['seed']}", *cells])
    return markdown_table(head, lines)


def draw(
    path: Path, spec: Mapping[str, Any], part: Mapping[str, Any], ours: Measured
) -> None:
    """Draws a figure: ours as lines, the paper's as crosses."""
    labels = {
        "xlabel": "layers that run, n",
        "ylabel": f"{spec['metric']}, %",
        "title": f"{spec['title']}\n{part['corpus']}, {part['name']}",
    }
    with picture(path, **labels) as axes:
        methods = list(dict.fromkeys([*part["paper"], *ours]))
        for i, method in enumerate(methods):
            rates = {n: statistics.mean(v) for n, v in ours[method].items()}
            if method == "M_ref" and rates:
                axes.axhline(
                    rates[max(rates)], color=f"C{i}", ls="--", label=method
                )
            elif rates:
                rates = dict(sorted(rates.items()))
                axes.plot(
                    list(rates), list(rates.values()), f"C{i}o-", label=method
                )
            known = part["paper"].get(method, {})
            if known:
                label = f"{method}, the paper's"
                points = list(known), list(known.values())
                axes.plot(*points, f"C{i}x", label=label)
        axes.legend()


def write(name: str, folders: list[str], output: str) -> str:
    """Writes a table or a figure."""
    spec = read_tree(DATA)[name]
    runs = read_runs(folders)
    Path(output).mkdir(parents=True, exist_ok=True)
    text = f"# {name.capitalize()}: {spec['title']}, {spec['metric']} in %\n"
    for part in spec["sets"]:
        fit = fitting(runs, spec, part["corpus"])
        ours = measured(fit, part["name"], spec["metric"], name == "table3")
        table = rates_table(ours, part["paper"], list(spec["depths"]))
        text += f"\n## {part['corpus']}, {part['name']}\n\n{table}\n"
        if "text" in part:
            text += f"\n{part['text']}\n"
        if fit:
            text += f"\n{cost_table(fit)}\n"
        if name.startswith("figure"):
            draw(Path(output, f"{name}.png"), spec, part, ours)
    text += f"\n{FOOTNOTE}\n"
    write_text(Path(output, f"{name}.md"), text)
    return text


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the command line.

    Arguments
    ---------
    arguments : list of str, optional
        Those of the process if not given.
    """
    parser = argparse.ArgumentParser(prog="python -m dld_brain.paper")
    parser.add_argument("name", choices=list(read_tree(DATA)))
    parser.add_argument(
        "--runs", nargs="+", required=True, help="output folders of runs"
    )
    parser.add_argument("--output", default=".", help="where to write")
    options = parser.parse_args(arguments)
    try:
        print(write(options.name, options.runs, options.output))
    except (OSError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
