"""A model as the server uses it: audio in, and several files at once."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import BinaryIO, Optional

import torch

from dld_brain.audio.windows import Window
from pretrained_interfaces.asr import DynamicEncoderASR
from pretrained_interfaces.depth import Fixed
from pretrained_interfaces.inputs import check_batch
from pretrained_interfaces.serve.job import Job
from pretrained_interfaces.transcription import Transcription, transcription
from pretrained_interfaces.windowed import Stretch, run_windows


def listen(
    asr: DynamicEncoderASR,
    file: BinaryIO,
    max_seconds: float,
    n_layers: Optional[int] = None,
    max_latency: Optional[float] = None,
) -> Job:
    """Reads audio, checks it, and finds its windows.

    Arguments
    ---------
    file : file object
        Of any format that soundfile reads.
    max_seconds : float
        Longer audio is refused, s.

    Raises
    ------
    ValueError
        If the model has no such depth, or the file is no audio, cut, too
        short, too long, or has samples that are no numbers.
    """
    asr.gates(n_layers)
    waveform = asr.load_audio(file, max_audio_seconds=max_seconds)
    rate = asr.hparams.sample_rate
    shortest = asr.window_limits.shortest
    check_batch(waveform.unsqueeze(0), torch.ones(1), shortest, rate)
    windows = asr.find_windows(waveform, "audio")
    return Job(waveform, windows, len(waveform) / rate, n_layers, max_latency)


@torch.no_grad()
def transcribe_jobs(
    asr: DynamicEncoderASR, jobs: Sequence[Job], n_layers: int
) -> list[Transcription]:
    """Transcribes several files, their windows batched together.

    The files are laid end to end, and the windows moved with them: what is
    encoded, and with it each transcript, is that of the file alone.
    """
    joined = torch.cat([job.waveform for job in jobs])
    plan = Fixed(n_layers).plan(asr, len(joined) / asr.hparams.sample_rate)
    windows: list[Window] = []
    start = 0
    for job in jobs:
        windows += [
            w._replace(start=start + w.start, stop=start + w.stop)
            for w in job.windows
        ]
        start += len(job.waveform)
    stretches = run_windows(asr, plan, joined, windows)
    found = []
    for job in jobs:
        n_stretches = sum(window.is_last for window in job.windows)
        own = islice(stretches, n_stretches)
        found.append(_transcription(asr, own, job))
    return found


def _transcription(
    asr: DynamicEncoderASR, stretches: Iterable[Stretch], job: Job
) -> Transcription:
    """Puts the stretches of one file together, as `transcribe` does."""
    found = transcription(asr.task.decode, stretches, job.seconds)
    confidence = found.confidence
    if job.windows:
        confidence = asr.table.confidence(found.layers, confidence)
    return replace(found, confidence=confidence, n_windows=len(job.windows))
