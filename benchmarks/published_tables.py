"""How a table of tables.yaml is made from rows and times."""

import json
from collections.abc import Callable
from typing import Any

from figures import ROOT, cell, read_row, spent
from long_tables import LONG_KINDS
from serving_tables import SERVING_KINDS
from streaming_tables import STREAMING_KINDS

from dld_brain.evaluation.tables import markdown_table

Spec = dict[str, Any]
FOOTNOTE = (
    "† report not kept; the figures are those printed when it was measured."
)
#: Of a training: the heading, the key and how it is written.
SPENT: dict[str, str] = {
    "updates": "{:.0f}",
    "layer_passes": "{:,.0f}",
    "minutes": "{:.1f}",
    "peak_gib": "{:.2f}",
}
HEADINGS = {"layer_passes": "layer passes", "peak_gib": "peak GiB"}


def _title(row: Spec) -> str:
    """With a dagger where the report was not kept."""
    return row["title"] + (" †" if row["source"] == "text" else "")


def _spent(row: Spec, spec: Spec) -> list[str]:
    """The cells of what a training took."""
    known = {k: f.format(row["spent"].get(k, 0)) for k, f in SPENT.items()}
    return [
        known[k] if k in row["spent"] else "" for k in spec.get("spent", ())
    ]


def rows_of(spec: Spec) -> list[Spec]:
    """The rows that a table shows."""
    return [read_row(spec["corpus"], name) for name in spec["rows"]]


def means(spec: Spec, rows: list[Spec]) -> str:
    """A line a row: mean and deviation over its seeds."""
    with_seeds = spec["kind"] == "means"
    head = [spec["head"], *(["seeds"] if with_seeds else [])]
    head += [str(n) for n in spec["depths"]]
    head += [HEADINGS.get(key, key) for key in spec.get("spent", ())]
    decimals = spec.get("decimals", 1)
    lines = []
    for row in rows:
        cells = [_title(row)]
        cells += [str(len(row["seeds"]))] if with_seeds else []
        cells += [cell(row, n, decimals) for n in spec["depths"]]
        lines.append([*cells, *_spent(row, spec)])
    return markdown_table(head, lines)


def seeds(spec: Spec, rows: list[Spec]) -> str:
    """A line a run."""
    head = [spec["head"], "seed", *(str(n) for n in spec["depths"])]
    head += [HEADINGS.get(key, key) for key in spec.get("spent", ())]
    lines = []
    for row in rows:
        for run in row["runs"]:
            cells = [_title(row), str(run["seed"])]
            for n in spec["depths"]:
                score = run["by_depth"].get(str(n))
                cells.append(_score(score) if score else "")
            taken = {**row, "spent": _spent_of(row, run)}
            lines.append([*cells, *_spent(taken, spec)])
    return markdown_table(head, lines)


def _spent_of(row: Spec, run: Spec) -> Spec:
    """What one run took: by seed where it was printed so."""
    if run["report"] is not None:
        return spent([run])
    return row["spent"].get(str(run["seed"]), row["spent"])


def _score(score: Spec, with_layers: bool = False) -> str:
    """A rate, and its deviation over draws and its layers, where known."""
    text = f"{score['rate']:.1f}"
    if "std" in score:
        text += f" ± {score['std']:.1f}"
    if with_layers and score.get("layers"):
        text += f" ({', '.join(map(str, score['layers']))})"
    return text


def depths(spec: Spec, rows: list[Spec]) -> str:
    """A line a depth of one run: the quickstart's."""
    (row,) = rows
    (run,) = row["runs"]
    metric, dagger = row["metric"], " †" if row["source"] == "text" else ""
    other = {"WER": "CER", "CER": "WER"}[metric]
    head = [f"n{dagger}", "layers", "parameters", f"{metric} %", f"{other} %"]
    head.append("RTF")
    lines = []
    for n, score in run["by_depth"].items():
        layers = score["layers"]
        every = len(layers) == max(map(int, run["by_depth"]))
        lines.append(
            [
                n,
                "all" if every else ", ".join(map(str, layers)),
                f"{score['params'] / 1e6:.2f} M",
                f"{score['rate']:.2f}",
                f"{score[other]:.2f}",
                f"{score['RTF']:.4f}",
            ]
        )
    return markdown_table(head, lines)


def layers(spec: Spec, rows: list[Spec]) -> str:
    """A line a row of one run, with the layers of each depth."""
    lines = []
    for row in rows:
        (run,) = row["runs"]
        found = [run["by_depth"].get(str(n)) for n in spec["depths"]]
        cells = [_score(score, True) if score else "" for score in found]
        lines.append([_title(row), *cells])
    return markdown_table([spec["head"], *map(str, spec["depths"])], lines)


