"""Kills a small run at random moments, starts it again, and compares.

A run trains a teacher and its student, searches layers, evaluates and
exports one depth. The same command, given again behind a SIGKILL, must end
with the files of the run that was not killed, byte for byte. Each phase has
its turn, however short it is.

> python -m tests.fuzz.kills                  # 30 kills: the table of counts
> python -m tests.fuzz.kills --write          # and puts it into the docs
> python -m tests.fuzz.kills --kills 5 --seed 1
"""

import argparse
import functools
import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.page import write

REPOSITORY = Path(__file__).resolve().parents[2]
N_EPOCHS = 2
#: What must be equal, of the folder of a run.
FILES = (
    "teacher/1/pretrained/model.safetensors",
    "student/1/pretrained/model.safetensors",
    "student/1/pretrained/normalize.safetensors",
    "student/1/pretrained/depth_table.json",
    "student/1/save/layer_scores.json",
    "part/weights.ckpt",
    "part/normalize.ckpt",
)
#: What a run is at, and where: of the innermost of these that it is in.
PHASES = {
    "start": "dld_brain.run.run:Run.prepare",
    "training": "dld_brain.training.brain:DLDBrain.fit_batch",
    "saving": "dld_brain.training.checkpoints:AtomicCheckpointer"
    ".save_checkpoint",
    "search": "dld_brain.search.choose:LayerChooser.choose",
    "evaluation": "dld_brain.run.scoring:Scoring.evaluate",
    "finish": "dld_brain.run.finish:Finish.run",
    "export": "dld_brain.export.__main__:main",
}
#: Phase of the run that was forked, by its place in `PHASES`; -1: none.
_phase = multiprocessing.get_context("fork").Value("i", -1, lock=False)


@dataclass(frozen=True)
class Kill:
    """What became of a run that was killed.

    Arguments
    ---------
    phase : str
        One of `PHASES`: what the kill cut off.
    moment : float
        Share of the processor time that the run spends in it.
    fault : str
        Empty where what was resumed is what was not killed.
    """

    phase: str
    moment: float
    fault: str


def watch() -> None:
    """Has all runs that are forked from now on say what they are at."""
    for number, place in enumerate(PHASES.values()):
        module, _, names = place.partition(":")
        *owners, name = names.split(".")
        owner: Any = importlib.import_module(module)
        for each in owners:
            owner = getattr(owner, each)
        setattr(owner, name, _watched(getattr(owner, name), number))


def _watched(work: Callable, number: int) -> Callable:
    """The same, which is noted as long as it runs."""

    @functools.wraps(work)
    def watched(*args: Any, **kwargs: Any) -> Any:
        before, _phase.value = _phase.value, number
        try:
            return work(*args, **kwargs)
        finally:
            _phase.value = before

    return watched


def train_and_export(folder: Path) -> None:
    """The run: small enough for seconds, with all that a large one does."""
    from matplotlib.figure import Figure

    from dld_brain.export import __main__ as export
    from dld_brain.run.main import train

    # Drawing is most of the time, and no picture is compared.
    Figure.savefig = lambda self, path, **_: Path(path).touch()
    options = {
        "corpus": "AN4",
        "data_folder": "tests/samples/AN4",
        "max_unspellable": 1,  # the samples have few letters
        "vocab_size": 11,
        "n_total": 3,
        "d_model": 32,
        "d_ffn": 64,
        "n_heads": 2,
        "kernel_size": 7,
        "num_workers": 0,
        "batch_size": 1,
        "number_of_epochs": N_EPOCHS,
        "avg_checkpoints": 2,
        "selection": "exhaustive",
        "random_draws": 1,
        "output_folder": f"{folder}/student/1",
        "teacher_overrides": f"{{number_of_epochs: {N_EPOCHS}, batch_size: 1, "
        f"layer_importance: False, random_draws: 0, "
        f"output_folder: {folder}/teacher/1}}",
        "ckpt_interval_minutes": 0,
        "ckpt_interval_steps": 1,
    }
    flags = [f"--{key}={value}" for key, value in options.items()]
    recipe = "hparams/conformer_dld.yaml"
    train([recipe, *flags, "--noprogressbar", "--device=cpu"])
    source, output = f"{folder}/student/1/pretrained", folder / "part"
    if not output.exists():
        arguments = ["--source", source, "--output", str(output)]
        status = export.main(["submodel", *arguments, "--n_layers", "2"])
        assert status == 0


