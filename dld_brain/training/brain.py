"""DLDBrain: DLD's forward pass and loss in SpeechBrain's loop."""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import torch
import yaml

import speechbrain as sb
from dld_brain.audio.features import extract
from dld_brain.audio.lengths import absolute_lengths
from dld_brain.audio.no_speech import AROUND, mix_in, put_around
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.gates.sampler import GatedRun, GateSampler, with_intermediate
from dld_brain.losses import Divergence, states_distance
from dld_brain.tasks import Task
from dld_brain.training.checkpoints import (
    ORDERS,
    average_weights,
    is_scored,
    keep_epoch,
)
from dld_brain.training.chunks import ChunkSampler
from dld_brain.training.clock import (
    TrainingClock,
    device_name,
    layer_passes,
    peak_bytes,
)
from dld_brain.training.loop import Loop
from dld_brain.training.nonfinite import named, nonfinite_ids
from dld_brain.training.stage_log import StageLog
from dld_brain.training.stage_stats import StageStats
from speechbrain.dataio.batch import PaddedData
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


@dataclass(frozen=True)
class Weights:
    """What the terms of the loss weigh.

    Arguments
    ---------
    teacher : float
        Of the divergence from the teacher.
    states : float
        Of the distance from the teacher's encoder's outputs, where a decoder
        stands behind them.
    in_place : float
        Of a shallower run's divergence from the own full depth.
    intermediate : float
        Of the task's loss half way through a run.
    """

    task: float = 1.0
    teacher: float = 1.0
    states: float = 0.0
    in_place: float = 0.0
    intermediate: float = 0.0


@dataclass(frozen=True)
class Keeping:
    """Which checkpoints are kept.

    Arguments
    ---------
    averaged : str
        One of `ORDERS`: what the `n` are, whose mean is the model.
    epochs : tuple of int
        Epochs whose weights are kept in `folder` whatever they reach.
    """

    averaged: str = "best"
    n: int = 1
    epochs: tuple[int, ...] = ()
    folder: str = ""


class Augmentation(NamedTuple):
    """SpeechBrain's augmenters of waveforms and of features.

    Arguments
    ---------
    no_speech : float
        Share of the utterances in whose place there is none; see
        dld_brain.audio.no_speech.
    no_speech_around : float
        Share of the batches with some before and behind each utterance, from
        the second epoch on.
    longest : float
        Nothing is made longer than this, s: the longest utterance.
    """

    wav: Optional[Callable] = None
    feats: Optional[Callable] = None
    no_speech: float = 0.0
    no_speech_around: float = 0.0
    longest: float = math.inf


class Predictions(NamedTuple):
    """What a batch gives.

    Arguments
    ---------
    students : list of tuple of GatedRun and EncoderOutput
        The student's runs, and what each gave.
    teacher : EncoderOutput, optional
        The teacher's, in training.
    """

    students: list[tuple[GatedRun, EncoderOutput]]
    teacher: Optional[EncoderOutput] = None


def has_words(batch: Any) -> torch.Tensor:
    """Which utterances of a batch have a target at all, [B]."""
    return batch.targets.lengths > 0


