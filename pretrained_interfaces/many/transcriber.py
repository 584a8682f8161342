"""A model that answers groups of files, each as if it were alone."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Optional, Union

from dld_brain.audio.checks import TOLERANCE
from dld_brain.audio.decode import decode
from dld_brain.audio.interrupted import Interrupted
from dld_brain.audio.window_limits import BATCH, check_batch_seconds
from dld_brain.files.console import FAULTS, escaped, fault_of
from pretrained_interfaces.asr import DynamicEncoderASR
from pretrained_interfaces.depths.depth import Depth, Fixed
from pretrained_interfaces.inputs import find_audio
from pretrained_interfaces.many.item import Item, header, is_remote
from pretrained_interfaces.serve.job import Job
from pretrained_interfaces.serve.model import transcribe_jobs
from pretrained_interfaces.times import formats
from pretrained_interfaces.transcription import Transcription

#: Audio of a group, padding included, s; longer files go alone.
GROUP_SECONDS = 60.0
#: Files are sorted by length among so many groups: more would keep answers
#: waiting, and little is padded already.
HORIZON = 32


#: Options of `transcribe` that say how windows are cut.
WINDOWS = ("window_seconds", "overlap_seconds")


class Answer(NamedTuple):
    """What came of an item: a transcription, or why there is none."""

    item: Item
    found: Optional[Transcription] = None
    error: str = ""


class ItemInterrupted(Interrupted):
    """Ctrl-C while an item is transcribed by itself."""

    def __init__(self, text: str, item: Item) -> None:
        super().__init__(text)
        self.item = item


@dataclass(frozen=True)
class How:
    """What a model is asked for; plain values, which other processes take.

    Arguments
    ---------
    listening : mapping
        Options of `transcribe` on how audio is read: vad, windowed, ...
    loading : mapping
        Options of `from_hparams`: lm, lm_options, n_decoder_layers, int8.
    formats : tuple of str
        What is written, which says whether words are timed.
    is_one : bool
        Whether there is but one file, which has a bar of its own.
    """

    source: Optional[str] = None
    device: str = "auto"
    depth: Depth = field(default_factory=Fixed)
    listening: Mapping[str, Any] = field(default_factory=dict)
    loading: Mapping[str, Any] = field(default_factory=dict)
    formats: tuple[str, ...] = ()
    is_one: bool = False


class Transcriber:
    """Answers groups of items.

    Arguments
    ---------
    asr : DynamicEncoderASR, optional
        The model; loaded if not given.

    Raises
    ------
    ValueError
        If the model cannot do what is asked for.
    """

    def __init__(
        self, how: How, asr: Optional[DynamicEncoderASR] = None
    ) -> None:
        if asr is None:
            asr = DynamicEncoderASR.from_hparams(
                how.source, device=how.device, **how.loading
            )
        self.asr, self.how = asr, how
        how.depth.check(asr)
        sizes = [how.listening.get(name) for name in WINDOWS]
        if not how.listening.get("windowed", True) and any(sizes):
            raise ValueError(
                "give --whole, or --window and --overlap, not both"
            )
        asr.limits(*sizes)
        self.batch_seconds = check_batch_seconds(
            how.listening.get("batch_seconds", BATCH)
        )
        self.word_times = any(map(formats.needs_words, how.formats))

    def answer(self, items: Sequence[Item]) -> list[Answer]:
        """Answers some items, those of a fixed depth in batches."""
        if len(items) == 1 or not isinstance(self.how.depth, Fixed):
            return [self._alone(item) for item in items]
        answers: dict[int, Answer] = {}
        jobs: dict[int, Job] = {}
        for i, item in enumerate(items):
            try:
                jobs[i] = self._listen(item)
            except FAULTS as error:
                answers[i] = Answer(item, None, fault_of(item.file, error))
        try:
            answers |= self._together(items, jobs)
        except FAULTS:  # of one of them, or their batch is too large
            answers |= {i: self._alone(items[i]) for i in jobs}
        return [answers[i] for i in range(len(items))]

    def _together(
        self, items: Sequence[Item], jobs: Mapping[int, Job]
    ) -> dict[int, Answer]:
        """Answers what was read; each takes its share of the time."""
        if not jobs:
            return {}
        started = time.perf_counter()
        depth = self.how.depth.n_layers
        found = transcribe_jobs(
            self.asr, list(jobs.values()), depth, self.batch_seconds
        )
        taken = time.perf_counter() - started
        seconds = sum(job.seconds for job in jobs.values())
        for transcription in found:
            share = transcription.audio_seconds / seconds
            transcription.compute_seconds = taken * share
        return {i: Answer(items[i], f) for i, f in zip(jobs, found)}

    def _alone(self, item: Item) -> Answer:
        """Answers an item by itself."""
        if item.error:
            return Answer(item, None, item.error)
        try:
            found = self.asr.transcribe(
                audio_of(item),
                self.how.depth,
                word_times=self.word_times,
                progress=None if self.how.is_one else False,
                **self.how.listening,
            )
        except FAULTS as error:
            return Answer(item, None, fault_of(item.file, error))
        except Interrupted as stopped:
            raise ItemInterrupted(stopped.text, item) from None
        return Answer(item, found)

    def _listen(self, item: Item) -> Job:
        """Reads an item, and finds its windows."""
        if item.error:
            raise ValueError(item.error)
        told = dict(self.how.listening)
        longest = told.pop("max_audio_seconds")
        told.pop("batch_seconds", None)
        limits = self.asr.limits(*(told.pop(name, None) for name in WINDOWS))
        waveform = self.asr.checked_audio(audio_of(item), None, None, longest)
        windows = self.asr.find_windows(
            waveform, item.file, **told, limits=limits
        )
        seconds = self.asr.clock(waveform).audio_seconds
        return Job(waveform, windows, seconds, word_times=self.word_times)


def audio_of(item: Item) -> Union[str, dict[str, Any]]:
    """What `transcribe` is given: a file, or the samples of a part of one.

    A `duration` that ends within `TOLERANCE` of the file's end, before it or
    behind it, says how long the file is, and cuts nothing.

    Raises
    ------
    ValueError
        If the part begins or ends behind the file's end, or is of a URL.
    """
    if not item.is_part:
        return item.file
    info = header(item.file)
    if info is None:
        if item.offset and is_remote(item.file):
            raise ValueError(
                f"`offset` must be of a file of this machine, but "
                f"{escaped(item.file, 200)} is none: fetch it first"
            )
        return item.file  # reading says why
    rate, seconds = info.samplerate, info.duration
    start = item.start
    if start >= seconds:
        raise ValueError(
            f"`offset` must be less than the {seconds:.6g} s of the file, but "
            f"is {start:g}"
        )
    stop = seconds if item.duration is None else start + item.duration
    if stop > seconds + TOLERANCE:
        raise ValueError(
            f"`offset` and `duration` must be of a part of the {seconds:.6g} s "
            f"of the file, but {start:g} s and {item.duration:g} s end at "
            f"{stop:g} s: is the file whole?"
        )
    is_whole = stop >= seconds - TOLERANCE
    if is_whole and start == 0.0:
        return item.file
    end = None if is_whole else round(stop * rate)
    samples, rate = decode(find_audio(item.file), round(start * rate), end)
    return {"array": samples, "sampling_rate": rate}


def in_groups(
    items: Iterable[Item], batch_size: int
) -> Iterator[list[tuple[int, Item]]]:
    """Items with their places, those of about the same length together.

    Arguments
    ---------
    batch_size : int
        Items of a group, at most.

    Example
    -------
    >>> lengths = [1.0, 50.0, 2.0, 1.5, 90.0]
    >>> items = [Item("", duration=s) for s in lengths]
    >>> [[i for i, _ in group] for group in in_groups(items, 2)]
    [[4], [1], [2, 3], [0]]
    """
    rest = iter(enumerate(items))
    while chunk := list(islice(rest, HORIZON * batch_size)):
        lengths = {i: item.seconds() for i, item in chunk}
        chunk.sort(key=lambda pair: -lengths[pair[0]])
        group: list[tuple[int, Item]] = []
        for i, item in chunk:
            n = len(group) + 1
            widest = lengths[group[0][0]] if group else 0.0
            if n > batch_size or group and widest * n > GROUP_SECONDS:
                yield group
                group = []
            group.append((i, item))
        yield group
