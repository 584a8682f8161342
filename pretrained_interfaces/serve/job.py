"""A request's audio on its way through the server, and what came of it."""

import asyncio
from dataclasses import dataclass, field
from typing import Optional

import torch

from dld_brain.audio.windows import Window
from pretrained_interfaces.transcription import Transcription


class Busy(Exception):
    """The server takes no more: try again after so many seconds.

    Arguments
    ---------
    reason : str
        What is told to whom asked.
    retry_after : int
        Seconds.
    """

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Abandoned(Exception):
    """Nobody waits any more for what runs."""


@dataclass
class Answer:
    """What a request got.

    Arguments
    ---------
    n_layers : int
        Depth of its batch; of audio without speech no layer ran.
    queue_seconds : float
        From the whole request to its batch, s: reading it, and the queue.
    compute_seconds : float
        Time that its batch took, s.
    batch_size : int
        Requests of its batch.
    """

    transcription: Transcription
    n_layers: int
    queue_seconds: float
    compute_seconds: float
    batch_size: int


@dataclass(eq=False)
class Job:
    """Audio that waits for its transcript.

    Arguments
    ---------
    waveform : torch.Tensor
        [S], at the model's rate.
    windows : list of Window
        What of it is encoded; none without speech.
    seconds : float
        Length of the audio, s.
    n_layers : int, optional
        The depth that the request named; the controller's if not given.
    max_latency : float, optional
        When the request wants its answer, s; the server's target if not
        given.
    word_times : bool
        Whether words are timed.
    """

    waveform: torch.Tensor
    windows: list[Window]
    seconds: float
    n_layers: Optional[int] = None
    max_latency: Optional[float] = None
    word_times: bool = False
    arrived: Optional[float] = field(default=None, init=False)
    answer: Optional["asyncio.Future[Answer]"] = field(default=None, init=False)

    @property
    def kind(self) -> tuple[Optional[int], Optional[float]]:
        """What jobs of one batch have in common."""
        return self.n_layers, self.max_latency

    @property
    def is_abandoned(self) -> bool:
        """Whether whoever asked has left."""
        return self.answer is not None and self.answer.cancelled()
