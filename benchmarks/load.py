"""Whether a machine was quiet enough for times to mean something."""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

#: Cores that others may keep busy, and how far products may differ.
MAX_BUSY, MAX_SPREAD = 0.1, 1.15


@dataclass
class Load:
    """What else the machine did.

    Arguments
    ---------
    average : tuple of float
        os.getloadavg() before.
    before, during : float
        Cores that other processes kept busy; -1 where /proc does not say.
    products : list of float
        Seconds of one matrix product, repeated before and after.
    """

    average: tuple[float, float, float] = field(default_factory=os.getloadavg)
    before: float = -1.0
    during: float = -1.0
    products: list[float] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        """Whether others left it alone and equal products took equal time."""
        busy = max(self.before, self.during)
        return busy <= MAX_BUSY and self.spread <= MAX_SPREAD

    @property
    def spread(self) -> float:
        """Median time of the products to the shortest."""
        return statistics.median(self.products) / min(self.products)


def _cpu_seconds() -> tuple[float, float]:
    """Of all processes, and of this one and its children."""
    own = sum(os.times()[:4])
    path = Path("/proc/stat")
    if not path.is_file():
        return -1.0, own
    ticks = [int(x) for x in path.read_text().split("\n")[0].split()[1:9]]
    # user, nice, system, idle, iowait, irq, softirq, steal
    busy = sum(ticks) - ticks[3] - ticks[4]
    return busy / os.sysconf("SC_CLK_TCK"), own


def _others(
    start: tuple[float, float], end: tuple[float, float], seconds: float
) -> float:
    """Cores that others kept busy between two readings."""
    if start[0] < 0:
        return -1.0
    busy = (end[0] - start[0]) - (end[1] - start[1])
    return round(max(busy, 0.0) / seconds, 3)


def _products(n: int = 512, rounds: int = 15) -> list[float]:
    """Seconds of one matrix product, again and again."""
    a, seconds = torch.randn(n, n), []
    for _ in range(rounds):
        started = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - started)
    return seconds[rounds // 3 :]


@contextmanager
def watched(seconds: float = 2.0) -> Iterator[Load]:
    """Watches the machine before, for some seconds, and during a benchmark."""
    load = Load()
    start = _cpu_seconds()
    time.sleep(seconds)
    load.before = _others(start, _cpu_seconds(), seconds)
    load.products = _products()
    start, started = _cpu_seconds(), time.perf_counter()
    yield load
    elapsed = time.perf_counter() - started
    load.during = _others(start, _cpu_seconds(), elapsed)
    load.products += _products()