def sizes(spec: Spec, rows: list[Spec]) -> str:
    """A line a format: rate and MiB by depth."""
    head = [spec["head"]]
    for n in spec["depths"]:
        head += [f"{n}", ""]
    lines = []
    for row in rows:
        (run,) = row["runs"]
        cells = [_title(row)]
        for n in spec["depths"]:
            score = run["by_depth"][str(n)]
            cells += [f"{score['rate']:.2f}", f"{score['mib']:.1f}"]
        lines.append(cells)
    return markdown_table(head, lines)


def language_model(spec: Spec, rows: list[Spec]) -> str:
    """Two lines a row of one run: greedy, and with the language model."""
    lines = []
    for row in rows:
        (run,) = row["runs"]
        scores, lm = run["by_depth"], run["report"]["lm"]
        with_it = f"with it (alpha {lm['alpha']:g}, beta {lm['beta']:g})"
        for name, key in ((_title(row), "rate"), (with_it, "lm_rate")):
            found = [scores.get(str(n)) for n in spec["depths"]]
            lines.append([name, *(f"{s[key]:.1f}" if s else "" for s in found)])
    return markdown_table(["n", *map(str, spec["depths"])], lines)


def curve(spec: Spec, rows: list[Spec]) -> str:
    """Mean depth and rate by threshold of a router of inputs."""
    lines = []
    for row in rows:
        (run,) = row["runs"]
        points = run["curve"]
        for name, i in (("mean depth", 0), (f"{row['metric']} %", 1)):
            values = [f"{point[i]:.1f}" for point in points]
            lines.append([_title(row), name, *values])
    return markdown_table([""] * len(lines[0]), lines)


def speed(spec: Spec, found: Spec) -> str:
    """A line a task; for each input the fields of tables.yaml."""
    fields = spec["fields"]
    times = {(row["task"], row["input"]): row for row in found["rows"]}
    inputs = [k for k in spec["inputs"] if k in {i for _, i in times}]
    head = ["†" if found["source"] == "text" else ""]
    for name in inputs:
        head += [spec["inputs"][name], *[""] * (len(fields) - 1)]
    lines = []
    for task, title in spec["tasks"].items():
        cells = [title]
        for name in inputs:
            cells += [_time(times[task, name], f) for f in fields]
        lines.append(cells)
    return markdown_table(head, lines)


def speed_by_depth(spec: Spec, found: Spec) -> str:
    """A column a depth: our time, and its ratio to a static model."""
    times = {(row["task"], row["input"]): row for row in found["rows"]}
    chosen = [times[f"ours, n={n}", spec["input"]] for n in spec["depths"]]
    dagger = " †" if found["source"] == "text" else ""
    ours = [f"ours{dagger}", *(_time(row, "ms") for row in chosen)]
    theirs = [f"{row['to_static']:.2f}" for row in chosen]
    return markdown_table(
        ["n", *map(str, spec["depths"])],
        [ours, [f"ratio to {spec['static']}", *theirs]],
    )


def peers(spec: Spec, found: Spec) -> str:
    """A line a recogniser, ours one a depth: words, time, size."""
    titles, lines = spec.get("titles", {}), []
    for row in found["rows"]:
        task, low_high = row["task"], row["wer_interval"]
        lines.append(
            [
                titles.get(task, task),
                row["input"],
                f"{row['wer']:.1f}",
                "{:.1f} to {:.1f}".format(*low_high),
                f"{row['rtf']:.3f}",
                f"{row['mib']:.0f}",
            ]
        )
    head = ["", "encoder layers", "WER %", "95 %", "RTF", "MiB"]
    return markdown_table(head, lines)


def _time(row: Spec, field: str) -> str:
    """A time with its range over the rounds, a ratio or a size."""
    if field == "ms":
        low, middle, high = (row["ms"][k] for k in ("min", "median", "max"))
        text = f"{middle:.0f}"
        return text if low is None else f"{text} ({low:.0f} to {high:.0f})"
    value = row.get(field)
    return "" if value is None else f"{value:.{2 if field == 'ratio' else 0}f}"


KINDS: dict[str, Callable[[Spec, list[Spec]], str]] = {
    **{"means": means, "plain": means, "seeds": seeds, "depths": depths},
    **{"layers": layers, "sizes": sizes, "curve": curve},
    "language_model": language_model,
}
SPEED_KINDS = {
    "speed": speed,
    "speed_by_depth": speed_by_depth,
    "peers": peers,
    **STREAMING_KINDS,
    **SERVING_KINDS,
    **LONG_KINDS,
}


def make_table(spec: Spec) -> str:
    """A table of tables.yaml, with the footnote that it needs."""
    if spec["kind"] in SPEED_KINDS:
        path = ROOT / "benchmarks/results" / f"{spec['benchmark']}.json"
        found = json.loads(path.read_text())
        text, sources = (
            SPEED_KINDS[spec["kind"]](spec, found),
            [found["source"]],
        )
    else:
        rows = rows_of(spec)
        text = KINDS[spec["kind"]](spec, rows)
        sources = [row["source"] for row in rows]
    return f"{text}\n\n{FOOTNOTE}" if "text" in sources else text
