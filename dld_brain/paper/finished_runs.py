"""Finished runs, and what they scored: what the paper's tables are made of."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dld_brain.evaluation.report import deepest

#: Values by method and depth, one for each seed.
Measured = dict[str, dict[int, list[float]]]


class Run(NamedTuple):
    """A finished run."""

    folder: str
    report: dict[str, Any]

    @property
    def method(self) -> str:
        """What the paper calls it; of what the paper has not, a name."""
        recipe = self.report["recipe"]
        if recipe.endswith("_teacher"):
            return "M_ref"
        is_rd = recipe.endswith("_rd")
        if is_rd and self.report["starts_from_model"]:
            name = "RD from M_ref"
        elif is_rd:
            name = "RDsc"
        else:
            name = recipe.rpartition("_")[2].upper()
        gates = self.report["gates"]
        return name if gates == "bernoulli" else f"{name}, {gates} gates"


def read_runs(folders: list[str]) -> list[Run]:
    """Reads the reports of runs.

    Example
    -------
    >>> read_runs(["nowhere"])
    Traceback (most recent call last):
    ...
    FileNotFoundError: nowhere must hold depth_report.json, but does not: ...
    """
    runs = []
    for folder in folders:
        path = Path(folder, "depth_report.json")
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} must hold depth_report.json, but does not: give "
                f"the output folders of finished runs"
            )
        runs.append(Run(folder, json.loads(path.read_text())))
    return runs


def fitting(runs: list[Run], spec: Mapping[str, Any], corpus: str) -> list[Run]:
    """The runs that a part of a table is of."""
    return [
        run
        for run in runs
        if run.report["corpus"] == corpus
        and run.report["metric"] == spec["metric"]
        and run.report["recipe"].rpartition("_")[0] == spec["encoder"]
    ]


def of_the_table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the layers of the depth table: those that come first.

    Example
    -------
    >>> of_the_table([{"selection": "even"}, {"selection": "random"}])
    [{'selection': 'even'}]
    """
    return [r for r in rows if r["selection"] == rows[0]["selection"]]


def measured(
    runs: list[Run], name: str, metric: str, by_epoch: bool
) -> Measured:
    """Collects what runs scored with the layers of their depth table.

    Arguments
    ---------
    by_epoch : bool
        Whether kept epochs are methods of their own, as in Table 3.

    Returns
    -------
    dict of str to dict of int to list of float
        By method and depth, one value for each seed; of the teacher, full
        depth alone.
    """
    found: Measured = defaultdict(lambda: defaultdict(list))
    for run in runs:
        parts = {run.method: run.report["sets"]}
        if by_epoch and "epochs" in run.report:
            parts = {
                f"{run.method}, epoch {epoch}": sets
                for epoch, sets in run.report["epochs"].items()
            }
        for method, sets in parts.items():
            rows = of_the_table(sets.get(name, []))
            if method == "M_ref" and rows:
                rows = [deepest(rows)]
            for row in rows:
                found[method][row["n_layers"]].append(row["rates"][metric])
    return found
