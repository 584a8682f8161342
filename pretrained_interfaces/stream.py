"""A transcript while one speaks: feed samples, get words."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np
import torch

from dld_brain.audio.features import samples_per_frame
from dld_brain.encoder.streamed_front import StreamedFront
from dld_brain.encoder.streaming import StreamedLayers
from dld_brain.gates.gates import Gates
from dld_brain.losses import BLANK_ID
from pretrained_interfaces.governor import Governor
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
#: What begins a word, in SentencePiece's pieces.
SPACE = "\u2581"


@dataclass(frozen=True)
class StreamedWord:
    """A word that will not change.

    Arguments
    ---------
    start, end : float
        First and last frame of its tokens in the stream, s.
    """

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class StreamUpdate:
    """What a feed gave.

    Arguments
    ---------
    words : tuple of StreamedWord
        Words that are final now, and were not before.
    partial : str
        The word that is being said, so far.
    n_layers : int
        Depth of the last chunk; 0 where none was computed yet.
    lag : float
        From the arrival of the last chunk's last sample to its text, s.
    """

    words: tuple[StreamedWord, ...] = ()
    partial: str = ""
    n_layers: int = 0
    lag: float = 0.0

    @property
    def text(self) -> str:
        """The final words, with spaces between them."""
        return " ".join(word.text for word in self.words)


@dataclass
class StreamRecord:
    """What a stream did; of a size that does not grow.

    Arguments
    ---------
    n_samples : int
        Samples that were transcribed; none is dropped.
    audio_seconds : float
        Their length, s.
    compute_seconds : float
        Time that the chunks took, s.
    max_lag : float
        The longest lag of a chunk, s.
    chunks_at : Counter
        By depth, chunks that ran at it.
    n_changes : int
        How often the depth changed.
    """

    n_samples: int = 0
    audio_seconds: float = 0.0
    compute_seconds: float = 0.0
    max_lag: float = 0.0
    chunks_at: Counter[int] = field(default_factory=Counter)
    n_changes: int = 0


class StreamedWords:
    """Greedy CTC over chunks: what is said does not change any more.

    Arguments
    ---------
    tokenizer : SentencePieceProcessor
        Tells words from pieces.
    frame_seconds : float
        From one frame to the next.
    """

    def __init__(self, tokenizer: Any, frame_seconds: float) -> None:
        self.tokenizer = tokenizer
        self.frame_seconds = frame_seconds
        self.last = BLANK_ID
        self.ids: list[int] = []
        self.first = self.end = 0  # frames of the word that is being said
        self.n_frames = 0

    @property
    def partial(self) -> str:
        """The word that is being said."""
        return self.tokenizer.decode_ids(self.ids).strip()

    def add(self, log_probs: torch.Tensor) -> list[StreamedWord]:
        """Takes frames, [C, V]; gives the words that end before another."""
        found = []
        for token in log_probs.argmax(-1).tolist():
            if token not in (BLANK_ID, self.last):
                if self.tokenizer.id_to_piece(token).startswith(SPACE):
                    found += self.finish()
                if not self.ids:
                    self.first = self.n_frames
                self.ids.append(token)
            if token != BLANK_ID:
                self.end = self.n_frames + 1
            self.last = token
            self.n_frames += 1
        return found

    def finish(self) -> list[StreamedWord]:
        """Ends the word that is being said, if there is one."""
        text, self_ids = self.partial, self.ids
        self.ids = []
        if not self_ids or not text:
            return []
        times = self.first * self.frame_seconds, self.end * self.frame_seconds
        return [StreamedWord(text, *times)]


class ASRStream:
    """One stream of a model; see `DynamicEncoderASR.stream`.

    Memory is bounded whatever comes. Several streams share a model; one
    stream is for one thread.

    Arguments
    ---------
    chunks : DynChunkTrainConfig
        Frames of a chunk, and how many chunks before it are seen.
    gates_of : callable
        Depth -> gates.
    clock : callable
        Seconds, from any beginning.
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
        self.rate = asr.hparams.sample_rate
        frame_seconds = samples_per_frame(asr.mods) / self.rate
        self.front = StreamedFront(asr.mods, chunks.chunk_size)
        self.layers = StreamedLayers(asr.mods.model, chunks, refill)
        self.words = StreamedWords(asr.tokenizer, frame_seconds)
        self.gates_of, self.context = asr.gates, asr.inference_ctx
        self.gates: Gates = asr.gates(n_layers)
        chunk_seconds = chunks.chunk_size * frame_seconds
        self.governing = governor and governor.start(asr.depths, chunk_seconds)
        self.clock = clock
        #: Of a model with positions, after which frame it begins anew.
        self.restart = round((asr.longest_utterance or RESTART) / frame_seconds)
        self.record = StreamRecord()
        self.is_finished = False
        self.update = StreamUpdate()

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
        words = (*update.words, *self.words.finish())
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
            words += self._chunk(x)
            seconds, lag = self.clock() - started, self.clock() - arrived
            n_layers = self.gates.depth
            if self.governing:
                self.governing.note(n_layers, seconds)
            self._note(n_layers, seconds, lag)
        self.update = StreamUpdate(
            tuple(words), self.words.partial, n_layers, lag
        )
        return self.update

    def _chunk(self, x: torch.Tensor) -> list[StreamedWord]:
        """Runs a chunk, [1, C, D]."""
        with self.context:
            out = self.layers.step(x, self.gates)
        if self.front.stem.has_positions and self.front.first >= self.restart:
            self.layers.clear()
            self.front.first = 0
        return self.words.add(out.log_probs[0])

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
