"""The tables and the picture of what `streaming.py` measured."""

import json
from pathlib import Path
from typing import Any

from dld_brain.evaluation.plots import log_scale, picture
from dld_brain.evaluation.tables import markdown_table

Spec = dict[str, Any]


def by_chunk(spec: Spec, found: Spec) -> str:
    """A line a model and a length of chunks, a column a depth: WER."""
    lines: dict[tuple[str, str], list[str]] = {}
    inputs = list(dict.fromkeys(row["input"] for row in found["rows"]))
    for row in found["rows"]:
        cells = lines.setdefault((row["source"], row["task"]), [])
        cells.append(f"{row['wer']:.1f}")
    head = ["WER %", "chunks", *(name.replace("=", " = ") for name in inputs)]
    return markdown_table(
        head, [[*key, *cells] for key, cells in lines.items()]
    )


def by_period(spec: Spec, found: Spec) -> str:
    """A line a model and a period, WER with and without refill."""
    models = list(dict.fromkeys(row["source"] for row in found["rows"]))
    head = ["depth", "mean depth"]
    for model in models:
        head += [f"{model}, refilled", "without refill"]
    lines: dict[str, list[str]] = {}
    for row in found["rows"]:
        name, is_fixed = row["input"], row["task"] == "fixed"
        if not is_fixed:
            name = f"drawn anew, {name}"
        mean = f"{row['mean_depth']:.1f}"
        cells = lines.setdefault(name.replace("=", " = "), [mean])
        text = f"{row['wer']:.1f}"
        if len(row["wers"]) > 1:
            text += f" ({min(row['wers']):.1f} to {max(row['wers']):.1f})"
        cells += [text, text] if is_fixed else [text]
    return markdown_table(head, [[k, *cells] for k, cells in lines.items()])


def by_load(spec: Spec, found: Spec) -> str:
    """A line a stream: lags without and under load, depths, drops, words."""
    head = ["", "lag p50, s", "p95", "max", "under load: p50", "p95", "max"]
    head += ["mean depth", "under load", "samples dropped", "WER %"]
    lines = []
    for row in found["rows"]:
        cells = [row["task"].replace("=", " = ")]
        for part in ("quiet", "load"):
            cells += [f"{row['lags'][part][k]:.2f}" for k in LAGS]
        cells += [f"{row['mean_depth']:.1f}"]
        cells += [f"{row['mean_depth_under_load']:.1f}", str(row["dropped"])]
        lines.append([*cells, f"{row['wer']:.1f}"])
    return markdown_table(head, lines)


def by_window(spec: Spec, found: Spec) -> str:
    """A line a model: what a sliding window encodes, and its time."""
    head = ["", "n", "chunk, s", "window, s"]
    head += ["a second is encoded, times", "processor time to encoding once"]
    lines = [
        [
            row["task"],
            row["input"].removeprefix("n="),
            f"{row['chunk']:g}",
            f"{row['window']:g}",
            f"{row['encoded']:.1f}",
            f"{row['to_once']:.1f}",
        ]
        for row in found["rows"]
    ]
    return markdown_table(head, lines)


LAGS = ("p50", "p95", "max")
STREAMING_KINDS = {
    "by_chunk": by_chunk,
    "by_period": by_period,
    "by_load": by_load,
    "by_window": by_window,
}


def draw_lags(spec: Spec, source: Path, path: Path) -> None:
    """Draws the lag of each stream of the last round, and the load."""
    rows = json.loads(source.read_text())["rows"]
    labels = {"xlabel": "audio, s", "ylabel": "lag, s", "title": spec["title"]}
    with picture(path, **labels) as axes:
        for row in rows:
            ends, seconds, _ = zip(*row["chunks"])
            axes.plot(ends, seconds, label=row["task"].replace("=", " = "))
        axes.axhline(rows[0]["max_lag"], color="black", lw=0.8, ls="--")
        axes.axvspan(ends[-1] / 3, 2 * ends[-1] / 3, color="grey", alpha=0.2)
        log_scale(axes)
        axes.legend(fontsize="x-small")
