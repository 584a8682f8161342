"""Classification: a posterior for each utterance, cross-entropy, accuracy."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import torch
import torch.nn.functional as F

from dld_brain.audio.csv_files import read_column
from dld_brain.audio.text import normalise
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.tasks.base import Rates, Task
from speechbrain.dataio.encoder import CategoricalEncoder

#: Id of a label that training data has not: it costs nothing in validation.
UNKNOWN_ID = -1


class ClassificationTask(Task):
    """Speech to one label, by cross-entropy.

    Example
    -------
    >>> labels = CategoricalEncoder()
    >>> labels.update_from_iterable(["off", "on"])
    >>> task = ClassificationTask(labels)
    >>> task.encode("on"), task.encode("up")
    (tensor([1]), tensor([-1]))
    >>> task.rates(["on", "up"], ["on", "off"])
    {'accuracy': 50.0}
    """

    column = "intent"
    METRICS = {"accuracy": True}
    metric = "accuracy"
    name = "classification"
    has_silence = False
    loss_name = "cross_entropy"
    file = "label_encoder.txt"
    symbol = "label"
    key = "label_encoder"

    def __init__(
        self, vocabulary: CategoricalEncoder, text_case: str = "keep"
    ) -> None:
        super().__init__(vocabulary, text_case)
        if vocabulary.lab2ind:
            vocabulary.expect_len(len(vocabulary.lab2ind))

    @classmethod
    def make(
        cls,
        folder: str,
        csv: str,
        token_type: str,
        vocab_size: int,
        text_case: str = "keep",
    ) -> "ClassificationTask":
        """Takes the labels of training data, in alphabetical order."""
        labels = CategoricalEncoder()
        found = read_column(Path(csv), cls.column)
        labels.update_from_iterable(
            sorted({normalise(label, text_case) for label in found})
        )
        return cls(labels, text_case)

    @classmethod
    def load(cls, path: Any) -> "ClassificationTask":
        """Reads labels."""
        labels = CategoricalEncoder()
        load_labels(labels, path)
        return cls(labels)

    def save(self, path: Any) -> None:
        """Writes the labels."""
        self.vocabulary.save(path)

    @property
    def symbols(self) -> list[str]:
        """The labels, in the order of their ids."""
        labels = self.vocabulary.ind2lab
        return [labels[i] for i in sorted(labels)]

    def encode(self, reference: str) -> torch.Tensor:
        """Id of a label, [1]; -1 if training data has none such.

        Returns
        -------
        torch.Tensor
            [1].
        """
        found = self.vocabulary.lab2ind.get(self.text(reference), UNKNOWN_ID)
        return torch.LongTensor([found])

    def unknown(self, references: Sequence[str]) -> dict[str, int]:
        """Labels that training data has not: no answer can equal them."""
        known = self.vocabulary.lab2ind
        return dict(Counter(r for r in references if r not in known))

    def loss(
        self,
        out: EncoderOutput,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Cross-entropy; 0 for a label that training data has not.

        Arguments
        ---------
        out : EncoderOutput
            Log-probabilities, [B, 1, V].
        targets : torch.Tensor
            Label ids, [B, 1].
        target_lengths : torch.Tensor
            Ones, [B].

        Returns
        -------
        torch.Tensor
            Nats, [B].
        """
        return F.nll_loss(
            out.log_probs[:, 0].float(),
            targets[:, 0],
            ignore_index=UNKNOWN_ID,
            reduction="none",
        )

    def n_impossible(
        self,
        out: EncoderOutput,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
    ) -> int:
        """Utterances whose label training data has not.

        Arguments
        ---------
        out : EncoderOutput
            Log-probabilities, [B, 1, V].
        targets : torch.Tensor
            Label ids, [B, 1].
        target_lengths : torch.Tensor
            Ones, [B].
        """
        return int((targets == UNKNOWN_ID).sum())

    def with_decoding(
        self, decoding: str, options: Optional[dict[str, Any]] = None
    ) -> "ClassificationTask":
        """The task itself: the likeliest label is taken."""
        if decoding != "greedy":
            raise ValueError(
                f"`decoding` of a classification must be greedy, but is "
                f"{decoding!r}"
            )
        return self

    def decode(self, out: EncoderOutput) -> list[str]:
        """The likeliest label of each utterance.

        Arguments
        ---------
        out : EncoderOutput
            Log-probabilities, [B, 1, V].
        """
        return self.vocabulary.decode_torch(out.log_probs[:, 0].argmax(-1))

    def rates(self, references: list[str], answers: list[str]) -> Rates:
        """Share of answers that are right, %."""
        from speechbrain.utils.metric_stats import ClassificationStats

        stats = ClassificationStats()
        stats.append(range(len(references)), answers, references)
        return {"accuracy": 100 * stats.summarize("accuracy")}

    def write_details(
        self,
        path: Path,
        ids: list[str],
        references: list[str],
        answers: list[str],
    ) -> None:
        """Writes SpeechBrain's accuracy of each label, and the confusions."""
        from speechbrain.utils.metric_stats import ClassificationStats

        stats = ClassificationStats()
        stats.append(ids, answers, references)
        with open(path, "w", encoding="utf-8") as file:
            stats.write_stats(file)


def load_labels(labels: CategoricalEncoder, path: Any) -> None:
    """Loads labels."""
    try:
        labels.load(path)
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{path} is no list of labels: {error}") from error
    if not labels.lab2ind:
        raise ValueError(f"{path} must hold labels, but has none")
    labels.expect_len(len(labels.lab2ind))
