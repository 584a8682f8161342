"""DLDBrain: glue between the hyperparameters and SpeechBrain's loop.

Authors
 * The dld_brain authors 2026
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

import speechbrain as sb
import torch

from dld_brain import losses
from dld_brain.checkpoints import average_best
from dld_brain.data import BLANK_ID
from dld_brain.decode import Decoder
from dld_brain.encoders.gated import EncoderOutput
from dld_brain.features import absolute_lengths, extract
from dld_brain.gates import Gates, evenly_spread, gates_from_layers
from dld_brain.loop import Loop
from dld_brain.stats import StageStats


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


class DLDBrain(Loop):
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
        self.gate_sampler = gate_sampler
        self.decoder = decoder
        self.teacher = teacher["model"] if teacher else None
        if self.teacher is not None:
            self.teacher.to(self.device).eval().requires_grad_(False)
        self.n_total = self.modules.model.n_total
        self.valid_depths = valid_depths or [self.n_total]
        self.stats = StageStats(self.valid_depths)
        if self.checkpointer is not None:
            for name in ("model", "normalize"):
                self.checkpointer.add_recoverable(name, self.modules[name])
            self.checkpointer.add_recoverables(
                {
                    "lr_scheduler": self.lr_scheduler,
                    "epoch_counter": self.hparams.epoch_counter,
                }
            )

    def init_optimizers(self) -> None:
        """Makes the optimizer; the head may learn at a rate of its own."""
        factor = self.hparams.head_lr_factor
        if factor == 1.0:
            super().init_optimizers()
            return
        model = self.plain_modules()["model"]
        head = list(model.head.parameters())
        parts = [m for name, m in model.named_children() if name != "head"]
        rest = [p for part in parts for p in part.parameters()]
        self.optimizer = self.opt_class(
            [{"params": rest}, {"params": head, "lr_factor": factor}]
        )
        self.optimizers_dict = {"opt_class": self.optimizer}
        if self.checkpointer is not None:
            self.checkpointer.add_recoverable("optimizer", self.optimizer)

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
        needed = losses.ctc_frames_needed(tokens, token_lengths)
        terms = []
        for out in predictions.students.values():
            ctc = losses.ctc(*out, tokens, token_lengths, BLANK_ID)
            self.stats.add("ctc", ctc)
            terms.append(self.hparams.ctc_weight * ctc)
            if predictions.teacher is not None:
                kl = losses.kl(
                    predictions.teacher.log_probs, out.log_probs, out.lengths
                )
                self.stats.add("kl", kl)
                terms.append(self.hparams.kl_weight * kl)
        self.stats.add_impossible(int((needed > out.lengths).sum()))
        if stage != sb.Stage.TRAIN:
            for n_layers, out in predictions.students.items():
                texts = self.decoder(out)
                self.stats.score(n_layers, batch.id, texts, batch.wrd)
        loss = torch.stack(terms).sum(0).mean() / len(predictions.students)
        return loss * self.share_of_batch(len(tokens), stage)

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
        self.stats = StageStats(self.valid_depths)

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
        stats = self.stats.summary(stage_loss)
        if stage == sb.Stage.TRAIN:
            self.train_stats = stats
            return
        meta = {
            "epoch": epoch,
            "steps": self.optimizer_step,
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        for train_logger in self.hparams.train_loggers:
            train_logger.log_stats(meta, self.train_stats, stats)
        self.checkpointer.save_and_keep_only(
            meta={**meta, "WER": stats["WER"]},
            min_keys=["WER"],
            num_to_keep=self.hparams.avg_checkpoints,
            # SpeechBrain appends to its default list at each call, and
            # sorts all checkpoints by each entry of it.
            importance_keys=[],
        )

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

    def gates_seen(self) -> Optional[dict[int, int]]:
        """How often each depth was trained: the sampler is asked again.

        Returns
        -------
        dict of int to int
            Steps by the number of open gates; None if no step is known.
        """
        found = self.checkpointer.list_checkpoints()
        n_steps = max((c.meta.get("steps", 0) for c in found), default=0)
        counts = Counter(sum(self.gate_sampler(i)) for i in range(n_steps))
        return dict(sorted(counts.items())) or None
