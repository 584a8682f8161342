"""What was measured: rows of scores, kept as JSON beside each recipe.

recipes/<Corpus>/results/<row>.json is described in benchmarks/README.md.
"""

import json
import statistics
from pathlib import Path
from typing import Any, Optional

from comparison import total

from dld_brain.evaluation.tables import mean_and_deviation
from dld_brain.files.whole import write_text

ROOT = Path(__file__).resolve().parents[1]
#: What a report must say of its run to be published.
ORIGIN = ("command", "commit", "machine", "seed")
ROW_KEYS = {"row", "title", "metric", "data", "commits", "commands", "seeds"}
ROW_KEYS |= {"source", "machine", "date", "runs", "summary", "spent"}
RUN_KEYS = {"seed", "by_depth", "report"}


def row_path(corpus: str, row: str) -> Path:
    """Where a row is kept."""
    return ROOT / "recipes" / corpus / "results" / f"{row}.json"


def read_row(corpus: str, row: str) -> dict[str, Any]:
    """Reads a published row.

    Raises
    ------
    ValueError
        If it does not follow the schema.
    """
    path = row_path(corpus, row)
    content = json.loads(path.read_text())
    check_row(content, path)
    return content


def check_row(row: dict[str, Any], path: Path) -> None:
    """Checks a row against the schema.

    Raises
    ------
    ValueError
        If it does not follow it.
    """
    if set(row) != ROW_KEYS:
        wrong = sorted(set(row) ^ ROW_KEYS)
        raise ValueError(f"{path} must have {sorted(ROW_KEYS)}: see {wrong}")
    if row["row"] != path.stem:
        raise ValueError(f"`row` of {path} must be its name, {path.stem}")
    if row["source"] not in ("text", "report"):
        raise ValueError(
            f"`source` of {path} must be text or report, but is {row['source']}"
        )
    for run in row["runs"]:
        if set(run) - {"curve"} != RUN_KEYS:
            raise ValueError(f"runs of {path} must have {sorted(RUN_KEYS)}")
        if (run["report"] is None) != (row["source"] == "text"):
            raise ValueError(f"{path} must have reports or be of text")
    if row["runs"] and row["summary"]:
        raise ValueError(f"{path} must have either runs or a summary")


def scores(
    report: dict[str, Any], selection: Optional[str] = None
) -> dict[str, dict[str, Any]]:
    """The scores of a report's one test set, by depth, as a row keeps them.

    Arguments
    ---------
    selection : str, optional
        How layers were chosen; as the first score says if not given.

    Raises
    ------
    ValueError
        If the report has no such scores.
    """
    (rows,) = report["sets"].values()
    selection = selection or rows[0]["selection"]
    found = {}
    for score in (row for row in rows if row["selection"] == selection):
        others = dict(score["rates"])
        kept = {"rate": others.pop(report["metric"]), **others}
        kept |= {
            k: score[k]
            for k in ("layers", "std", "params", "rtf")
            if score.get(k) is not None
        }
        if "rtf" in kept:
            kept["RTF"] = kept.pop("rtf")
        if score.get("lm_rates") is not None:
            kept["lm_rate"] = score["lm_rates"][report["metric"]]
        found[str(score["n_layers"])] = kept
    if not found:
        known = sorted({row["selection"] for row in rows})
        raise ValueError(f"`selection` must be of {known}, but is {selection}")
    return found


def cell(row: dict[str, Any], n: int, decimals: int) -> str:
    """A row's mean and deviation at a depth; empty where not measured."""
    if str(n) in row["summary"]:
        mean, deviation = row["summary"][str(n)]
        return f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"
    found = [run["by_depth"].get(str(n)) for run in row["runs"]]
    kept = [score["rate"] for score in found if score]
    return mean_and_deviation(kept, decimals) if kept else ""


def rates(row: dict[str, Any]) -> dict[int, tuple[float, float]]:
    """By depth, mean and standard deviation over the seeds, %."""
    known = {int(n): tuple(both) for n, both in row["summary"].items()}
    for n in {int(n) for run in row["runs"] for n in run["by_depth"]}:
        values = [
            run["by_depth"][str(n)]["rate"]
            for run in row["runs"]
            if str(n) in run["by_depth"]
        ]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        known[n] = (statistics.mean(values), spread)
    return dict(sorted(known.items()))


def add_report(
    row: dict[str, Any],
    report: dict[str, Any],
    selection: Optional[str] = None,
) -> dict[str, Any]:
    """Adds a run's report to a row; figures of a text give way to it.

    Raises
    ------
    ValueError
        If the report does not say where it comes from.
    """
    missing = [key for key in ORIGIN if not report.get(key)]
    if missing:
        raise ValueError(
            f"the report must say {', '.join(ORIGIN)}, but has no "
            f"{', '.join(missing)}: run its evaluation again (--test_only)"
        )
    new = {"seed": report["seed"], "by_depth": scores(report, selection)}
    key = _run_key(new)
    others = [run for run in row["runs"] if run["report"] is not None]
    runs = [run for run in others if _run_key(run) != key]
    runs = sorted([*runs, {**new, "report": report}], key=_run_key)
    return {
        **row,
        "source": "report",
        "metric": report["metric"],
        "seeds": sorted({run["seed"] for run in runs}),
        "commits": sorted({run["report"]["commit"] for run in runs}),
        "commands": [run["report"]["command"] for run in runs],
        "machine": report["machine"],
        "date": report.get("date"),
        "runs": runs,
        "summary": {},
        "spent": spent(runs),
    }


def _run_key(run: dict[str, Any]) -> tuple[int, list[int]]:
    """A seed may have several models, each of its own depths."""
    return run["seed"], sorted(map(int, run["by_depth"]))


def spent(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Mean over the seeds of what their models took together."""
    by_seed: dict[int, list[dict[str, Any]]] = {}
    for run in runs:
        training = run["report"].get("training")
        if training is None:
            return {}
        by_seed.setdefault(run["seed"], []).append(training)
    totals = [total(trainings) for trainings in by_seed.values()]
    peak = max(t.get("peak_bytes", 0) for ts in by_seed.values() for t in ts)
    mean = {k: statistics.mean(t[k] for t in totals) for k in totals[0]}
    found = {
        "updates": mean["steps"],
        "layer_passes": mean["layer_passes"],
        "minutes": mean["seconds"] / 60,
    }
    return {**found, "peak_gib": peak / 2**30} if peak else found


def write_row(corpus: str, row: dict[str, Any]) -> None:
    """Writes a row where it is published from."""
    path = row_path(corpus, row["row"])
    check_row(row, path)
    text = json.dumps(row, indent=1, ensure_ascii=False)
    write_text(path, text + "\n")
