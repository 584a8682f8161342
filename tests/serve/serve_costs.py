"""Made-up costs of a model, as a calibration of this machine."""

from pathlib import Path

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.calibration import Calibration, machine


def made_up(model: DynamicEncoderASR) -> Calibration:
    """What its depths cost: 10 ms a layer, and 1 ms a second of audio."""
    times = {n: [0.01 * n + 0.001, 0.01 * n + 0.010] for n in model.depths}
    here = machine(model.device)
    return Calibration(model.identity, here, [1.0, 10.0], times, times)


def save_costs(folder: Path, threads: int = 1) -> None:
    """Writes them beside a model, for so many threads."""
    found = made_up(DynamicEncoderASR.from_hparams(folder))
    found.machine["threads"] = threads
    found.save(folder)
