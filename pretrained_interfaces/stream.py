"""A transcript while one speaks: feed samples, get words."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Optional, Protocol, Union

import numpy as np
import torch

from dld_brain.audio.features import samples_per_frame
from dld_brain.encoder.streamed_front import StreamedFront
from dld_brain.encoder.streaming import StreamedLayers
from dld_brain.gates.gates import Gates
from pretrained_interfaces.governor import Governor
from pretrained_interfaces.streamed import (
    StreamedWord,
    StreamedWords,
    StreamRecord,
    StreamUpdate,
)
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig

if TYPE_CHECKING:
    from pretrained_interfaces.asr import DynamicEncoderASR

#: Chunks are no longer, s: what is one piece of speech.
LONGEST_CHUNK = 30.0
#: Nor is the left context, s.
LONGEST_LEFT = 60.0
#: After so long a model with positions begins anew, where the length of its
#: training is not known, s.
RESTART = 20.0


class Front(Protocol):
    """Cuts what is fed into what is computed at once."""

    def feed(self, samples: torch.Tensor) -> None:
        """Takes samples, [S]."""

    def chunks(self) -> Iterator[torch.Tensor]:
        """What can be computed by now."""

    def finish(self) -> Iterator[torch.Tensor]:
        """What is left."""


class Stream(ABC):
    """One stream of a model; see `DynamicEncoderASR.stream`.

    Memory is bounded whatever comes. Several streams share a model; one
    stream is for one thread.

    Arguments
    ---------
    seconds : float
        Length of a chunk, s.
    n_layers : int, optional
        Depth until `set_depth`; all if not given.
    clock : callable
        Seconds, from any beginning.
    """

    def __init__(
        self,
        asr: "DynamicEncoderASR",
        front: Front,
        seconds: float,
        n_layers: Optional[int],
        governor: Optional[Governor],
        clock: Callable[[], float],
    ) -> None:
        self.rate = asr.hparams.sample_rate
        self.front = front
        self.gates_of = asr.gates
        self.gates: Gates = asr.gates(n_layers)
        self.governing = governor and governor.start(asr.depths, seconds)
        self.clock = clock
        self.record = StreamRecord()
        self.is_finished = False
        self.update = StreamUpdate()

    @property
    @abstractmethod
    def partial(self) -> str:
        """What is said, and may change yet."""

    @abstractmethod
    def run_chunk(self, x: torch.Tensor) -> list[StreamedWord]:
        """Computes what the front gives; gives words that are final."""

    @abstractmethod
    def last_words(self) -> list[StreamedWord]:
        """What is final because nothing follows."""

    def set_depth(self, n_layers: Optional[int] = None) -> None:
        """Sets the depth from the next chunk on; all layers if not given.

        Raises
        ------
        ValueError
            If it is no depth of the model, or a governor sets it.
        """
        if self.governing:
            raise ValueError(
                "`set_depth` must be called of a stream without a governor, "
                "which sets the depth, but this one has one"
            )
        self.gates = self.gates_of(n_layers)

    def feed(
        self,
        samples: Union[np.ndarray, torch.Tensor, Sequence[float]],
        sampling_rate: Optional[int] = None,
        arrived: Optional[float] = None,
    ) -> StreamUpdate:
        """Takes samples, any number of them.

        Arguments
        ---------
        samples : array, tensor or sequence
            [S], mono, in [-1, 1]; or whole numbers of 16 bits.
        sampling_rate : int, optional
            Their rate, Hz, which must be the model's.
        arrived : float, optional
            When they did, by the stream's clock; now if not given.

        Raises
        ------
        ValueError
            If they are no such samples, of which then none is taken, or the
            stream is finished.
        """
        if self.is_finished:
            raise ValueError(
                "a stream must not be fed once it is finished, but it was: "
                "begin another"
            )
        found = check_samples(samples, sampling_rate, self.rate)
        self.front.feed(found)
        self.record.n_samples += len(found)
        self.record.audio_seconds = self.record.n_samples / self.rate
        return self._run(self.front.chunks(), arrived)

    def finish(self) -> StreamUpdate:
        """Transcribes what is left; the last word is final, too."""
        if self.is_finished:
            return StreamUpdate(n_layers=self.update.n_layers)
        self.is_finished = True
        update = self._run(self.front.finish(), None)
        words = (*update.words, *self.last_words())
        return StreamUpdate(words, "", update.n_layers, update.lag)

    def _run(
        self, chunks: Iterable[torch.Tensor], arrived: Optional[float]
    ) -> StreamUpdate:
        """Computes the chunks that there are."""
        arrived = self.clock() if arrived is None else arrived
        words: list[StreamedWord] = []
        n_layers, lag = self.update.n_layers, self.update.lag
        chunks = iter(chunks)
        while True:
            started = self.clock()
            x = next(chunks, None)
            if x is None:
                break
            if self.governing:
                depth = self.governing.choose(started - arrived)
                self.gates = self.gates_of(depth)
            words += self.run_chunk(x)
            seconds, lag = self.clock() - started, self.clock() - arrived
            n_layers = self.gates.depth
            if self.governing:
                self.governing.note(n_layers, seconds)
            self._note(n_layers, seconds, lag)
        self.update = StreamUpdate(tuple(words), self.partial, n_layers, lag)
        return self.update

    def _note(self, n_layers: int, seconds: float, lag: float) -> None:
        """Adds a chunk to the record."""
        record = self.record
        before = self.update.n_layers
        if before and before != n_layers:
            record.n_changes += 1
        self.update = StreamUpdate(n_layers=n_layers, lag=lag)
        record.chunks_at[n_layers] += 1
        record.compute_seconds += seconds
        record.max_lag = max(record.max_lag, lag)


class ASRStream(Stream):
    """A stream of chunks, of layers with caches.

    Arguments
    ---------
    chunks : DynChunkTrainConfig
        Frames of a chunk, and how many chunks before it are seen.
    """

    def __init__(
        self,
        asr: "DynamicEncoderASR",
        chunks: DynChunkTrainConfig,
        n_layers: Optional[int] = None,
        governor: Optional[Governor] = None,
        refill: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        frame_seconds = samples_per_frame(asr.mods) / asr.hparams.sample_rate
        front = StreamedFront(asr.mods, chunks.chunk_size)
        seconds = chunks.chunk_size * frame_seconds
        super().__init__(asr, front, seconds, n_layers, governor, clock)
        self.layers = StreamedLayers(asr.mods.model, chunks, refill)
        self.words = StreamedWords(asr.tokenizer, frame_seconds)
        self.context = asr.inference_ctx
        #: Of a model with positions, after which frame it begins anew.
        self.restart = round((asr.longest_utterance or RESTART) / frame_seconds)

    @property
    def partial(self) -> str:
        """See `Stream.partial`."""
        return self.words.partial

    def run_chunk(self, x: torch.Tensor) -> list[StreamedWord]:
        """Runs the layers on the stem's output, [1, C, D]."""
        with self.context:
            out = self.layers.step(x, self.gates)
        if self.front.stem.has_positions and self.front.first >= self.restart:
            self.layers.clear()
            self.front.first = 0
        return self.words.add(out.log_probs[0])

    def last_words(self) -> list[StreamedWord]:
        """See `Stream.last_words`."""
        return self.words.finish()


