"""The table and the picture of what `serve_load.py` measured."""

import json
from pathlib import Path
from typing import Any, Optional

from dld_brain.evaluation.plots import STYLES, picture
from dld_brain.evaluation.tables import markdown_table

Spec = dict[str, Any]
#: What a row calls the depth that the load decides.
CONTROLLER = "controller"
TITLES = {CONTROLLER: "by the load"}


def by_share(spec: Spec, found: Spec) -> str:
    """A line a load and a depth: latencies, depth, words, refusals."""
    head = ["load / capacity", "depth", "p50, s", "p95", "p99"]
    head += ["mean depth", "WER %", "refused %", "requests"]
    lines, last = [], None
    for row in found["rows"]:
        name = TITLES.get(row["task"], row["task"])
        share = "" if row["input"] == last else row["input"]
        last = row["input"]
        cells = [share, name]
        cells += [_figure(row.get(key), 2) for key in ("p50", "p95", "p99")]
        cells += [_figure(row.get(key), 1) for key in ("mean_depth", "wer")]
        refused = 100 * row["refused"] / row["requests"]
        lines.append([*cells, f"{refused:.0f}", str(row["requests"])])
    return markdown_table(head, lines)


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
            label = TITLES.get(task, task)
            axes.plot(x, y, STYLES[i % len(STYLES)], label=label)
            for row, *place in zip(own, x, y):
                text = f"{row['wer']:.0f} %"
                axes.annotate(text, place, fontsize="x-small")
        axes.axhline(rows[0]["target_p95"], linestyle=":", label="target")
        axes.set_yscale("log")
        axes.legend(fontsize="x-small")
