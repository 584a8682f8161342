"""What is counted and logged of a stage of training."""

import logging
import math
import time
from collections import Counter

import torch

from dld_brain.tasks import Task
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: Share of the utterances that may give no gradient without a warning: speed
#: perturbation makes some too short for their transcript.
TOLERATED = 0.01


class StageStats:
    """Counts of one stage of one epoch.

    Example
    -------
    >>> from sentencepiece import SentencePieceProcessor
    >>> from dld_brain.tasks import TranscriptionTask
    >>> task = TranscriptionTask(SentencePieceProcessor())
    >>> stats = StageStats(task, depths=[2])
    >>> stats.add("ctc", torch.tensor([4.0, 2.0]))
    >>> stats.score(2, ["YES", "NO"], ["YES", "OH NO"])
    >>> summary = stats.summary(loss=3.0)
    >>> summary["ctc"], summary["WER"]
    (3.0, 33.33...)
    """

    def __init__(self, task: Task, depths: list[int]) -> None:
        self.task = task
        self.started = time.monotonic()
        self.sums: Counter = Counter()
        self.counts: Counter = Counter()
        #: By depth, references and answers.
        self.pairs: dict[int, tuple[list[str], list[str]]] = {
            n_layers: ([], []) for n_layers in depths
        }

    def add(self, name: str, losses: torch.Tensor) -> None:
        """Adds the losses of a batch; those that are not finite, not.

        Arguments
        ---------
        losses : torch.Tensor
            Of each utterance, [B].
        """
        losses = losses.detach()
        losses = losses[losses.isfinite()]
        self.sums[name] += float(losses.sum())
        self.counts[name] += len(losses)

    def add_skipped(self) -> None:
        """Counts a step that was not taken."""
        self.sums["skipped"] += 1

    def add_impossible(self, n_utterances: int) -> None:
        """Counts utterances that no loss can be computed of."""
        self.sums["impossible"] += n_utterances

    def counted(self) -> dict[str, dict[str, float]]:
        """What a checkpoint within the stage keeps of it."""
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def go_on_from(self, counted: dict[str, dict[str, float]]) -> None:
        """Adds what the stage had counted before it was interrupted."""
        self.sums.update(counted.get("sums", {}))
        self.counts.update(counted.get("counts", {}))

    def score(
        self,
        n_layers: int,
        answers: list[str],
        references: list[str],
    ) -> None:
        """Adds answers of a depth.

        Arguments
        ---------
        n_layers : int
            The depth; 0 where a router decided.
        """
        pairs = self.pairs.setdefault(n_layers, ([], []))
        pairs[0].extend(references)
        pairs[1].extend(answers)

    def summary(self, loss: float) -> dict[str, float]:
        """What is logged.

        Returns
        -------
        dict
            Losses in nats an utterance, seconds, `impossible` utterances
            and `skipped` steps if there were any, and the task's metrics,
            %: the mean of each over the depths, and its own at each.
        """
        stats = {"loss": float(loss)}
        for name, count in self.counts.items():
            stats[name] = self.sums[name] / count if count else math.nan
        stats["seconds"] = time.monotonic() - self.started
        if self.sums["skipped"]:
            stats["skipped"] = self.sums["skipped"]
        if self.sums["impossible"]:
            stats["impossible"] = self.sums["impossible"]
            n_utterances = max(self.counts.values(), default=1)
            share = self.sums["impossible"] / n_utterances
            logger.log(
                logging.WARNING if share > TOLERATED else logging.INFO,
                "%d utterances gave no gradient: their transcript has more "
                "tokens than CTC can emit in their frames, or their label "
                "is none of training data",
                self.sums["impossible"],
            )
        rates = {
            n_layers: self.task.rates(*pairs)
            for n_layers, pairs in self.pairs.items()
            if pairs[0]
        }
        for metric in next(iter(rates.values()), {}):
            stats[metric] = sum(r[metric] for r in rates.values()) / len(rates)
        if len(rates) > 1:
            own = self.task.metric
            stats.update({f"{own} n={n}": r[own] for n, r in rates.items()})
        return stats
