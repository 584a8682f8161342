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
        lines.append([share, name, *_measured(row), str(row["requests"])])
    return markdown_table(head, lines)


def by_phase(spec: Spec, found: Spec) -> str:
    """A line a time: two replicas, one, two again."""
    head = ["", "when", "p50, s", "p95", "p99", "mean depth", "WER %"]
    head += ["refused %", "failed", "requests"]
    lines = []
    for row in found["rows"]:
        counts = [str(row["failed"]), str(row["requests"])]
        lines.append([row["task"], row["input"], *_measured(row), *counts])
    return markdown_table(head, lines)


def _measured(row: Spec) -> list[str]:
    """Latencies, depth, words and refusals of a row."""
    cells = [_figure(row.get(key), 2) for key in ("p50", "p95", "p99")]
    cells += [_figure(row.get(key), 1) for key in ("mean_depth", "wer")]
    return [*cells, f"{100 * row['refused'] / row['requests']:.0f}"]


def _figure(value: Optional[float], decimals: int) -> str:
    """A figure; nothing where too few were answered to have one."""
    return "" if value is None else f"{value:.{decimals}f}"


SERVING_KINDS = {"by_share": by_share, "by_phase": by_phase}


def draw_refusals(spec: Spec, source: Path, path: Path) -> None:
    """Draws what is refused against load, a line a depth.

    Latency tells little by itself: who would be answered too late is refused.
    Beside the last point stands the WER of what is answered.
    """
    rows = json.loads(source.read_text())["rows"]
    labels = {"xlabel": "load / capacity of full depth", "title": spec["title"]}
    with picture(path, ylabel="refused, % of requests", **labels) as axes:
        for i, task in enumerate(dict.fromkeys(row["task"] for row in rows)):
            own = [r for r in rows if r["task"] == task]
            x = [float(r["input"]) for r in own]
            y = [100 * r["refused"] / r["requests"] for r in own]
            label = TITLES.get(task, task)
            axes.plot(x, y, STYLES[i % len(STYLES)], label=label)
            last = own[-1]
            if "wer" in last:
                text = f"  WER {last['wer']:.0f} %"
                axes.annotate(text, (x[-1], y[-1]), fontsize="x-small")
        axes.set_xlim(right=1.25 * max(float(row["input"]) for row in rows))
        axes.legend(fontsize="x-small")
