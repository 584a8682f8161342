"""What a model's training took: wall-clock, epochs, steps, audio."""

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional, Union

import torch

from dld_brain.gates.gates import Gates, layers_computed
from dld_brain.gates.sampler import GatedRun
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)

#: What adds up over a training and those it started from.
COUNTS = ("seconds", "epochs", "steps", "audio_hours", "layer_passes")


@dataclass
class Training:
    """What a training took.

    Arguments
    ---------
    seconds : float
        Wall-clock, validation included, s.
    skipped : int
        Steps whose loss or gradient was not finite: their time counts, and
        nothing else.
    audio_hours : float
        Audio that the model was trained on, repetitions counted, h.
    layer_passes : float
        Layers that a batch was sent through, the teacher's included, over
        all batches. A backward pass counts as two forward ones: it has
        twice the matrix products.
    peak_bytes : int
        Most memory that was held: on a GPU by tensors, else by the process.
    before : dict, optional
        The same of the model that the training started from.
    """

    seconds: float = 0.0
    epochs: int = 0
    steps: int = 0
    skipped: int = 0
    audio_hours: float = 0.0
    layer_passes: float = 0.0
    peak_bytes: int = 0
    device: str = ""
    before: Optional[dict[str, Any]] = None


def layer_passes(runs: Sequence[GatedRun], n_total: int, n_teacher: int) -> int:
    """Layers that a batch is sent through in a step of training.

    A backward pass counts as two forward ones: it has twice the matrix
    products.

    Arguments
    ---------
    runs : sequence of GatedRun
        The student's runs; what begins alike is computed once, and all
        layers where a router decides, or each chunk has its own.
    n_teacher : int
        Layers of the frozen teacher, 0 without one.

    Example
    -------
    >>> from dld_brain.gates.gates import Gates
    >>> layer_passes([GatedRun(Gates((0, 2), 3))], n_total=3, n_teacher=3)
    9
    """
    fixed = [run.gates for run in runs if isinstance(run.gates, Gates)]
    n_others = n_total * (len(runs) - len(fixed))
    return 3 * (layers_computed(fixed) + n_others) + n_teacher


def device_name(device: Union[str, torch.device]) -> str:
    """Names what a model is trained on.

    Example
    -------
    >>> device_name("cpu")
    'cpu'
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(device)


def machine(device: Union[str, torch.device]) -> dict[str, Any]:
    """What a report says of the machine.

    Example
    -------
    >>> list(machine("cpu"))
    ['processor', 'cores', 'device', 'torch']
    """
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        names = [x.partition(":")[2] for x in lines if x.startswith("model na")]
        processor = names[0].strip() if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "device": device_name(device),
        "torch": torch.__version__,
    }


def peak_bytes(device: Union[str, torch.device]) -> int:
    """The most memory that was held so far.

    Returns
    -------
    int
        Bytes: on a GPU of tensors, else of the process; 0 under Windows.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return 0
    import resource  # which Windows has not

    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2)
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def with_before(training: Optional[dict[str, Any]], key: str) -> float:
    """Sums a value over a training and those it started from.

    Example
    -------
    >>> with_before({"epochs": 6, "before": {"epochs": 17}}, "epochs")
    23
    """
    if training is None:
        return 0
    return training[key] + with_before(training.get("before"), key)


@register_checkpoint_hooks
class TrainingClock:
    """Counts what a training takes; part of its checkpoints.

    An interruption costs nothing: what was not saved is counted again when
    it is done again.

    Example
    -------
    >>> clock = TrainingClock()
    >>> clock.start()
    >>> clock.count_batch(audio_seconds=36.0, layer_passes=24)
    >>> clock.lap()
    >>> clock.spent.audio_hours, clock.spent.seconds > 0
    (0.01, True)
    """

    def __init__(self) -> None:
        self.spent = Training()
        self._since: Optional[float] = None

    def start(self) -> None:
        """Starts the clock; a stage of training begins."""
        self._since = time.monotonic()

    def lap(self) -> None:
        """Adds the time since the last lap."""
        now = time.monotonic()
        if self._since is not None:
            self.spent.seconds += now - self._since
        self._since = now

    def count_skipped(self) -> None:
        """Counts a step that was not taken."""
        self.spent.skipped += 1
        self.lap()

    def count_batch(self, audio_seconds: float, layer_passes: float) -> None:
        """Counts a batch of training, or those of a step.

        Arguments
        ---------
        audio_seconds : float
            Its audio, padding left out, s.
        layer_passes : float
            Layers that it was sent through; a backward pass counts as two.
        """
        self.spent.audio_hours += audio_seconds / 3600
        self.spent.layer_passes += layer_passes
        self.lap()

    def end_epoch(
        self, epoch: int, steps: int, device: Union[str, torch.device]
    ) -> None:
        """Notes how far the training is, and the most memory it has held."""
        self.lap()
        self.spent.epochs, self.spent.steps = epoch, steps
        peak = max(self.spent.peak_bytes, peak_bytes(device))
        self.spent.peak_bytes = peak

    @mark_as_saver
    def save(self, path: Any) -> None:
        """Writes the counts."""
        self.lap()
        Path(path).write_text(json.dumps(asdict(self.spent)))

    @mark_as_loader
    def load(self, path: Any, end_of_epoch: bool) -> None:
        """Reads the counts."""
        self.spent = Training(**json.loads(Path(path).read_text()))


def read_training(pretrained: str) -> Optional[dict[str, Any]]:
    """What the training of a finished run took.

    Returns
    -------
    dict
        Fields of a Training; None where the run left no report.
    """
    path = Path(pretrained, "depth_report.json")
    if not path.is_file():
        return None
    return json.loads(path.read_text()).get("training")