def check_samples(
    samples: Any, sampling_rate: Optional[int], rate: int
) -> torch.Tensor:
    """Samples as the features take them, [S].

    Raises
    ------
    ValueError
        If they are of another rate, no row of numbers, or not finite.

    Example
    -------
    >>> check_samples(np.array([16384], dtype=np.int16), 16000, 16000)
    tensor([0.5000])
    >>> check_samples([0.0], 8000, 16000)
    Traceback (most recent call last):
    ...
    ValueError: `sampling_rate` of a stream must be the model's, 16000 Hz, ...
    """
    if sampling_rate is not None and sampling_rate != rate:
        raise ValueError(
            f"`sampling_rate` of a stream must be the model's, {rate} Hz, but "
            f"is {sampling_rate}: resample in front of it (ffmpeg -ar {rate})"
        )
    found = torch.as_tensor(np.asarray(samples))
    if found.ndim != 1:
        raise ValueError(
            f"`samples` must be one row of mono samples, [S], but has the "
            f"shape {list(found.shape)}"
        )
    if found.dtype == torch.int16:
        return found.float() / 2**15
    if not found.is_floating_point() and len(found):
        raise ValueError(
            f"`samples` must be numbers in [-1, 1] or whole numbers of 16 "
            f"bits, but are {found.dtype}"
        )
    found = found.float()
    if not found.isfinite().all():
        where = int((~found.isfinite()).nonzero()[0])
        raise ValueError(
            f"`samples` must be finite, but sample {where} of {len(found)} "
            f"(counted from 0) is {float(found[where])}: none of them is taken"
        )
    return found


def chunks_of(chunk: float, left: float, frame: float) -> DynChunkTrainConfig:
    """Chunks in frames, of seconds.

    Arguments
    ---------
    chunk : float
        Length of a chunk, s: a multiple of `frame`.
    left : float
        What is seen before it, s; rounded up to whole chunks.
    frame : float
        From one frame to the next, s.

    Raises
    ------
    ValueError
        If there are no such chunks.

    Example
    -------
    >>> chunks_of(0.64, 5.12, 0.04)
    DynChunkTrainConfig(chunk_size=16, left_context_size=8)
    >>> chunks_of(0.5, 5.0, 0.04)
    Traceback (most recent call last):
    ...
    ValueError: `chunk` must be a multiple of 0.04 s between 0.04 and 30, ...
    """
    size = round(chunk / frame) if 0 < chunk <= LONGEST_CHUNK else 0
    if size < 1 or abs(size * frame - chunk) > 1e-6:
        near = max(1, size)
        raise ValueError(
            f"`chunk` must be a multiple of {frame:g} s between {frame:g} and "
            f"{LONGEST_CHUNK:g}, but is {chunk}: try {near * frame:g}"
        )
    if not 0 <= left <= LONGEST_LEFT:
        raise ValueError(
            f"`left` must be between 0 and {LONGEST_LEFT:g} s, but is {left}"
        )
    n_left = int(np.ceil(round(left / chunk, 6)))
    return DynChunkTrainConfig(size, n_left)
