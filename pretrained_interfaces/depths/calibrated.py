"""A model that knows what its depths cost, and what a budget of time buys."""

import logging
import tempfile
from pathlib import Path
from typing import Any, Optional

import soundfile
import torch
from tqdm import tqdm

from dld_brain.encoder.quantize import quantize_linear
from dld_brain.gates.gates import Gates
from pretrained_interfaces.depths.calibration import (
    Calibration,
    count,
    lengths_of,
    machine,
    median_time,
    peak_memory,
)
from pretrained_interfaces.depths.depth import Budget
from pretrained_interfaces.dynamic import DynamicDepth

logger = logging.getLogger(__name__)


class Calibrated(DynamicDepth):
    """A model that knows what its depths cost on this machine."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.calibration: Optional[Calibration] = None
        #: What times are measured of: the weights, and their precision.
        self.identity: str = self.table.model

    @classmethod
    def from_hparams(
        cls, *args: Any, int8: bool = False, **kwargs: Any
    ) -> Optional["Calibrated"]:
        """Loads a model; see `DynamicDepth.from_hparams`.

        Arguments
        ---------
        int8 : bool
            Whether its linear layers compute in int8; see `quantize`.
        """
        found = super().from_hparams(*args, **kwargs)
        return found.quantize() if int8 and found is not None else found

    def quantize(self) -> "Calibrated":
        """Makes the linear layers int8, in place; for the CPU.

        Raises
        ------
        ValueError
            If the model is not on the CPU.
        """
        quantize_linear(self.mods.model)
        self.identity = f"{self.table.model}, int8"
        self.calibration = None
        return self

    def calibrate(
        self,
        seconds: float = 10,
        threads: Optional[int] = None,
        repeats: int = 5,
    ) -> Calibration:
        """Measures every depth on this machine, with a progress bar.

        Kept as calibration.json beside a model that was loaded from a
        folder that can be written to.

        Arguments
        ---------
        seconds : float
            Length of the audio, s; a fifth of it and twice as much are
            timed as well.
        threads : int, optional
            Threads of torch, from now on; as they are if not given.
        repeats : int
            How often each is timed; the median counts.

        Raises
        ------
        ValueError
            If `threads` or `repeats` is no whole number from 1.
        """
        lengths = lengths_of(seconds)
        repeats = count("repeats", repeats)
        if threads is not None:
            torch.set_num_threads(count("threads", threads))
        found = Calibration(
            self.identity, machine(self.device), list(lengths), {}, {}
        )
        with tempfile.TemporaryDirectory() as folder:
            files = [self._noise(folder, length) for length in lengths]
            for n_layers in tqdm(self.depths, desc="calibrating, depth"):
                self._measure(found, n_layers, files, repeats)
        self.calibration = found
        if self.folder is not None:
            try:
                found.save(self.folder)
            except OSError as error:
                logger.warning("the calibration was not kept: %s", error)
        return found

    def _noise(self, folder: str, seconds: float) -> Path:
        """Writes a file of noise."""
        rate = self.hparams.sample_rate
        path = Path(folder, f"{seconds}.wav")
        generator = torch.Generator().manual_seed(0)
        samples = 0.1 * torch.randn(int(seconds * rate), generator=generator)
        soundfile.write(path, samples.numpy(), rate)
        return path

    def _measure(
        self,
        found: Calibration,
        n_layers: int,
        files: list[Path],
        repeats: int,
    ) -> None:
        """Adds the times of a depth."""
        gates = self.gates(n_layers)
        found.latency[n_layers] = []
        found.encoder_latency[n_layers] = []
        for path in files:
            wavs = self.load_audio(path).unsqueeze(0)
            feats, lengths = self.features(wavs, torch.ones(1))
            tasks = {
                "latency": lambda p=path: self.transcribe_file(
                    p, n_layers, vad=None, windowed=False
                ),
                "encoder_latency": lambda f=feats, n=lengths: self._encoder(
                    f, n, gates
                ),
            }
            for name, task in tasks.items():
                times = getattr(found, name)[n_layers]
                times.append(median_time(task, self.device, repeats))
        peak = peak_memory(tasks["latency"], self.device)
        if peak is not None:
            found.peak_memory[n_layers] = peak

    @torch.no_grad()
    def _encoder(
        self,
        feats: torch.Tensor,
        lengths: torch.Tensor,
        gates: Gates,
    ) -> None:
        """Runs the encoder alone."""
        with self.inference_ctx:
            self.mods.model(feats, lengths, [gates])

    def depth_for(self, seconds: float, budget: Budget) -> int:
        """The deepest depth that a budget buys for an audio.

        Arguments
        ---------
        seconds : float
            Length of the audio, s.

        Raises
        ------
        ValueError
            If none fits, and the budget says no `best_effort`.
        """
        return self.costs().deepest(
            seconds, budget.seconds(seconds), budget.best_effort
        )

    def costs(self) -> Calibration:
        """What the depths cost on this machine; measured if not known yet."""
        here = machine(self.device)
        if self.calibration is None and self.folder is not None:
            self.calibration = Calibration.load(self.folder)
        known = self.calibration
        if known is None or not known.fits(self.identity, here):
            logger.warning(
                "not calibrated for this model on this machine with %d "
                "threads: calibrating first, on noise",
                here["threads"],
            )
            known = self.calibrate()
        return known
