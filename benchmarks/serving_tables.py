"""The table and the picture of what `serve_load.py` measured."""

import json
from pathlib import Path
from typing import Any, Optional

from dld_brain.evaluation.plots import STYLES, picture
from dld_brain.evaluation.tables import markdown_table

Spec = dict[str, Any]
#: What a row calls the depth that the load decides.
CONTROLLER = "controller"


def by_share(spec: Spec, found: Spec) -> str:
    """A line a load: p95 and WER of each depth; what the controller did."""
    rows = {(row["input"], row["task"]): row for row in found["rows"]}
    shares = list(dict.fromkeys(row["input"] for row in found["rows"]))
    tasks = list(dict.fromkeys(row["task"] for row in found["rows"]))
    head = ["load / capacity"]
    for task in tasks:
        head += [f"{task}: p95, s", "WER %"]
    lines = []
    for share in shares:
        cells = [share]
        for task in tasks:
            cells += _answers(rows[share, task])
        controlled = rows[share, CONTROLLER]
        cells += [
            _figure(controlled.get("mean_depth"), 1),
            f"{100 * controlled['refused'] / controlled['requests']:.0f}",
        ]
        lines.append(cells)
    return markdown_table([*head, "mean depth", "refused %"], lines)


def _answers(row: Spec) -> list[str]:
    """p95 and WER of the answers of a row."""
    return [_figure(row.get("p95"), 2), _figure(row.get("wer"), 1)]


def _figure(value: Optional[float], decimals: int) -> str:
    """A figure; nothing where too few were answered to have one."""
    return "" if value is None else f"{value:.{decimals}f}"


SERVING_KINDS = {"by_share": by_share}


def draw_latencies(spec: Spec, source: Path, path: Path) -> None:
    """Draws p95 against load, a line a depth; beside each point its WER."""
    rows = json.loads(source.read_text())["rows"]
    labels = {"xlabel": "load / capacity of full depth", "title": spec["title"]}
    with picture(path, ylabel="p95, s, log scale", **labels) as axes:
        for i, task in enumerate(dict.fromkeys(row["task"] for row in rows)):
            own = [r for r in rows if r["task"] == task and "p95" in r]
            x, y = [float(r["input"]) for r in own], [r["p95"] for r in own]
            axes.plot(x, y, STYLES[i % len(STYLES)], label=task)
            for row, *place in zip(own, x, y):
                text = f"{row['wer']:.0f} %"
                axes.annotate(text, place, fontsize="x-small")
        axes.axhline(rows[0]["target_p95"], linestyle=":", label="target")
        axes.set_yscale("log")
        axes.legend(fontsize="x-small")
