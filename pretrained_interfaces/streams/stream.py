"""A transcript while one speaks: feed samples, get words."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Optional, Protocol, Union

import numpy as np
import torch

from dld_brain.audio.checks import LARGEST
from dld_brain.gates.gates import Gates
from pretrained_interfaces.streams.governor import Governor
from pretrained_interfaces.streams.streamed import StreamRecord, StreamUpdate
from pretrained_interfaces.times.timed import Word

if TYPE_CHECKING:
    from pretrained_interfaces.asr import DynamicEncoderASR


class Front(Protocol):
    """Cuts what is fed into what is computed at once: tensors, or pieces."""

    def feed(self, samples: torch.Tensor) -> None:
        """Takes samples, [S]."""

    def chunks(self) -> Iterator[Any]:
        """What can be computed by now."""

    def finish(self) -> Iterator[Any]:
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
        self.depths, self.seconds = asr.depths, seconds
        self.govern(governor)
        self.clock = clock
        self.record = StreamRecord()
        #: How long what is computed has been there when it is, s.
        self.waited = 0.0
        self.is_finished = False
        self.update = StreamUpdate()

    @property
    @abstractmethod
    def partial_words(self) -> tuple[Word, ...]:
        """What is said, and may change yet."""

    @property
    def partial(self) -> str:
        """The same as a text."""
        return " ".join(word.text for word in self.partial_words)

    @abstractmethod
    def run_chunk(self, x: Any) -> Optional[list[Word]]:
        """Computes what the front gives.

        Returns
        -------
        list of Word
            Words that are final; None where nothing was to be computed.
        """

    @abstractmethod
    def last_words(self) -> list[Word]:
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

    def govern(self, governor: Optional[Governor]) -> None:
        """Has a governor set the depth from the next chunk on, or none.

        Raises
        ------
        ValueError
            If its floor is none of the depths.
        """
        self.governing = governor and governor.start(self.depths, self.seconds)

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
        self, chunks: Iterable[Any], arrived: Optional[float]
    ) -> StreamUpdate:
        """Computes the chunks that there are."""
        arrived = self.clock() if arrived is None else arrived
        words: list[Word] = []
        n_layers, lag = self.update.n_layers, self.update.lag
        chunks = iter(chunks)
        while True:
            started = self.clock()
            x = next(chunks, None)
            if x is None:
                break
            self.waited = started - arrived
            if self.governing:
                depth = self.governing.choose(self.waited)
                self.gates = self.gates_of(depth)
            found = self.run_chunk(x)
            if found is None:
                continue
            words += found
            seconds, lag = self.clock() - started, self.clock() - arrived
            n_layers = self.gates.depth
            if self.governing:
                self.governing.note(n_layers, seconds)
            self._note(n_layers, seconds, lag)
        self.update = StreamUpdate(
            tuple(words), self.partial, n_layers, lag, self.partial_words
        )
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


def check_samples(
    samples: Any, sampling_rate: Optional[int], rate: int
) -> torch.Tensor:
    """Samples as the features take them, [S]: a copy.

    Raises
    ------
    ValueError
        If they are of another rate, no row of numbers, not finite, or far
        from [-1, 1]: a stream cannot tell their scale before its end.

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
    found = _own(samples)
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
    most = float(found.abs().max()) if len(found) else 0.0
    if most > LARGEST:
        raise ValueError(
            f"`samples` must be in [-1, 1], or whole numbers of 16 bits "
            f"(int16), but reach {most:g}: none of them is taken"
        )
    return found


def _own(samples: Any) -> torch.Tensor:
    """A copy: who records may fill the same buffer again.

    Raises
    ------
    ValueError
        If they are no numbers of one shape.
    """
    if isinstance(samples, torch.Tensor):
        return samples.detach().cpu().clone()
    try:
        array = np.array(samples)
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    except (TypeError, ValueError):
        raise ValueError(
            f"`samples` must be a row of numbers, but are {type(samples)}"
        ) from None
