"""Kills a small run at random moments, starts it again, and compares.

A run trains a teacher and its student, searches layers, evaluates and
exports one depth. The same command, given again behind a SIGKILL, must end
with the files of the run that was not killed, byte for byte.

> python -m tests.fuzz.kills                  # 30 kills: the table of counts
> python -m tests.fuzz.kills --kills 5 --seed 1
"""

import argparse
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

import numpy as np

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
STAGES = ("start", "training", "saving", "search", "evaluation", "export")


@dataclass(frozen=True)
class Kill:
    """What became of a run that was killed.

    Arguments
    ---------
    moment : float
        Share of the processor time that the run takes.
    stage : str
        One of `STAGES`: what the kill cut off.
    fault : str
        Empty where what was resumed is what was not killed.
    """

    moment: float
    stage: str
    fault: str


def train_and_export(folder: Path) -> None:
    """The run: small enough for seconds, with all that a large one does."""
    from matplotlib.figure import Figure

    from dld_brain.export.__main__ import main as export
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
        status = export(["submodel", *arguments, "--n_layers", "2"])
        assert status == 0


def _quietly(work: Callable[[Path], None], folder: Path) -> None:
    """Does something with what it says in a file beside the folder."""
    with open(f"{folder}.txt", "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.chdir(REPOSITORY)
    work(folder)


def run(folder: Path, kill_at: float = float("inf")) -> tuple[int, float]:
    """Runs in a process of its own.

    Arguments
    ---------
    kill_at : float
        Seconds of its processor time at which it is killed: of the clock's,
        the load of the machine would decide where a kill falls.

    Returns
    -------
    tuple of int and float
        Exit status, -9 of one that was killed, and processor seconds.
    """
    # Forked: what is imported is there, and kills hit what a run does.
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_quietly, args=(train_and_export, folder))
    process.start()
    spent = 0.0
    while process.is_alive() and spent < kill_at:
        time.sleep(0.005)
        spent = _processor_seconds(process.pid, spent)
    process.kill()
    process.join()
    return process.exitcode, spent


def _processor_seconds(pid: int, before: float) -> float:
    """What a process has used; `before` where it is gone. See proc(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return before
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def stage_of(folder: Path) -> str:
    """What a run was at, by what it left."""
    if (folder / "student/1/depth_report.json").is_file():
        return "export"
    if any(folder.glob("*/1/save/unfinished+*")):
        return "saving"
    for name in ("student", "teacher"):
        output = folder / name / "1"
        if (output / "pretrained").is_dir():
            return "evaluation" if name == "student" else "training"
        if any(output.glob("save/CKPT+*")):
            text = (output / "train_log.txt").read_text("utf-8")
            is_over = len(text.splitlines()) == N_EPOCHS
            return "search" if is_over else "training"
    return "start"


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


def kill(folder: Path, expected: Path, moment: float, seconds: float) -> Kill:
    """Kills a run at a moment, and resumes it.

    Arguments
    ---------
    moment : float
        Share of the processor time that the run takes.
    seconds : float
        That time; where a run is through before, the moment comes sooner.
    """
    while True:
        status, _ = run(folder, moment * seconds)
        if status == -9:
            break
        shutil.rmtree(folder)
        moment *= 0.8
    stage = stage_of(folder)
    status, _ = run(folder)
    if status != 0:
        last = Path(f"{folder}.txt").read_text().splitlines()[-1]
        return Kill(moment, stage, f"does not start again: {last}")
    return Kill(moment, stage, difference(folder, expected))


def kills(n: int, seed: int, folder: Path) -> list[Kill]:
    """Kills as many runs, each at a moment of its own."""
    import dld_brain.evaluation.plots
    import dld_brain.export.__main__
    import dld_brain.run.main  # noqa: F401 (for all that are forked)

    expected = folder / "whole"
    status, seconds = run(expected)
    if status != 0:
        raise RuntimeError(Path(f"{expected}.txt").read_text())
    print(f"a run takes {seconds:.1f} s of processor time", flush=True)
    found = []
    for i, moment in enumerate(np.random.default_rng(seed).random(n)):
        found.append(kill(folder / f"{i}", expected, float(moment), seconds))
        shutil.rmtree(folder / f"{i}")
        print(found[-1], flush=True)
    return found


def table(found: list[Kill]) -> str:
    """Counts by stage, as Markdown."""
    killed = Counter(k.stage for k in found)
    equal = Counter(k.stage for k in found if not k.fault)
    rows = [(s, killed[s], equal[s]) for s in STAGES if killed[s]]
    rows.append(("all", len(found), sum(equal.values())))
    lines = ["| killed in | runs | resumed, bit-equal |", "|---|---|---|"]
    return "\n".join(lines + [f"| {s} | {n} | {ok} |" for s, n, ok in rows])


def main() -> int:
    """Exit status: 1 where a run is not what it would have been."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kills")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = kills(options.kills, options.seed, Path(folder))
    print(table(found))
    return int(any(k.fault for k in found))


if __name__ == "__main__":
    sys.exit(main())
