"""Scores test sets at every depth.

Audio, features and stem are computed once a batch; each depth then runs
the layers it has. The real-time factor of a depth counts both.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Optional

import numpy as np
import torch

from dld_brain.audio.features import extract, samples_per_frame
from dld_brain.encoder.costs import macs_by_part
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.evaluation.ranks import Batch, gathered, own_batches
from dld_brain.evaluation.scores import (
    Answers,
    DepthScore,
    depth_score,
    joined,
    random_score,
)
from dld_brain.evaluation.word_starts import word_starts
from dld_brain.gates.gates import Gates
from dld_brain.tasks import Task
from dld_brain.tasks.confidence import mean_confidence, mean_entropy


def default_depths(n_total: int) -> list[int]:
    """Depths of the paper's tables: 2, 4, ... and full depth.

    Example
    -------
    >>> default_depths(5)
    [2, 4, 5]
    """
    return sorted({*range(2, n_total + 1, 2), n_total})


class DepthEvaluation:
    """Evaluates a model at every depth.

    Arguments
    ---------
    modules : mapping of str to torch.nn.Module
        `compute_features`, `normalize` and `model`, in eval mode.
    sample_rate : int
        Rate of the audio, Hz.
    selections : mapping of str to mapping of int to Gates
        By the name of a strategy, and by depth, the layers that run. The
        first is the one that alignments are written of, and that random
        layers are compared with.
    random_draws : int
        How often random layers are drawn for each utterance and depth.
    lm_task : Task, optional
        The task under a language model, which the layers of the first
        selection answer under, too.

    Raises
    ------
    ValueError
        If gates are of a stack of other size.
    """

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        task: Task,
        sample_rate: int,
        selections: Mapping[str, Mapping[int, Gates]],
        random_draws: int = 0,
        seed: int = 0,
        lm_task: Optional[Task] = None,
    ) -> None:
        self.modules = modules
        self.model = modules["model"]
        self.n_total = self.model.n_total
        self.selections = selections
        self.depths = list(next(iter(selections.values())))
        self.all_gates = list(
            dict.fromkeys(
                gates
                for chosen in selections.values()
                for gates in chosen.values()
            )
        )
        for gates in self.all_gates:
            self.model.layers.check(gates)
        self.task = task
        self.lm_task = lm_task
        self.sample_rate = sample_rate
        self.random_draws = random_draws
        self.seed = seed
        self.device = next(self.model.parameters()).device

    @torch.no_grad()
    def answer(
        self, loader: Iterable[Any], name: str, word_times: bool = False
    ) -> Answers:
        """Answers a set with every layer set; each rank its share.

        Arguments
        ---------
        name : str
            Name of the set, for the progress bar.
        word_times : bool
            Whether the times of words are compared, too; no time counts for
            it.
        """
        title = f"{name}, every depth"
        found = [
            (batch.number, self._answered(batch, word_times))
            for batch in own_batches(loader, title)
        ]
        return joined(gathered(found))

    def _answered(self, of_set: Batch, word_times: bool) -> Answers:
        """Answers a batch."""
        result = Answers()
        own = set(next(iter(self.selections.values())).values())
        batch = of_set.content.to(self.device)
        wavs, wav_lens = batch.sig
        with self.timed(result, "stem"):
            feats, lengths = extract(self.modules, wavs, wav_lens)
            x, lengths = self.model.stem(feats, lengths)
        outs: dict[Gates, EncoderOutput] = {}
        for gates in self.all_gates:
            with self.timed(result, "layers", gates):
                y = self.model.run_layers(x, lengths, gates)
            with self.timed(result, "head", gates):
                out = self.model.run_head(y, lengths, gates)
                answers = self.task.decode(out)
            result.answers[gates] += answers
            if self.lm_task is not None and gates in own:
                with self.timed(result, "lm", gates):
                    answers = self.lm_task.decode(out)
                result.lm_answers[gates] += answers
            result.entropies[gates] += mean_entropy(out).tolist()
            result.probabilities[gates] += mean_confidence(out).tolist()
            if word_times:
                outs[gates] = out
        self.compare_words(result, outs, batch.reference)
        self.answer_randomly(result, x, lengths, of_set.first)
        result.ids += batch.id
        result.references += batch.reference
        samples = float((wav_lens * wavs.shape[1]).sum())
        result.audio_seconds += samples / self.sample_rate
        return result

    def compare_words(
        self,
        result: Answers,
        outs: Mapping[Gates, EncoderOutput],
        references: list[str],
    ) -> None:
        """Adds how far words of a batch are from those of the true text.

        Arguments
        ---------
        outs : mapping of Gates to EncoderOutput
            Of the batch at each depth, which were answered last.
        """
        n = len(references)
        answers = {gates: result.answers[gates][-n:] for gates in outs}
        seconds = samples_per_frame(self.modules) / self.sample_rate
        found = word_starts(self.task, outs, answers, references)
        for gates, frames in found.items():
            result.word_starts[gates] += [seconds * k for k in frames]

    def answer_randomly(
        self,
        result: Answers,
        x: torch.Tensor,
        lengths: torch.Tensor,
        first: int = 0,
    ) -> None:
        """Adds answers with random layers, an own draw an utterance.

        LDASR's `random_fixed`; an utterance alone, since another draws
        other layers. All layers leave nothing to draw.

        Arguments
        ---------
        x : torch.Tensor
            Output of the stem, [B, T', D].
        lengths : torch.Tensor
            Valid frames, [B].
        first : int
            Utterances of the set in front of the batch.
        """
        for n_layers, draw in self.random_keys():
            for i, length in enumerate(lengths.tolist()):
                utterance = first + i
                rng = np.random.default_rng(
                    [self.seed, n_layers, draw, utterance]
                )
                layers = rng.choice(self.n_total, n_layers, replace=False)
                gates = Gates.of(layers.tolist(), self.n_total)
                alone = x[i : i + 1, :length], lengths[i : i + 1]
                y = self.model.run_layers(*alone, gates)
                out = self.model.run_head(y, alone[1], gates)
                answers = self.task.decode(out)
                result.random_answers[n_layers, draw] += answers

    def random_keys(self) -> list[tuple[int, int]]:
        """Depths and draws of random layers."""
        return [
            (n_layers, draw)
            for n_layers in self.depths
            if n_layers < self.n_total
            for draw in range(self.random_draws)
        ]

    @contextmanager
    def timed(
        self, result: Answers, part: str, key: Optional[Gates] = None
    ) -> Iterator[None]:
        """Adds the time of a block, the device's work included."""
        is_cuda = self.device.type == "cuda"
        if is_cuda:
            torch.cuda.synchronize(self.device)
        started = time.perf_counter()
        yield
        if is_cuda:
            torch.cuda.synchronize(self.device)
        result.seconds[part, key] += time.perf_counter() - started

    def scores(self, result: Answers) -> list[DepthScore]:
        """Scores the answers of a set.

        Returns
        -------
        list of DepthScore
            By selection and depth; random layers last.
        """
        decoders = dict.fromkeys(gates.decoder for gates in self.all_gates)
        macs = {
            decoder: macs_by_part(self.modules, self.sample_rate, decoder)
            for decoder in decoders
        }
        told = self.task, self.model
        scores = [
            depth_score(*told, macs[gates.decoder], result, gates, selection)
            for selection, chosen in self.selections.items()
            for gates in chosen.values()
        ]
        if self.random_draws:
            scores += [
                random_score(*told, macs[None], result, n, self.random_draws)
                for n in self.depths
                if n < self.n_total
            ]
        return scores
