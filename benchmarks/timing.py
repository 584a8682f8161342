"""What the benchmarks share: interleaved timing, and where it ran."""

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from load import Load
from tqdm import tqdm

from dld_brain.files.whole import write_text
from pretrained_interfaces.depths import calibration

#: Exit status of a benchmark on a machine that had other work.
NOT_QUIET = 3


def interleaved(
    tasks: Mapping[str, Callable[[], Any]], rounds: int, warm_up: int = 2
) -> dict[str, list[float]]:
    """Times tasks in turn, so that all meet the same machine.

    Every other round goes backwards: of two neighbours, neither is always
    the one that finds the other's weights in the cache.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for i in tqdm(range(warm_up + rounds), desc="rounds", leave=False):
        order = list(tasks.items())
        for name, task in order if i % 2 else reversed(order):
            started = time.perf_counter()
            task()
            if i >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(seconds: Mapping[str, list[float]], name: str, to: str) -> float:
    """Median over the rounds of one task's time to another's."""
    pairs = zip(seconds[name], seconds[to])
    return statistics.median(a / b for a, b in pairs)


def machine() -> dict[str, Any]:
    """Where a benchmark ran."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return {
        **calibration.machine("cpu"),
        "cores": os.cpu_count(),
        "device": "cpu",
        "python": platform.python_version(),
        "commit": commit,
    }


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Minimum, median and maximum over the rounds, ms."""
    kinds = {"min": min, "median": statistics.median, "max": max}
    return {name: 1000 * f(seconds) for name, f in kinds.items()}


def unequal(n: int, mean: float) -> list[float]:
    """Lengths from a quarter of the mean to seven quarters of it.

    Example
    -------
    >>> unequal(3, 4.0)
    [1.0, 4.0, 7.0]
    """
    step = 1.5 * mean / (n - 1)
    return [mean / 4 + i * step for i in range(n)]


def write_result(
    path: str,
    question: str,
    rows: list[dict[str, Any]],
    load: Load,
) -> int:
    """Writes times as benchmarks/README.md says.

    Returns
    -------
    int
        Exit status: 0, or 3 where the machine was too busy to judge.
    """
    where = machine()
    content = {
        "benchmark": Path(path).name.split(".")[0],
        "question": question,
        "source": "run",
        "command": shlex.join(["python", *sys.argv]),
        "commit": where.pop("commit"),
        "machine": where,
        "load": asdict(load),
        "quiet": load.quiet,
        "rows": rows,
    }
    write_text(Path(path), json.dumps(content, indent=1) + "\n")
    if load.quiet:
        return 0
    print(
        "the machine was not quiet, times cannot be judged: others kept "
        f"{load.before} cores busy before and {load.during} during, equal "
        f"products took {load.spread:.2f} of the fastest's time in the median"
    )
    return NOT_QUIET
