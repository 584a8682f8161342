"""DLDBrain: DLD's forward pass and loss in SpeechBrain's loop."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

import torch

import speechbrain as sb
from dld_brain.audio.features import extract
from dld_brain.audio.lengths import absolute_lengths
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.gates.sampler import GatedRun, GateSampler, with_intermediate
from dld_brain.losses import Divergence
from dld_brain.training.augmentation import Augmentation
from dld_brain.training.chunks import ChunkSampler
from dld_brain.training.clock import layer_passes
from dld_brain.training.nonfinite import named, nonfinite_ids
from dld_brain.training.objectives import (
    Predictions,
    Weights,
    has_words,
    taught_terms,
)
from dld_brain.training.recorded import RecordedLoop
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


class DLDBrain(RecordedLoop):
    """Trains a dynamic encoder: L = task L_task + teacher KL, weighted (DLD).

    One class for the teacher (all gates open), random dropping (no
    teacher) and DLD; L_task is CTC, or cross-entropy. With an
    in-place weight the shallower runs of a step learn from its full depth
    as well, whose posteriors are detached: no second model, no further
    forward pass (slimmable networks, https://arxiv.org/abs/1903.05134).

    Arguments
    ---------
    gate_sampler : GateSampler
        Gates of a training step; see dld_brain.gates.sampler.
    chunk_sampler : ChunkSampler, optional
        What a frame sees in a training step, of the student and of the
        teacher; the whole utterance if not given, and in validation.
    teacher : mapping of str to torch.nn.Module, optional
        Modules of the teacher. They are kept out of `modules`, which
        SpeechBrain would set to train mode.
    divergence : callable
        What a run learns from its teachers; see dld_brain.losses.
    sample_rate : int
        Rate of the audio, Hz.
    **kwargs : dict
        Forwarded to `RecordedLoop` and `Loop`.

    Raises
    ------
    ValueError
        If the full depth is to teach, and the sampler does not run it; or
        chunks are to differ in depth, and it draws none.
    """

    def __init__(
        self,
        *,
        gate_sampler: GateSampler,
        divergence: Divergence,
        weights: Weights,
        sample_rate: int,
        augmentation: Optional[Augmentation] = None,
        chunk_sampler: Optional[ChunkSampler] = None,
        teacher: Optional[Mapping[str, torch.nn.Module]] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if weights.in_place and not gate_sampler.has_full_depth:
            raise ValueError(
                "`in_place` needs gates that run the full depth in every "
                "step, but these do not"
            )
        if chunk_sampler is not None:
            chunk_sampler.check(gate_sampler)
        self.weights = weights
        self.sample_rate = sample_rate
        self.augmentation = augmentation or Augmentation()
        self.gate_sampler = gate_sampler
        self.chunk_sampler = chunk_sampler
        self.distill = divergence
        self.teacher = teacher["model"] if teacher else None
        if self.teacher is not None:
            self.teacher.to(self.device).eval().requires_grad_(False)

    def compute_forward(self, batch: Any, stage: sb.Stage) -> Predictions:
        """audio -> features -> stem -> gated layers -> head."""
        batch = batch.to(self.device)
        feats, lengths = self.extract_features(batch, stage)
        runs, is_training = self.runs(stage), stage == sb.Stage.TRAIN
        gates, given = [run.gates for run in runs], self._given(batch, stage)
        outs = self.modules.model(feats, lengths, gates, **given)
        students = list(zip(runs, outs))
        if not is_training or self.teacher is None:
            return Predictions(students)
        return Predictions(
            students, self.teacher.teach(feats, lengths, **given)
        )

    def _given(self, batch: Any, stage: sb.Stage) -> dict[str, Any]:
        """What the model has to know of a batch beside its speech."""
        targets, target_lens = batch.targets
        lengths = absolute_lengths(target_lens, targets.shape[1])
        is_answered = stage != sb.Stage.TRAIN
        given = self.task.given(targets, lengths, is_answered)
        if not is_answered and self.chunk_sampler is not None:
            given = {**given, "chunks": self.chunk_sampler(self.optimizer_step)}
        return given

    def extract_features(
        self, batch: Any, stage: sb.Stage
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Computes features, augmented in training.

        Returns
        -------
        tuple of torch.Tensor
            Features [B, T, F] and valid frames [B].
        """
        wavs, wav_lens = batch.sig
        is_speech, epoch = has_words(batch), self.epoch_counter.current
        is_training = stage == sb.Stage.TRAIN
        if is_training:
            wavs, wav_lens = self.augmentation.of_waveforms(wavs, wav_lens)
            n_samples = wavs.shape[1]
            wavs, wav_lens = self.augmentation.put_around(
                wavs, wav_lens, self.sample_rate, epoch, self.rng()
            )
            is_speech = is_speech & (wavs.shape[1] == n_samples)
        feats, lengths = extract(self.modules, wavs, wav_lens, epoch, is_speech)
        if is_training:
            feats = self.augmentation.of_features(feats, lengths)
        return feats, lengths

    def runs(self, stage: sb.Stage) -> list[GatedRun]:
        """Runs of this batch: drawn in training, else of `valid_depths`."""
        if stage == sb.Stage.TRAIN:
            step = self.optimizer_step
            runs = self.gate_sampler(step)
            runs = with_intermediate(runs, self.weights.intermediate)
            if self.chunk_sampler is not None:
                runs += self.chunk_sampler.mixed(step, self.gate_sampler)
            return runs
        return self.gate_sampler.validation(
            self.optimizer_step, self.valid_depths
        )

    def compute_objectives(
        self, predictions: Predictions, batch: Any, stage: sb.Stage
    ) -> torch.Tensor:
        """L_task + KL(teacher || student), averaged over the batch (DLD).

        Returns
        -------
        torch.Tensor
            Scalar, nats per utterance.
        """
        targets, target_lens = batch.targets
        target_lengths = absolute_lengths(target_lens, targets.shape[1])
        losses = []
        for run, out in predictions.students:
            loss = self.task.loss(out, targets, target_lengths)
            self.stats.add(self.task.loss_name, loss)
            loss = self.weights.task * loss
            if run.is_taught:
                taught = self.distilled(run, out, predictions)
                # What a teacher says to silence is not to be learnt.
                loss = loss + taught * has_words(batch)
            losses.append(run.weight * loss)
        self.stats.add_impossible(
            self.task.n_impossible(out, targets, target_lengths)
        )
        if stage != sb.Stage.TRAIN:
            for run, out in predictions.students:
                answers = self.task.decode(out)
                self.stats.score(run.depth, answers, batch.reference)
        losses = torch.stack(losses).sum(0)
        self._note(batch.id, losses, stage)
        loss = losses.mean()
        loss = loss + self.off_budget([out for _, out in predictions.students])
        return loss * self.share_of_batch(len(targets), stage)

    def _note(
        self, ids: Sequence[str], losses: torch.Tensor, stage: sb.Stage
    ) -> None:
        """Remembers whose loss is not finite; in validation, says so."""
        if stage == sb.Stage.TRAIN:
            self.group.add(ids, losses)
        elif found := nonfinite_ids(ids, losses):
            logger.warning(
                "the validation loss of %s is not finite: left out of its mean",
                named(found),
            )

    def distilled(
        self, run: GatedRun, out: EncoderOutput, predictions: Predictions
    ) -> Union[torch.Tensor, float]:
        """What a run learns from its teachers.

        Arguments
        ---------
        predictions : Predictions
            Has the teacher's output, and that of the full depth.

        Returns
        -------
        torch.Tensor or float
            Weighted, nats, [B]; 0 where there is no teacher.
        """
        total = 0.0
        for term in taught_terms(
            run, out, predictions, self.weights, self.distill
        ):
            self.stats.add(term.name, term.loss)
            total = total + term.weight * term.loss
        return total

    def off_budget(
        self, outs: Sequence[EncoderOutput]
    ) -> Union[torch.Tensor, float]:
        """What routed runs pay for a mean rate that is not `open_rate`."""
        total = 0.0
        for out in outs:
            if out.routing is None:
                continue
            self.stats.add("open_rate", out.routing.rate.mean(0))
            distance = out.routing.rate.mean() - self.gate_sampler.open_rate
            total = total + self.gate_sampler.rate_penalty * distance.square()
        return total

    def on_fit_batch_start(self, batch: Any, should_step: bool) -> None:
        """Mixes in what is no speech, with no word to say."""
        self.augmentation.mix_in(batch, self.rng())

    def on_fit_batch_end(
        self, batch: Any, outputs: Predictions, loss: Any, should_step: bool
    ) -> None:
        """Notes what the batch takes."""
        wavs, wav_lens = batch.sig
        seconds = wav_lens.sum() * wavs.shape[1] / self.sample_rate
        runs = [run for run, _ in outputs.students]
        n_teacher = 0 if self.teacher is None else self.teacher.n_total
        passes = layer_passes(runs, self.n_total, n_teacher)
        self.group.audio_seconds += self.sum_over_ranks(seconds)
        self.group.layer_passes += passes
        self.progress.batch()

    def gates_seen(self) -> Optional[dict[int, int]]:
        """How often each depth was trained: the sampler is asked again.

        Returns
        -------
        dict of int to int
            Steps by the number of open gates; None if no step is known.
        """
        n_steps = self.last_meta().get("steps", 0)
        counts = Counter(
            depth
            for step in range(n_steps)
            for depth in {run.depth for run in self.gate_sampler(step)}
        )
        return dict(sorted(counts.items())) or None
