"""DLDBrain: glue between the hyperparameters and SpeechBrain's loop.

Authors
 * The dld_brain authors 2026
"""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

import speechbrain as sb
import torch
from speechbrain.utils.distributed import ddp_all_reduce
from speechbrain.utils.logger import get_logger
from speechbrain.utils.metric_stats import ErrorRateStats

from dld_brain import losses
from dld_brain.checkpoints import average_best
from dld_brain.data import BLANK_ID
from dld_brain.decode import Decoder
from dld_brain.encoders.gated import EncoderOutput
from dld_brain.features import absolute_lengths, extract
from dld_brain.gates import Gates, evenly_spread, gates_from_layers

logger = get_logger(__name__)


class Predictions(NamedTuple):
    """What a batch gives.

    Arguments
    ---------
    students : dict of int to EncoderOutput
        The student's output, by its number of open gates.
    teacher : EncoderOutput, optional
        The teacher's, in training.
    """

    students: dict[int, EncoderOutput]
    teacher: Optional[EncoderOutput] = None


class DLDBrain(sb.Brain):
    """Trains a dynamic encoder: L = ctc_weight CTC + kl_weight KL (DLD).

    One class for the teacher (all gates open), random dropping (no
    teacher) and DLD.

    Arguments
    ---------
    gate_sampler : callable
        step -> gates; see dld_brain.gates.
    decoder : callable
        EncoderOutput -> transcripts; for the WER of validation.
    teacher : mapping of str to torch.nn.Module, optional
        Modules of the teacher. They are kept out of `modules`, which
        SpeechBrain would set to train mode.
    valid_depths : list of int
        Depths that a checkpoint is judged by; their mean WER ranks it.
    **kwargs : dict
        Forwarded to `speechbrain.Brain`.
    """

    def __init__(
        self,
        *,
        gate_sampler: Any,
        decoder: Decoder,
        teacher: Optional[Mapping[str, torch.nn.Module]] = None,
        valid_depths: Optional[list[int]] = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        # A closed layer has no gradient: DDP must expect that.
        self.find_unused_parameters = True
        self.gate_sampler = gate_sampler
        self.decoder = decoder
        self.teacher = teacher["model"] if teacher else None
        if self.teacher is not None:
            self.teacher.to(self.device).eval().requires_grad_(False)
        self.n_total = self.modules.model.n_total
        self.valid_depths = valid_depths or [self.n_total]
        self.sums: Counter = Counter()
        if self.checkpointer is not None:
            for name in ("model", "normalize"):
                self.checkpointer.add_recoverable(name, self.modules[name])
            for name in ("lr_scheduler", "epoch_counter"):
                self.checkpointer.add_recoverable(name, kwargs["hparams"][name])

    def compute_forward(self, batch: Any, stage: sb.Stage) -> Predictions:
        """audio -> features -> stem -> gated layers -> head.

        Arguments
        ---------
        batch : PaddedBatch
            Has `sig` and `tokens`.
        stage : sb.Stage
            The stage.

        Returns
        -------
        Predictions
        """
        batch = batch.to(self.device)
        feats, lengths = self.extract_features(batch, stage)
        students = {
            sum(gates): self.modules.model(feats, lengths, gates)
            for gates in self.gates(stage)
        }
        if stage != sb.Stage.TRAIN or self.teacher is None:
            return Predictions(students)
        with torch.no_grad():
            return Predictions(students, self.teacher(feats, lengths))

    def extract_features(
        self, batch: Any, stage: sb.Stage
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Computes features, augmented in training.

        Arguments
        ---------
        batch : PaddedBatch
            Has `sig`.
        stage : sb.Stage
            The stage.

        Returns
        -------
        tuple of torch.Tensor
            Features [B, T, F] and valid frames [B].
        """
        wavs, wav_lens = batch.sig
        is_training = stage == sb.Stage.TRAIN
        if is_training and self.hparams.wav_augment is not None:
            wavs, wav_lens = self.hparams.wav_augment(wavs, wav_lens)
        epoch = self.hparams.epoch_counter.current
        feats, lengths = extract(self.modules, wavs, wav_lens, epoch)
        if is_training and self.hparams.fea_augment is not None:
            rel_lens = lengths / feats.shape[1]
            feats, _ = self.hparams.fea_augment(feats, rel_lens)
        return feats, lengths

    def gates(self, stage: sb.Stage) -> list[Gates]:
        """Gates of this batch: drawn in training, else of `valid_depths`.

        Arguments
        ---------
        stage : sb.Stage
            The stage.

        Returns
        -------
        list of tuple of bool
        """
        if stage == sb.Stage.TRAIN:
            return [self.gate_sampler(self.optimizer_step)]
        return [
            gates_from_layers(evenly_spread(n, self.n_total), self.n_total)
            for n in self.valid_depths
        ]

    def compute_objectives(
        self, predictions: Predictions, batch: Any, stage: sb.Stage
    ) -> torch.Tensor:
        """CTC + KL(teacher || student), averaged over the batch (DLD).

        Arguments
        ---------
        predictions : Predictions
            Of `compute_forward`.
        batch : PaddedBatch
            Has `tokens` and `wrd`.
        stage : sb.Stage
            The stage.

        Returns
        -------
        torch.Tensor
            Scalar, nats per utterance.
        """
        tokens, token_lens = batch.tokens
        token_lengths = absolute_lengths(token_lens, tokens.shape[1])
        terms = []
        for out in predictions.students.values():
            needed = losses.ctc_frames_needed(tokens, token_lengths)
            self.sums["impossible"] += int((needed > out.lengths).sum())
            ctc = losses.ctc(*out, tokens, token_lengths, BLANK_ID)
            self.sums["ctc"] += float(ctc.detach().sum())
            terms.append(self.hparams.ctc_weight * ctc)
            if predictions.teacher is not None:
                kl = losses.kl(
                    predictions.teacher.log_probs, out.log_probs, out.lengths
                )
                self.sums["kl"] += float(kl.detach().sum())
                terms.append(self.hparams.kl_weight * kl)
        self.sums["utterances"] += len(tokens)
        if stage != sb.Stage.TRAIN:
            self.score(predictions, batch)
        loss = torch.stack(terms).sum(0).mean() / len(predictions.students)
        return loss * self.share_of_batch(len(tokens), stage)

    def share_of_batch(self, n_utterances: int, stage: sb.Stage) -> float:
        """Weight that makes DDP's mean over ranks one over utterances.

        Arguments
        ---------
        n_utterances : int
            Utterances of this rank.
        stage : sb.Stage
            The stage.

        Returns
        -------
        float
            1 where there is one process, or all ranks have as many.
        """
        if stage != sb.Stage.TRAIN or not self.distributed_launch:
            return 1.0
        total = torch.tensor(float(n_utterances), device=self.device)
        ddp_all_reduce(total, torch.distributed.ReduceOp.SUM)
        world_size = torch.distributed.get_world_size()
        return n_utterances * world_size / float(total)

    def score(self, predictions: Predictions, batch: Any) -> None:
        """Adds a batch to the WER of each depth.

        Arguments
        ---------
        predictions : Predictions
            Of `compute_forward`.
        batch : PaddedBatch
            Has `id` and `wrd`.
        """
        references = [text.split() for text in batch.wrd]
        for n_layers, out in predictions.students.items():
            hypotheses = [text.split() for text in self.decoder(out)]
            self.wer[n_layers].append(batch.id, hypotheses, references)

    def fit_batch(self, batch: Any) -> torch.Tensor:
        """One batch; the last group of an epoch is stepped on as well.

        SpeechBrain's own throws away the gradients of an incomplete group
        of `grad_accumulation_factor` batches.

        Arguments
        ---------
        batch : PaddedBatch
            The batch.

        Returns
        -------
        torch.Tensor
            The loss, detached, on the CPU.
        """
        factor = self.grad_accumulation_factor
        is_last = self.step == self.n_train_batches
        should_step = self.step % factor == 0 or is_last
        group_start = (self.step - 1) // factor * factor
        group_size = min(factor, self.n_train_batches - group_start)
        self.on_fit_batch_start(batch, should_step)
        with self.no_sync(not should_step):
            with self.training_ctx:
                outputs = self.compute_forward(batch, sb.Stage.TRAIN)
                loss = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
            scaled_loss = self.scaler.scale(loss / group_size)
            self.check_loss_isfinite(scaled_loss)
            scaled_loss.backward()
        if should_step:
            self.hparams.lr_scheduler(self.optimizer)
            self.optimizers_step()
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        return loss.detach().cpu()

    def optimizers_step(self) -> None:
        """Clips all parameter groups together and steps.

        SpeechBrain's own clips the first group of each optimizer only.
        """
        parameters = [
            parameter
            for group in self.optimizer.param_groups
            for parameter in group["params"]
        ]
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
        if not self.scaler.is_enabled() and self.skip_nonfinite_grads:
            self.check_gradients()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer_step += 1

    def _fit_train(self, train_set: Any, epoch: int, enable: bool) -> None:
        self.n_train_batches = len(train_set)
        super()._fit_train(train_set, epoch, enable)

    def make_dataloader(self, dataset: Any, stage: sb.Stage, **kwargs) -> Any:
        """Makes a loader; batches by seconds are reshuffled every epoch.

        Arguments
        ---------
        dataset : DynamicItemDataset
            The data.
        stage : sb.Stage
            The stage.
        **kwargs : dict
            Options of the loader.

        Returns
        -------
        DataLoader
        """
        loader = super().make_dataloader(dataset, stage, **kwargs)
        if self.train_sampler is None and "batch_sampler" in kwargs:
            # Brain calls its set_epoch: the order is a function of the
            # epoch, also after a resume.
            self.train_sampler = kwargs["batch_sampler"]
        return loader

    def on_stage_start(
        self, stage: sb.Stage, epoch: Optional[int] = None
    ) -> None:
        """Starts the counts of a stage.

        Arguments
        ---------
        stage : sb.Stage
            The stage.
        epoch : int, optional
            The epoch.
        """
        self.sums = Counter()
        self.stage_started = time.monotonic()
        self.wer = {n: ErrorRateStats() for n in self.valid_depths}

    def on_stage_end(
        self, stage: sb.Stage, stage_loss: float, epoch: Optional[int] = None
    ) -> None:
        """Logs a stage; after validation, saves a checkpoint.

        Arguments
        ---------
        stage : sb.Stage
            The stage.
        stage_loss : float
            Mean loss of its batches.
        epoch : int, optional
            The epoch.
        """
        stats = self.stage_stats(stage_loss)
        if stage == sb.Stage.TRAIN:
            self.train_stats = stats
            return
        wers = {n: s.summarize("error_rate") for n, s in self.wer.items()}
        stats["WER"] = sum(wers.values()) / len(wers)
        if len(wers) > 1:
            stats.update({f"WER n={n}": wer for n, wer in wers.items()})
        meta = {
            "epoch": epoch,
            "steps": self.optimizer_step,
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        for train_logger in self.hparams.train_loggers:
            train_logger.log_stats(meta, self.train_stats, stats)
        self.checkpointer.save_and_keep_only(
            meta={"WER": stats["WER"], "epoch": epoch},
            min_keys=["WER"],
            num_to_keep=self.hparams.avg_checkpoints,
        )

    def stage_stats(self, stage_loss: float) -> dict[str, float]:
        """What is logged of a stage.

        Arguments
        ---------
        stage_loss : float
            Mean loss of its batches.

        Returns
        -------
        dict
            Losses in nats an utterance, seconds, and the utterances whose
            target CTC cannot emit, if there were any.
        """
        n_utterances = max(1, self.sums["utterances"])
        stats = {"loss": float(stage_loss)}
        for name in ("ctc", "kl"):
            if name in self.sums:
                stats[name] = self.sums[name] / n_utterances
        stats["seconds"] = time.monotonic() - self.stage_started
        if self.sums["impossible"]:
            stats["impossible"] = self.sums["impossible"]
            logger.warning(
                "%d transcripts have more tokens than CTC can emit in "
                "their frames; they gave no gradient",
                self.sums["impossible"],
            )
        return stats

    def load_average(self) -> None:
        """Loads the mean of the best checkpoints into the model.

        Raises
        ------
        ValueError
            If there is no checkpoint.
        """
        n = self.hparams.avg_checkpoints
        state = average_best(self.checkpointer, "model", "WER", n)
        self.checkpointer.recover_if_possible(min_key="WER")
        self.plain_modules()["model"].load_state_dict(state, strict=True)

    def plain_modules(self) -> dict[str, torch.nn.Module]:
        """The modules without DDP's wrappers, in eval mode.

        Returns
        -------
        dict of str to torch.nn.Module
        """
        wrapper = torch.nn.parallel.DistributedDataParallel
        self.modules.eval()
        return {
            name: module.module if isinstance(module, wrapper) else module
            for name, module in self.modules.items()
        }
