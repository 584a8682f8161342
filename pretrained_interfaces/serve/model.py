"""A model as the server uses it: audio in, and several files at once."""

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

import torch

from dld_brain.audio.window_limits import BATCH
from dld_brain.audio.windows import Window
from dld_brain.encoder.deepen import Step
from pretrained_interfaces.asr import DynamicEncoderASR
from pretrained_interfaces.depths.depth import Fixed, Plan
from pretrained_interfaces.serve.job import Abandoned, Job
from pretrained_interfaces.serve.upload import check_size
from pretrained_interfaces.transcription import Transcription, transcription
from pretrained_interfaces.windowed import Stretch, run_windows


def listen(
    asr: DynamicEncoderASR, file: BinaryIO, max_seconds: float, **wanted: Any
) -> Job:
    """Reads audio, checks it, and finds its windows.

    Arguments
    ---------
    file : file object
        Of any format that soundfile reads.
    max_seconds : float
        Longer audio is refused, s, and what has as many samples as if it was;
        see `check_size`.
    **wanted
        Of `Job`: n_layers, max_latency, word_times.

    Raises
    ------
    ValueError
        If the file is no audio, cut, too short, too long, or has samples
        that are no numbers.
    """
    if isinstance(file, io.IOBase):
        check_size(file, max_seconds)
    waveform = asr.checked_audio(file, None, None, max_seconds)
    windows = asr.find_windows(waveform, "audio")
    seconds = asr.clock(waveform).audio_seconds
    return Job(waveform, windows, seconds, **wanted)


@torch.no_grad()
def transcribe_jobs(
    asr: DynamicEncoderASR,
    jobs: Sequence[Job],
    n_layers: int,
    batch_seconds: float = BATCH,
) -> list[Transcription]:
    """Transcribes several files, their windows batched together.

    The files are laid end to end, and the windows moved with them: what is
    encoded, and with it each transcript, is that of the file alone.

    Arguments
    ---------
    batch_seconds : float
        Windows that are run together, padding included, s.

    Raises
    ------
    Abandoned
        Between two batches of windows, if nobody waits any more.
    """
    joined = torch.cat([job.waveform for job in jobs])
    plan = Fixed(n_layers).plan(asr, sum(job.seconds for job in jobs))
    starts = [0]
    for job in jobs:
        starts.append(starts[-1] + len(job.waveform))
    windows: list[Window] = [
        w._replace(start=start + w.start, stop=start + w.stop)
        for job, start in zip(jobs, starts)
        for w in job.windows
    ]
    stretches = run_windows(
        asr,
        _while_wanted(plan, jobs),
        joined,
        windows,
        batch_seconds=batch_seconds,
    )
    return [
        _transcription(asr, job, _own(stretches, job, start))
        for job, start in zip(jobs, starts)
    ]


def _while_wanted(plan: Plan, jobs: Sequence[Job]) -> Plan:
    """A plan that ends where all of its jobs are abandoned."""

    def step(feats: torch.Tensor, lengths: torch.Tensor) -> Step:
        """Encodes a batch of windows."""
        if all(job.is_abandoned for job in jobs):
            raise Abandoned
        return plan(feats, lengths)

    return step


def _own(
    stretches: Iterator[Stretch], job: Job, start: int
) -> Iterator[Stretch]:
    """The stretches of one file, by its own time."""
    n_stretches = sum(window.is_last for window in job.windows)
    for found in islice(stretches, n_stretches):
        yield found._replace(start=found.start - start, stop=found.stop - start)


def _transcription(
    asr: DynamicEncoderASR, job: Job, stretches: Iterable[Stretch]
) -> Transcription:
    """Puts the stretches of one file together, as `transcribe` does."""
    clock = asr.clock(job.waveform)
    found = transcription(asr.task, stretches, clock, job.word_times)
    if job.windows:
        found.confidence = asr.table.confidence(found.layers, found.confidence)
    found.n_windows = len(job.windows)
    return found
