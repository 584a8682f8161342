"""What is counted and logged of a stage of training.

Authors
 * The dld_brain authors 2026
"""

import time
from collections import Counter

import torch
from speechbrain.utils.logger import get_logger
from speechbrain.utils.metric_stats import ErrorRateStats

logger = get_logger(__name__)


class StageStats:
    """Counts of one stage of one epoch.

    Arguments
    ---------
    depths : list of int
        Depths whose WER is counted.

    Example
    -------
    >>> stats = StageStats(depths=[2])
    >>> stats.add("ctc", torch.tensor([4.0, 2.0]))
    >>> stats.score(2, ["a", "b"], ["YES", "NO"], ["YES", "OH NO"])
    >>> summary = stats.summary(loss=3.0)
    >>> summary["ctc"], summary["WER"]
    (3.0, 33.33...)
    """

    def __init__(self, depths: list[int]) -> None:
        self.started = time.monotonic()
        self.sums: Counter = Counter()
        self.counts: Counter = Counter()
        self.wer = {n_layers: ErrorRateStats() for n_layers in depths}

    def add(self, name: str, losses: torch.Tensor) -> None:
        """Adds the losses of a batch.

        Arguments
        ---------
        name : str
            Which loss.
        losses : torch.Tensor
            Of each utterance, [B].
        """
        self.sums[name] += float(losses.detach().sum())
        self.counts[name] += len(losses)

    def add_impossible(self, n_utterances: int) -> None:
        """Counts transcripts that CTC cannot emit in their frames.

        Arguments
        ---------
        n_utterances : int
            How many.
        """
        self.sums["impossible"] += n_utterances

    def score(
        self,
        n_layers: int,
        ids: list[str],
        hypotheses: list[str],
        references: list[str],
    ) -> None:
        """Adds transcripts to the WER of a depth.

        Arguments
        ---------
        n_layers : int
            The depth.
        ids : list of str
            Utterances.
        hypotheses : list of str
            What was recognised.
        references : list of str
            What was said.
        """
        self.wer[n_layers].append(
            ids,
            [text.split() for text in hypotheses],
            [text.split() for text in references],
        )

    def summary(self, loss: float) -> dict[str, float]:
        """What is logged.

        Arguments
        ---------
        loss : float
            Mean loss of the batches.

        Returns
        -------
        dict
            Losses in nats an utterance, seconds, `impossible` if there
            were any, and the WER: the mean over the depths, and each.
        """
        stats = {"loss": float(loss)}
        for name, count in self.counts.items():
            stats[name] = self.sums[name] / count
        stats["seconds"] = time.monotonic() - self.started
        if self.sums["impossible"]:
            stats["impossible"] = self.sums["impossible"]
            logger.warning(
                "%d transcripts have more tokens than CTC can emit in "
                "their frames; they gave no gradient",
                self.sums["impossible"],
            )
        wers = {
            n_layers: scores.summarize("error_rate")
            for n_layers, scores in self.wer.items()
            if scores.ids
        }
        if wers:
            stats["WER"] = sum(wers.values()) / len(wers)
        if len(wers) > 1:
            stats.update({f"WER n={n}": wer for n, wer in wers.items()})
        return stats
