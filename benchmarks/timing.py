"""What the benchmarks share: interleaved timing, and where it ran."""

import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pretrained_interfaces import calibration


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
        "python": platform.python_version(),
        "commit": commit,
    }


def write_json(path: str, content: dict[str, Any]) -> None:
    """Writes a result, with the machine."""
    text = json.dumps({"machine": machine(), **content}, indent=2)
    Path(path).write_text(text + "\n")
