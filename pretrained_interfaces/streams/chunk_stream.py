"""A stream of a model that was trained in chunks: caches, nothing twice."""

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Optional

import numpy as np
import torch

from dld_brain.audio.features import samples_per_frame
from dld_brain.encoder.streamed_front import StreamedFront
from dld_brain.encoder.streaming import StreamedLayers
from pretrained_interfaces.streams.governor import Governor
from pretrained_interfaces.streams.stream import Stream
from pretrained_interfaces.streams.streamed import StreamedWords
from pretrained_interfaces.times.timed import Word
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


class ChunkStream(Stream):
    """A stream of chunks, of layers with caches.

    Arguments
    ---------
    chunk, left : float
        What is computed at once, and seen before it, s; see `chunks_of`.

    Raises
    ------
    ValueError
        If there are no such chunks, or the model does not run in any.
    """

    def __init__(
        self,
        asr: "DynamicEncoderASR",
        chunk: float,
        left: float,
        n_layers: Optional[int] = None,
        governor: Optional[Governor] = None,
        refill: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        asr.mods.model.check_chunks()
        if asr.trained_in_chunks is False:
            _warn_of_whole()
        frame_seconds = samples_per_frame(asr.mods) / asr.hparams.sample_rate
        chunks = chunks_of(chunk, left, frame_seconds)
        front = StreamedFront(asr.mods, chunks.chunk_size)
        seconds = chunks.chunk_size * frame_seconds
        super().__init__(asr, front, seconds, n_layers, governor, clock)
        self.layers = StreamedLayers(asr.mods.model, chunks, refill)
        self.words = StreamedWords(asr.tokenizer, frame_seconds)
        self.context = asr.inference_ctx
        #: Of a model with positions, after which frame it begins anew.
        self.restart = round((asr.longest_utterance or RESTART) / frame_seconds)

    @property
    def partial_words(self) -> tuple[Word, ...]:
        """See `Stream.partial_words`."""
        return self.words.partial_words

    def run_chunk(self, x: torch.Tensor) -> list[Word]:
        """Runs the layers on the stem's output, [1, C, D]."""
        with self.context:
            out = self.layers.step(x, self.gates)
        if self.front.stem.has_positions and self.front.first >= self.restart:
            self.layers.clear()
            self.front.first = 0
        return self.words.add(out.log_probs[0])

    def last_words(self) -> list[Word]:
        """See `Stream.last_words`."""
        return self.words.finish()


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


def _warn_of_whole() -> None:
    """Warns of a model whose training has seen no chunks."""
    warnings.warn(
        "this model's training saw whole utterances: in chunks it makes more "
        "errors; give `window=10` (--window 10), or train it by hparams/"
        "conformer_streaming_*.yaml",
        stacklevel=4,
    )
