"""What each depth costs on this machine, and the depth that a budget buys."""

import json
import logging
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch

import speechbrain
from dld_brain.files.manifest import read_json
from dld_brain.files.whole import write_text
from dld_brain.gates.gates import whole_number

logger = logging.getLogger(__name__)

FILE = "calibration.json"
#: Lengths that are timed, relative to the length asked for: attention grows
#: with the square of the length, so that one length says little of others.
LENGTHS = (0.2, 1.0, 2.0)


def machine(device: str) -> dict[str, Any]:
    """What times were measured on."""
    processor = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        names = [x.split(":")[1].strip() for x in lines if "model name" in x]
        processor = names[0] if names else processor
    if torch.device(device).type == "cuda":
        processor = torch.cuda.get_device_name(device)
    return {
        "processor": processor,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "speechbrain": speechbrain.__version__,
    }


def count(name: str, value: Any) -> int:
    """A whole number from 1.

    Raises
    ------
    ValueError
        If it is none.

    Example
    -------
    >>> count("threads", 0)
    Traceback (most recent call last):
    ...
    ValueError: `threads` must be a whole number from 1, but is 0
    """
    found = whole_number(value)
    if found is None or found < 1:
        raise ValueError(
            f"`{name}` must be a whole number from 1, but is {value!r}"
        )
    return found


@dataclass
class Calibration:
    """Measured times of a model at each depth.

    Arguments
    ---------
    model : str
        Hash of the model, as in its depth table.
    latency : dict of int to list of float
        By depth, from file to text, s: a value for each length.
    peak_memory : dict of int to int
        By depth, the most memory of the process (on a GPU, the tensors')
        with the longest audio, bytes; empty where the system does not say.

    Example
    -------
    >>> times = {2: [0.1, 0.3], 4: [0.2, 0.6]}
    >>> calibration = Calibration("0" * 32, {}, [5.0, 15.0], times, times)
    >>> calibration.cost(4, 10.0)
    0.4
    >>> calibration.deepest(10.0, max_latency=0.3)
    2
    """

    model: str
    machine: dict[str, Any]
    seconds: list[float]
    latency: dict[int, list[float]]
    encoder_latency: dict[int, list[float]]
    peak_memory: dict[int, int] = field(default_factory=dict)

    def cost(self, n_layers: int, seconds: float) -> float:
        """Time from file to text.

        Arguments
        ---------
        seconds : float
            Length of the audio, s.

        Returns
        -------
        float
            Seconds: between two lengths on the line between them, behind
            the longest on the line of the last two.
        """
        times, lengths = self.latency[n_layers], self.seconds
        if seconds > lengths[-1]:
            slope = (times[-1] - times[-2]) / (lengths[-1] - lengths[-2])
            return times[-1] + slope * (seconds - lengths[-1])
        return round(float(np.interp(seconds, lengths, times)), 9)

    def deepest(
        self, seconds: float, max_latency: float, best_effort: bool = False
    ) -> int:
        """The deepest depth that fits.

        Arguments
        ---------
        seconds : float
            Length of the audio, s.
        max_latency : float
            Time that there is, s.
        best_effort : bool
            Whether the fastest depth is taken where none fits.
        """
        costs = {n: self.cost(n, seconds) for n in self.latency}
        fitting = [n for n, cost in costs.items() if cost <= max_latency]
        if fitting:
            return max(fitting)
        fastest = min(costs, key=lambda n: costs[n])
        if best_effort:
            return fastest
        raise ValueError(
            f"no depth transcribes {seconds:.2f} s of audio in "
            f"{max_latency:.3g} s: the fastest, n_layers={fastest}, takes "
            f"{costs[fastest]:.3g} s (real-time factor "
            f"{costs[fastest] / seconds:.3g}); give more, or best_effort=True"
        )

    def fits(self, model: str, here: dict[str, Any]) -> bool:
        """Whether it is of this model and this machine."""
        return self.model == model and self.machine == here

    def save(self, folder: str) -> None:
        """Writes calibration.json."""
        text = json.dumps(asdict(self), indent=2)
        write_text(Path(folder, FILE), text + "\n")

    @classmethod
    def load(cls, folder: str) -> Optional["Calibration"]:
        """Reads calibration.json; None if it is not there, or is none."""
        path = Path(folder, FILE)
        if not path.is_file():
            return None
        try:
            content = read_json(path)
            for key in ("latency", "encoder_latency", "peak_memory"):
                content[key] = {int(n): v for n, v in content[key].items()}
            found = cls(**content)
            found.check()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            logger.warning("%s is no calibration: %r", path, error)
            return None
        return found

    def check(self) -> None:
        """Raises unless every depth has a time for each length."""
        times = [*self.latency.values(), *self.encoder_latency.values()]
        n_lengths = len(self.seconds)
        for row in [self.seconds, *times]:
            is_whole = len(row) == n_lengths >= 2
            if not is_whole or not all(0 < x < inf for x in row):
                raise ValueError(
                    f"times must be {n_lengths} seconds, 2 at least, but are "
                    f"{str(row)[:100]}"
                )
        if not self.latency or set(self.latency) != set(self.encoder_latency):
            raise ValueError("its depths must be those of `latency`")


def median_time(task: Callable[[], Any], device: str, repeats: int) -> float:
    """Times a task: once to warm up, then the median."""
    times = []
    is_cuda = torch.device(device).type == "cuda"
    for _ in range(1 + repeats):
        if is_cuda:
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        task()
        if is_cuda:
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def peak_memory(task: Callable[[], Any], device: str) -> Optional[int]:
    """The most memory while a task runs.

    Returns
    -------
    int
        Bytes: of the process on a CPU under Linux, of the tensors on a GPU;
        None elsewhere.
    """
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        task()
        return torch.cuda.max_memory_allocated(device)
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not reset.exists():
        return None
    reset.write_text("5")  # proc(5): resets VmHWM
    task()
    lines = status.read_text().splitlines()
    kib = next(x.split()[1] for x in lines if x.startswith("VmHWM"))
    return 1024 * int(kib)


def lengths_of(seconds: float) -> Sequence[float]:
    """Lengths of audio that are timed.

    Arguments
    ---------
    seconds : float
        Length asked for, s.

    Raises
    ------
    ValueError
        If it is not between 1 and 600.

    Example
    -------
    >>> lengths_of(10)
    [2.0, 10.0, 20.0]
    """
    if not 1 <= seconds <= 600:
        raise ValueError(
            f"`seconds` must be between 1 and 600, but is {seconds!r}"
        )
    return [seconds * share for share in LENGTHS]
