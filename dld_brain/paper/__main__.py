"""The paper's tables and figures, from the reports of finished runs.

> python -m dld_brain.paper table1 --runs results/LibriSpeech/conformer_*/*
> python -m dld_brain.paper figure3 --runs results/FluentSpeechCommands/*/*

Writes <name>.md, and of a figure <name>.png, and prints the Markdown. Cells
are "ours (paper's)"; several seeds of a method give mean ± deviation. Runs
that were trained on other speech than the paper's have tables of their own,
one for each. What the paper reports stands in paper.yaml, with its source.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from dld_brain.evaluation.report import deepest
from dld_brain.evaluation.tables import markdown_table
from dld_brain.files.whole import whole_file, write_text
from dld_brain.paper.figures import draw_computation, draw_depth
from dld_brain.paper.finished_runs import (
    Measured,
    Run,
    Speech,
    by_speech,
    fitting,
    measured,
    of_the_table,
    read_runs,
)
from dld_brain.paper.published import FOOTNOTE, Published, read_paper
from dld_brain.training.clock import with_before

#: Of a training: a count, the unit it is shown in, and how.
COLUMNS = (
    ("seconds", 3600, ".2f"),
    ("epochs", 1, ".0f"),
    ("audio_hours", 1, ".1f"),
)


def rates_table(ours: Measured, paper: Published, depths: list[int]) -> str:
    """A row for each method, a column for each depth.

    Arguments
    ---------
    depths : list of int
        Depths of the paper; those that were measured join them.
    """
    depths = sorted({*depths, *(n for rates in ours.values() for n in rates)})
    head = ["ours (paper's), n =", *map(str, depths)]
    lines = []
    for method in dict.fromkeys([*paper.printed, *ours]):
        found = ours.get(method, {})
        of_the_paper = paper.printed.get(method, {})
        cells = [
            # A teacher is of one depth: the others are left out.
            paper.cell(method, n, found.get(n))
            if method != "M_ref" or n in {*of_the_paper, *found}
            else ""
            for n in depths
        ]
        is_ours = bool(paper.printed) and not paper.knows(method)
        lines.append([f"{method} (ours)" if is_ours else method, *cells])
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


def sections(
    runs: list[Run], spec: Mapping[str, Any], part: Mapping[str, Any]
) -> Iterator[tuple[Speech, list[Run], Published]]:
    """The runs of a part by what they were trained on; the paper's first."""
    papers = Speech(tuple(part["train_splits"]), part["train_hours"])
    groups = by_speech(fitting(runs, spec, part["corpus"]))
    same = [run for s, group in groups for run in group if s.is_that_of(papers)]
    yield papers, same, Published.of(part)
    for speech, group in groups:
        if not speech.is_that_of(papers):
            yield speech, group, Published({}, {})


def write(name: str, folders: list[str], output: str) -> str:
    """Writes a table or a figure."""
    spec, folder = read_paper()[name], Path(output)
    runs = read_runs(folders)
    text = f"# {spec['heading']}: {spec['title']}, {spec['metric']} in %\n"
    by_epoch = spec.get("by_epoch", False)
    for part in spec["sets"]:
        for speech, group, paper in sections(runs, spec, part):
            ours = measured(group, part["name"], spec["metric"], by_epoch)
            depths = list(spec["depths"]) if paper.printed else []
            text += f"\n## {part['corpus']}, {part['name']}\n"
            text += f"\nTrained on {speech}.\n"
            text += f"\n{rates_table(ours, paper, depths)}\n"
            if paper.printed and "text" in part:
                text += f"\n{part['text']}\n"
            if group:
                text += f"\n{cost_table(group)}\n"
            if paper.printed and name.startswith("figure"):
                with whole_file(folder / f"{name}.png") as path:
                    if "costs" in spec:
                        draw_computation(path, spec, part, ours, group)
                    else:
                        draw_depth(path, spec, part, ours)
    text += f"\n{FOOTNOTE}\n"
    write_text(folder / f"{name}.md", text)
    return text


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the command line.

    Arguments
    ---------
    arguments : list of str, optional
        Those of the process if not given.
    """
    parser = argparse.ArgumentParser(prog="python -m dld_brain.paper")
    parser.add_argument("name", choices=list(read_paper()))
    parser.add_argument(
        "--runs", nargs="+", required=True, help="output folders of runs"
    )
    parser.add_argument("--output", default=".", help="where to write")
    options = parser.parse_args(arguments)
    try:
        print(write(options.name, options.runs, options.output))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