@register_checkpoint_hooks
class DLDBrain(Loop):
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
    task : Task
        What the model is for: its loss and its metric.
    teacher : mapping of str to torch.nn.Module, optional
        Modules of the teacher. They are kept out of `modules`, which
        SpeechBrain would set to train mode.
    divergence : callable
        What a run learns from its teachers; see dld_brain.losses.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        That of `fit`.
    sample_rate : int
        Rate of the audio, Hz.
    valid_depths : list of int
        Depths that a checkpoint is judged by; the mean of the task's
        metric over them ranks it.

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
        task: Task,
        divergence: Divergence,
        weights: Weights,
        keeping: Keeping,
        epoch_counter: Any,
        sample_rate: int,
        augmentation: Optional[Augmentation] = None,
        train_loggers: Sequence[Any] = (),
        chunk_sampler: Optional[ChunkSampler] = None,
        teacher: Optional[Mapping[str, torch.nn.Module]] = None,
        valid_depths: Optional[list[int]] = None,
        **kwargs,
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
        self.keeping = keeping
        self.epoch_counter = epoch_counter
        self.sample_rate = sample_rate
        self.augmentation = augmentation or Augmentation()
        self.log = StageLog(train_loggers)
        self.gate_sampler = gate_sampler
        self.chunk_sampler = chunk_sampler
        self.distill = divergence
        self.task = task
        self.teacher = teacher["model"] if teacher else None
        if self.teacher is not None:
            self.teacher.to(self.device).eval().requires_grad_(False)
        self.n_total = self.modules.model.n_total
        self.valid_depths = valid_depths or [self.n_total]
        self.order = ORDERS[keeping.averaged](task.metric)
        self.stats = StageStats(self.task, self.valid_depths)
        #: What the epoch that is resumed had counted.
        self.counted: dict[str, dict[str, float]] = {}
        self.clock = TrainingClock()
        self.clock.spent.device = device_name(self.device)
        if self.checkpointer is not None:
            for name in ("model", "normalize"):
                self.checkpointer.add_recoverable(name, self.modules[name])
            self.checkpointer.add_recoverables(
                {
                    "lr_scheduler": self.lr_scheduler,
                    "epoch_counter": self.epoch_counter,
                    "clock": self.clock,
                }
            )

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
        is_training = stage == sb.Stage.TRAIN
        if is_training and self.augmentation.wav is not None:
            wavs, wav_lens = self.augmentation.wav(wavs, wav_lens)
        is_speech = has_words(batch)
        if is_training:
            n_samples = wavs.shape[1]
            wavs, wav_lens = self.put_around(wavs, wav_lens)
            is_speech = is_speech & (wavs.shape[1] == n_samples)
        epoch = self.epoch_counter.current
        feats, lengths = extract(self.modules, wavs, wav_lens, epoch, is_speech)
        if is_training and self.augmentation.feats is not None:
            rel_lens = lengths / feats.shape[1]
            feats, _ = self.augmentation.feats(feats, rel_lens)
        return feats, lengths

    def put_around(
        self, wavs: torch.Tensor, wav_lens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Puts what is no speech around the utterances of some batches.

        Not in the first epoch, which finds out where words are: with it, 0.3
        to 4 points of WER more are lost on clips without.
        """
        # Not the numbers that `mix_in` draws: else one would decide both.
        rng = self.rng().spawn(1)[0]
        is_first = self.epoch_counter.current == 1
        if is_first or rng.random() >= self.augmentation.no_speech_around:
            return wavs, wav_lens
        room = self.augmentation.longest - wavs.shape[1] / self.sample_rate
        seconds = min(rng.uniform(0, AROUND), max(0.0, room))
        n_samples = round(seconds * self.sample_rate)
        return put_around(wavs, wav_lens, n_samples, rng)

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
        if predictions.teacher is not None:
            teacher = predictions.teacher.log_probs
            kl = self.distill(teacher, out.log_probs, out.lengths)
            self.stats.add("kl", kl)
            total = total + self.weights.teacher * kl
            if self.weights.states:
                distance = states_distance(
                    predictions.teacher.states, out.states, out.frames
                )
                self.stats.add("states", distance)
                total = total + self.weights.states * distance
        if self.weights.in_place and not run.is_whole:
            full = next(
                out for other, out in predictions.students if other.is_whole
            )
            teacher = full.log_probs.detach()
            kl = self.distill(teacher, out.log_probs, out.lengths)
            self.stats.add("in_place", kl)
            total = total + self.weights.in_place * kl
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

    def on_stage_start(
        self, stage: sb.Stage, epoch: Optional[int] = None
    ) -> None:
        """Starts the counts of a stage."""
        self.stats = StageStats(self.task, self.valid_depths)
        if stage == sb.Stage.TRAIN:
            self.lr_scheduler.plan(self.n_updates())
            self.stats.go_on_from(self.counted)
            self.counted = {}
            self.clock.start()

    def on_fit_batch_start(self, batch: Any, should_step: bool) -> None:
        """Mixes in what is no speech, with no word to say."""
        if not self.augmentation.no_speech:
            return
        (wavs, wav_lens), (targets, target_lens) = batch.sig, batch.targets
        wavs, is_kept = mix_in(
            wavs, wav_lens, self.augmentation.no_speech, self.rng()
        )
        batch.sig = PaddedData(wavs, wav_lens)
        batch.targets = PaddedData(targets, target_lens * is_kept)

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

    def on_step_end(self, is_taken: bool) -> None:
        """Counts what the batches of a step took."""
        if is_taken:
            counts = self.group.audio_seconds, self.group.layer_passes
            self.clock.count_batch(*counts)
        else:
            self.clock.count_skipped()
            self.stats.add_skipped()

    def on_stage_end(
        self, stage: sb.Stage, stage_loss: float, epoch: Optional[int] = None
    ) -> None:
        """Logs a stage; after validation, saves a checkpoint."""
        stats = self.stats.summary(stage_loss)
        if stage == sb.Stage.TRAIN:
            self.train_stats = stats
            return
        self.clock.lap()
        self.clock.spent.epochs = epoch
        self.clock.spent.steps = self.optimizer_step
        peak = max(self.clock.spent.peak_bytes, peak_bytes(self.device))
        self.clock.spent.peak_bytes = peak
        meta = {
            "epoch": epoch,
            "steps": self.optimizer_step,
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        rate = stats[self.task.metric]
        self.progress.end_epoch(
            epoch, f"{self.task.metric} {rate:.1f} % on validation speech"
        )
        if epoch in self.keeping.epochs:
            keep_epoch(
                self.keeping.folder, epoch, self.plain_modules()["model"]
            )
        entry = {"meta": meta, "train": self.train_stats, "valid": stats}
        self.checkpointer.save_and_keep_only(
            meta={
                **meta,
                **self.errors(stats),
                "training": asdict(self.clock.spent),
                "log": json.dumps(entry),  # YAML would sort the keys
            },
            # SpeechBrain appends to its default list at each call, and
            # sorts all checkpoints by each entry of it.
            importance_keys=[self.order],
            num_to_keep=self.keeping.n,
        )
        self.log.write(entry)

    def errors(self, stats: dict[str, float]) -> dict[str, float]:
        """What ranks a checkpoint, by each metric that was measured."""
        return {
            f"error {metric}": self.task.with_metric(metric).error(
                stats[metric]
            )
            for metric in self.task.METRICS
            if metric in stats
        }

    def on_fit_start(self) -> None:
        """Resumes; logs the last epoch where a kill kept it from the log."""
        super().on_fit_start()
        entry = self.checkpointer and self.last_meta().get("log")
        if entry:
            self.log.complete(json.loads(entry))

    @mark_as_saver
    def _save(self, path: Any) -> None:
        """Saves where an epoch is, and what it has counted so far."""
        super()._save(path)
        with open(path, "a", encoding="utf-8") as file:
            yaml.safe_dump({"stats": self.stats.counted()}, file)

    @mark_as_loader
    def _recover(self, path: Any, end_of_epoch: bool) -> None:
        """Loads where an epoch is."""
        super()._recover(path, end_of_epoch)
        if not end_of_epoch:
            text = Path(path).read_text(encoding="utf-8")
            self.counted = yaml.safe_load(text)["stats"]

    def load_average(self) -> None:
        """Loads the mean of the best, or last, checkpoints into the model."""
        n = self.keeping.n
        state = average_weights(self.checkpointer, "model", n, self.order)
        self.checkpointer.recover_if_possible(
            self.order, ckpt_predicate=is_scored
        )
        self.plain_modules()["model"].load_state_dict(state, strict=True)

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

    def last_meta(self) -> dict[str, Any]:
        """What the checkpoint of the last epoch says of itself."""
        found = self.checkpointer.list_checkpoints()
        last = max(found, key=ORDERS["last"](self.task.metric), default=None)
        return last.meta if last else {}