def _quietly(work: Callable[[Path], None], folder: Path) -> None:
    """Does something with what it says in a file beside the folder."""
    with open(f"{folder}.txt", "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir(REPOSITORY)
    work(folder)


def run(
    folder: Path, phase: int = -1, kill_at: float = float("inf")
) -> tuple[int, list[float]]:
    """Runs in a process of its own.

    Arguments
    ---------
    phase : int
        Where it is killed: a place in `PHASES`.
    kill_at : float
        Seconds of its processor time in that phase at which it is killed: of
        the clock's, the load of the machine would decide where a kill falls.

    Returns
    -------
    tuple of int and list of float
        Exit status, -9 of one that was killed, and what each phase took.
    """
    # Forked: what is imported is there, and kills hit what a run does.
    context = multiprocessing.get_context("fork")
    _phase.value = -1
    process = context.Process(target=_quietly, args=(train_and_export, folder))
    process.start()
    spent, before = [0.0] * (len(PHASES) + 1), 0.0  # the last: of no phase
    while process.is_alive() and spent[phase] < kill_at:
        time.sleep(0.001)
        now = _processor_seconds(process.pid, before)
        spent[_phase.value] += now - before
        before = now
    process.kill()
    process.join()
    return process.exitcode, spent


def _processor_seconds(pid: int, before: float) -> float:
    """What a process has used; `before` where it is gone. See proc(5)."""
    try:
        text = Path(f"/proc/{pid}/schedstat").read_text()
    except OSError:
        return before
    return int(text.split()[0]) / 1e9


def difference(found: Path, expected: Path) -> str:
    """What a resumed run has otherwise; empty if nothing."""
    for name in FILES:
        if not (found / name).is_file():
            return f"{name} is missing"
        if (found / name).read_bytes() != (expected / name).read_bytes():
            return f"{name} differs"
    for name in ("teacher", "student"):
        text = (found / name / "1/train_log.txt").read_text("utf-8")
        epochs = [line.split(",")[0] for line in text.splitlines()]
        if epochs != [f"epoch: {i + 1}" for i in range(N_EPOCHS)]:
            return f"the log of the {name} has {', '.join(epochs)}"
    return ""


def kill(
    folder: Path, expected: Path, phase: str, moment: float, seconds: float
) -> Kill:
    """Kills a run in a phase, and resumes it.

    Arguments
    ---------
    moment : float
        Share of the processor time that the run spends in it.
    seconds : float
        That time; where a run is through before, the moment comes sooner.
    """
    number = list(PHASES).index(phase)
    while True:
        status, _ = run(folder, number, moment * seconds)
        if status == -9 and _phase.value == number:
            break
        shutil.rmtree(folder, ignore_errors=True)
        moment *= 0.8
    status, _ = run(folder)
    if status != 0:
        last = Path(f"{folder}.txt").read_text().splitlines()[-1]
        return Kill(phase, moment, f"does not start again: {last}")
    return Kill(phase, moment, difference(folder, expected))


def kills(n: int, seed: int, folder: Path) -> list[Kill]:
    """Kills as many runs, the phases in turn from that of `seed` on."""
    import dld_brain.evaluation.plots
    import dld_brain.run.main  # noqa: F401 (for all that are forked)

    watch()
    expected = folder / "whole"
    status, seconds = run(expected)
    if status != 0:
        raise RuntimeError(Path(f"{expected}.txt").read_text())
    told = ", ".join(f"{p} {s:.2f}" for p, s in zip(PHASES, seconds))
    print(f"processor seconds of a run: {told}", flush=True)
    found, phases = [], list(PHASES)
    rng = np.random.default_rng(seed)
    for i in range(n):
        phase = (i + seed) % len(phases)
        moment = float(rng.random())
        place = folder / f"{i}"
        found.append(
            kill(place, expected, phases[phase], moment, seconds[phase])
        )
        shutil.rmtree(place)
        print(found[-1], flush=True)
    return found


def table(found: list[Kill]) -> str:
    """Counts by phase, as Markdown."""
    killed = Counter(k.phase for k in found)
    equal = Counter(k.phase for k in found if not k.fault)
    rows = [(p, killed[p], equal[p]) for p in PHASES if killed[p]]
    rows.append(("all", len(found), sum(equal.values())))
    lines = ["| killed in | runs | resumed, bit-equal |", "|---|---|---|"]
    return "\n".join(lines + [f"| {s} | {n} | {ok} |" for s, n, ok in rows])


def main() -> int:
    """Exit status: 1 where a run is not what it would have been."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kills")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = kills(options.kills, options.seed, Path(folder))
    print(table(found))
    if options.write:
        write("kills", table(found))
    return int(any(k.fault for k in found))


if __name__ == "__main__":
    sys.exit(main())
