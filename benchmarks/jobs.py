"""A model that a comparison trains, and what a step of it takes."""

import json
import os
import subprocess
import sys
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from dld_brain.gates.sampler import with_intermediate
from dld_brain.run.config import compose, load_hparams
from dld_brain.run.places import ROOT
from dld_brain.run.start import gates_with_table
from dld_brain.training.clock import layer_passes

#: Steps that the compute of a method is averaged over.
STEPS = 1000


class Job(NamedTuple):
    """A model to train."""

    hparams: str
    settings: dict[str, Any]
    folder: Path
    updates: int = 0

    @property
    def is_done(self) -> bool:
        """Whether it is trained and scored."""
        return (self.folder / "depth_report.json").is_file()

    def command(self, device: str) -> list[str]:
        """The command that trains it."""
        flags = [
            f"--{key}={value if isinstance(value, str) else json.dumps(value)}"
            for key, value in self.settings.items()
        ]
        folder = f"--output_folder={self.folder}"
        return ["train.py", self.hparams, *flags, folder, f"--device={device}"]

    def train(self, device: str, threads: int) -> None:
        """Trains it, with its output in stdout.txt."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "stdout.txt"
        with open(log, "a", encoding="utf-8") as file:
            code = subprocess.run(
                [sys.executable, *self.command(device), "--noprogressbar"],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                stdout=file,
                stderr=subprocess.STDOUT,
            ).returncode
        if code:
            raise RuntimeError(f"train.py ended with {code}: see {log}")


def mean_passes(job: Job, n_teacher: int) -> float:
    """Layer passes of a training step, mean over many.

    Arguments
    ---------
    n_teacher : int
        Layers of its frozen teacher, if it has one.
    """
    composed = compose(job.hparams, job.settings)
    settings = composed.settings()
    n_total = load_hparams(composed)["modules"]["model"].n_total
    gates = gates_with_table(settings.losses.gates)
    sampler = gates.make(n_total=n_total, seed=settings.start.seed)
    weight = settings.losses.intermediate_weight
    n_teacher = n_teacher if settings.start.teacher else 0
    passes = [
        layer_passes(
            with_intermediate(sampler(step), weight), n_total, n_teacher
        )
        for step in range(STEPS)
    ]
    return sum(passes) / STEPS


def for_updates(job: Job, updates: int) -> Job:
    """The same model, whose schedule is made for so many updates."""
    schedule = job.settings.get("schedule", {})
    settings = job.settings
    if "n_updates" in schedule:
        schedule = {**schedule, "n_updates": updates}
        settings = {**settings, "schedule": schedule}
    return job._replace(settings=settings, updates=updates)


def longer(job: Job, share: float) -> Job:
    """The same model with more updates, or fewer, and its schedule with them.

    Example
    -------
    >>> job = Job("x.yaml", {"number_of_epochs": 6}, Path(), updates=100)
    >>> settings = longer(job, 0.25).settings
    >>> settings["number_of_epochs"], settings["optimizer_step_limit"]
    (2, 25)
    """
    updates = round(share * job.updates)
    settings = {
        **job.settings,
        "number_of_epochs": ceil(share * job.settings["number_of_epochs"]),
        "optimizer_step_limit": updates,
    }
    return for_updates(job._replace(settings=settings), updates)
