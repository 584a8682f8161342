"""Finished runs, and what they scored: what the paper's tables are made of."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dld_brain.evaluation.report import deepest

#: Values by method and depth, one for each seed.
Measured = dict[str, dict[int, list[float]]]

#: First words of the recipes, the longer ones first.
ENCODERS = ("conformer_slu", "conformer", "wavlm")
#: What the paper calls a recipe, and the gates that go with the name; ours
#: are "ours", the others by what their files are called.
METHODS = {
    "teacher": ("M_ref", "full"),
    "rd": ("RDsc", "bernoulli"),
    "rdld": ("RDLD", "bernoulli"),
    "dld": ("DLD", "bernoulli"),
    "dld_plus": ("DLD plus", "every_depth"),
}
#: Hours of two runs that count as the same data, relative to one another.
SAME_HOURS = 0.02


class Speech(NamedTuple):
    """What a run was trained on."""

    splits: tuple[str, ...]
    hours: float

    def is_that_of(self, other: "Speech") -> bool:
        """Whether it is the same, but for what a limit on length leaves out.

        Example
        -------
        >>> whole = Speech(("train-clean-100",), 100.6)
        >>> whole.is_that_of(Speech(("train-clean-100",), 100.5))
        True
        >>> whole.is_that_of(Speech(("train-clean-100",), 10.0))
        False
        """
        distance = abs(self.hours - other.hours)
        is_near = distance <= SAME_HOURS * other.hours
        return sorted(self.splits) == sorted(other.splits) and is_near

    def __str__(self) -> str:
        return f"{', '.join(self.splits)} ({self.hours:.1f} h)"


class Run(NamedTuple):
    """A finished run."""

    folder: str
    report: dict[str, Any]

    @property
    def encoder(self) -> str:
        """The first words of its recipe, "" where they are none of ours."""
        recipe = self.report["recipe"]
        fitting = (e for e in ENCODERS if recipe.startswith(f"{e}_"))
        return next(fitting, "")

    @property
    def method(self) -> str:
        """What the paper calls it; of what the paper has not, a name."""
        recipe = self.report["recipe"].removeprefix(f"{self.encoder}_")
        gates = self.report["gates"]
        name, usual = METHODS.get(recipe, (recipe.replace("_", " "), gates))
        if recipe == "rd" and self.report["starts_from_model"]:
            name = "RD from M_ref"
        elif recipe == "rd" and self.encoder == "wavlm":
            name = "RDw-sc"
        return name if gates == usual else f"{name}, {gates} gates"

    @property
    def speech(self) -> Speech:
        """What it was trained on."""
        splits = tuple(self.report["train_splits"])
        return Speech(splits, self.report["train_hours"])


def read_runs(folders: list[str]) -> list[Run]:
    """Reads the reports of runs.

    Raises
    ------
    ValueError
        If a report does not say what the run was trained on.

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
        report = json.loads(path.read_text())
        if not {"train_splits", "train_hours"} <= set(report):
            raise ValueError(
                f"{path} must say `train_splits` and `train_hours`, but does "
                f"not: score the run again with --test_only"
            )
        runs.append(Run(folder, report))
    return runs


def fitting(runs: list[Run], spec: Mapping[str, Any], corpus: str) -> list[Run]:
    """The runs that a part of a table is of, on whatever splits."""
    return [
        run
        for run in runs
        if run.report["corpus"] == corpus
        and run.report["metric"] == spec["metric"]
        and run.encoder == spec["encoder"]
    ]


def by_speech(runs: list[Run]) -> list[tuple[Speech, list[Run]]]:
    """Runs grouped by what they were trained on, in order of appearance."""
    groups: list[tuple[Speech, list[Run]]] = []
    for run in runs:
        same = (g for speech, g in groups if run.speech.is_that_of(speech))
        group = next(same, None)
        if group is None:
            groups.append((run.speech, [run]))
        else:
            group.append(run)
    return groups


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
