"""Scores layer sets: the task's loss on development speech.

Sets are scored together: two that begin with the same layers share the
work up to where they part, so that all 4095 sets of 12 layers cost 4095
layers, or 341 full passes.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
from tqdm import tqdm

from dld_brain.audio.features import extract
from dld_brain.audio.lengths import absolute_lengths
from dld_brain.evaluation.ranks import gathered, own_batches
from dld_brain.files.fingerprint import digest
from dld_brain.files.whole import write_text
from dld_brain.gates.gates import Gates
from dld_brain.tasks import Task
from speechbrain.utils.distributed import if_main_process, run_on_main

logger = logging.getLogger(__name__)

#: Sets between two saves.
CHUNK = 256


class Stemmed(NamedTuple):
    """A batch behind the stem.

    Arguments
    ---------
    x : torch.Tensor
        Output of the stem, [B, T', D].
    lengths : torch.Tensor
        Valid frames, [B].
    targets : torch.Tensor
        Target ids, [B, U].
    target_lengths : torch.Tensor
        Valid ids, [B].
    """

    x: torch.Tensor
    lengths: torch.Tensor
    targets: torch.Tensor
    target_lengths: torch.Tensor


class LayerScores:
    """Loss of layer sets, nats per utterance; each computed once.

    Arguments
    ---------
    modules : mapping of str to torch.nn.Module
        `compute_features`, `normalize` and `model`, in eval mode.
    path : str, optional
        JSON file that scores are kept in, so that an interrupted search
        goes on where it was. Those of other weights or other speech are
        set aside.
    model_hash : str
        Names the weights.
    """

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        task: Task,
        batches: Iterable[Any],
        path: Optional[str] = None,
        model_hash: str = "",
    ) -> None:
        self.model = modules["model"]
        self.n_total = self.model.n_total
        self.task = task
        #: Those of this rank, with their numbers.
        self.batches: list[tuple[int, Stemmed]] = []
        found = []
        for number, _, batch in own_batches(batches, "development"):
            self.batches.append((number, self._stem(modules, batch)))
            wavs, wav_lens = batch.sig
            samples = (wav_lens * wavs.shape[1]).round().tolist()
            found.append((number, [*zip(batch.id, batch.reference, samples)]))
        speech = [utterance for part in gathered(found) for utterance in part]
        self.n_utterances = len(speech)
        self.path = None if path is None else Path(path)
        self.key = digest(model_hash, task.name, speech)
        self.scores: dict[Gates, float] = run_on_main(self._load)

    @torch.no_grad()
    def _stem(
        self, modules: Mapping[str, torch.nn.Module], batch: Any
    ) -> Stemmed:
        """Runs what all layer sets share."""
        batch = batch.to(next(self.model.parameters()).device)
        feats, lengths = extract(modules, *batch.sig)
        targets, target_lens = batch.targets
        return Stemmed(
            *self.model.stem(feats, lengths),
            targets,
            absolute_lengths(target_lens, targets.shape[1]),
        )

    def __call__(self, sets: Iterable[Gates]) -> dict[Gates, float]:
        """Scores layer sets.

        Returns
        -------
        dict of Gates to float
            Mean loss of an utterance, nats.
        """
        sets = list(dict.fromkeys(sets))
        new = sorted(s for s in sets if s not in self.scores)
        for start in range(0, len(new), CHUNK):
            chunk = new[start : start + CHUNK]
            title = f"{len(chunk)} layer sets of {chunk[0].depth}"
            bar = tqdm(
                self.batches, title, leave=False, disable=not if_main_process()
            )
            parts = gathered(
                [(number, self._score(batch, chunk)) for number, batch in bar]
            )
            for gates in chunk:
                total = sum(losses[gates] for losses in parts)
                self.scores[gates] = total / self.n_utterances
            run_on_main(self._save)
        return {s: self.scores[s] for s in sets}

    @torch.no_grad()
    def _score(self, batch: Stemmed, sets: list[Gates]) -> dict[Gates, float]:
        """The losses of a batch, shared beginnings computed once."""
        context = self.model.context(batch.x, batch.lengths)
        outputs = self.model.layers.run_many(batch.x, sets, **context)
        losses = {}
        for run, y in outputs:
            given = self.task.given(batch.targets, batch.target_lengths)
            out = self.model.run_head(y, batch.lengths, sets[run], **given)
            loss = self.task.loss(out, batch.targets, batch.target_lengths)
            losses[sets[run]] = float(loss.sum())
        return losses

    def _load(self) -> dict[Gates, float]:
        """Reads what an interrupted search has left."""
        if self.path is None or not self.path.is_file():
            return {}
        try:
            content = json.loads(self.path.read_text())
            key = content["key"]
            scores = {tuple(s): float(loss) for s, loss in content["scores"]}
        except (ValueError, KeyError, TypeError):
            key, scores = "", {}
        if key != self.key:
            logger.warning(
                "%s is made anew: it is of other weights or other speech, "
                "or not whole",
                self.path,
            )
            return {}
        return {Gates(s, self.n_total): loss for s, loss in scores.items()}

    def _save(self) -> None:
        """Writes the scores."""
        if self.path is None:
            return
        scores = [(g.layers, loss) for g, loss in self.scores.items()]
        content = {"key": self.key, "scores": scores}
        write_text(self.path, json.dumps(content))
