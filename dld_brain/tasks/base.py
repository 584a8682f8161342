"""What every task gives."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import torch

from dld_brain.audio.text import normalise
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.tasks.alignment import WordSpan

Rates = dict[str, float]


class Task(ABC):
    """What outputs mean, what they cost and how they are scored.

    Arguments
    ---------
    vocabulary : object
        Turns references into ids and ids into answers.
    text_case : str
        How references are written: keep (as the corpus has them), lower or
        upper.
    """

    #: Column of the CSV files that has the reference.
    column: str
    #: What models, layers and depths can be compared by, and whether a
    #: higher value of it is the better one.
    METRICS: dict[str, bool]
    #: What they are compared by.
    metric: str
    #: Whether an answer can be no word at all: what silence is trained to.
    has_silence: bool
    #: What the loss is called in logs.
    loss_name: str
    #: Where the vocabulary is kept beside the checkpoints of a run.
    file: str
    #: What it is called in hparams files.
    name: str
    #: What the vocabulary consists of.
    symbol: str
    #: What SpeechBrain's interfaces call the vocabulary.
    key: str

    def __init__(self, vocabulary: Any, text_case: str = "keep") -> None:
        self.vocabulary = vocabulary
        self.text_case = text_case

    @classmethod
    @abstractmethod
    def make(
        cls,
        folder: str,
        csv: str,
        token_type: str,
        vocab_size: int,
        text_case: str = "keep",
    ) -> "Task":
        """Makes the vocabulary of training data, and keeps it in a folder."""

    @classmethod
    @abstractmethod
    def load(cls, path: Any) -> "Task":
        """Reads the vocabulary that `save` wrote."""

    @abstractmethod
    def save(self, path: Any) -> None:
        """Writes the vocabulary."""

    @property
    @abstractmethod
    def symbols(self) -> list[str]:
        """What the head's outputs stand for, in their order."""

    def text(self, reference: str) -> str:
        """A reference in the form that targets and answers have."""
        return normalise(reference, self.text_case)

    def with_text_case(self, text_case: str) -> "Task":
        """The same task, of references that are written in another way."""
        task = copy.copy(self)
        task.text_case = text_case
        return task

    def unspelled(self, word: str) -> str:
        """Characters of a word that the vocabulary cannot spell."""
        return ""

    @abstractmethod
    def encode(self, reference: str) -> torch.Tensor:
        """Target ids of a reference.

        Returns
        -------
        torch.Tensor
            [U].
        """

    @abstractmethod
    def unknown(self, references: Sequence[str]) -> dict[str, int]:
        """References that no answer can equal."""

    def given(
        self,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
        is_answered: bool = False,
    ) -> dict[str, Any]:
        """What the head has to know for the loss, beside its input: nothing.

        Arguments
        ---------
        targets : torch.Tensor
            Target ids, [B, U].
        target_lengths : torch.Tensor
            Valid ids, [B].
        is_answered : bool
            Whether the output is to be decoded, too.
        """
        return {}

    @abstractmethod
    def loss(
        self,
        out: EncoderOutput,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Loss of each utterance.

        Arguments
        ---------
        targets : torch.Tensor
            Target ids, [B, U].
        target_lengths : torch.Tensor
            Valid ids, [B].

        Returns
        -------
        torch.Tensor
            Nats, [B].
        """

    @abstractmethod
    def n_impossible(
        self,
        out: EncoderOutput,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
    ) -> int:
        """How many utterances of a batch no loss can be computed of.

        Arguments
        ---------
        targets : torch.Tensor
            Target ids, [B, U].
        target_lengths : torch.Tensor
            Valid ids, [B].
        """

    @abstractmethod
    def with_decoding(
        self, decoding: str, options: Optional[dict[str, Any]] = None
    ) -> "Task":
        """The same task, decoded in another way.

        Arguments
        ---------
        decoding : str
            "greedy", or what else the task knows.
        """

    @abstractmethod
    def decode(self, out: EncoderOutput) -> list[str]:
        """The answer for each utterance."""

    def words(
        self, out: EncoderOutput, answers: Sequence[str]
    ) -> Optional[list[list[WordSpan]]]:
        """When the words of answers were said; None if no output tells.

        Arguments
        ---------
        answers : sequence of str
            What was decoded of each utterance.
        """
        return None

    @abstractmethod
    def rates(self, references: list[str], answers: list[str]) -> Rates:
        """Scores answers.

        Returns
        -------
        dict of str to float
            %, by metric; the task's own first.
        """

    @abstractmethod
    def write_details(
        self,
        path: Path,
        ids: list[str],
        references: list[str],
        answers: list[str],
    ) -> None:
        """Writes what was right and wrong, by SpeechBrain's statistics."""

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher value of the metric is the better one."""
        return self.METRICS[self.metric]

    def with_metric(self, metric: str) -> "Task":
        """The same task, compared by another metric.

        Raises
        ------
        ValueError
            If it has no such metric.
        """
        if metric not in self.METRICS:
            raise ValueError(
                f"`metric` of a {self.name} must be one of "
                f"{', '.join(self.METRICS)}, but is {metric!r}"
            )
        task = copy.copy(self)
        task.metric = metric
        return task

    def own_first(self, rates: Rates) -> Rates:
        """Rates in the order of the reports: the task's own metric first."""
        return {self.metric: rates[self.metric], **rates}

    def error(self, rate: float) -> float:
        """The metric, turned so that less is better.

        Arguments
        ---------
        rate : float
            Value of the metric, %.
        """
        return 100.0 - rate if self.higher_is_better else rate

    def correctness(
        self, references: Sequence[str], answers: Sequence[str]
    ) -> list[float]:
        """How right each answer is: what a confidence is to foretell.

        Returns
        -------
        list of float
            1 - WER (or CER) of each utterance and at least 0: about the
            share of its words that are right; of labels, 1 or 0. Where there
            is no word to say, 1 if none is said.
        """
        return [
            max(0.0, 1 - self._error_of(*pair) / 100)
            for pair in zip(references, answers)
        ]

    def _error_of(self, reference: str, answer: str) -> float:
        """Error of an utterance, %."""
        if not reference.strip():  # of no word, no rate is a share
            return 100.0 if answer.strip() else 0.0
        return self.error(self.rates([reference], [answer])[self.metric])

    def check_size(self, size: int, source: str) -> None:
        """Raises unless the model's head has an output for each symbol.

        Arguments
        ---------
        source : str
            Where the vocabulary is from, for the message.
        """
        if len(self.symbols) != size:
            raise ValueError(
                f"`vocab_size` must be {len(self.symbols)}, the number of "
                f"{self.symbol}s of {source}, but is {size}"
            )
