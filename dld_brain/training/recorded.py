"""A training that is recorded: counted, timed, logged and kept."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

import yaml

import speechbrain as sb
from dld_brain.tasks import Task
from dld_brain.training.clock import TrainingClock, device_name
from dld_brain.training.keeping import (
    ORDERS,
    Keeping,
    average_weights,
    errors,
    is_scored,
    keep_epoch,
    last_meta,
)
from dld_brain.training.loop import Loop
from dld_brain.training.stage_log import StageLog
from dld_brain.training.stage_stats import StageStats
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)


@register_checkpoint_hooks
class RecordedLoop(Loop):
    """A loop that knows what its training took, and what came of it.

    Whose losses and answers they are does not matter here: who computes
    them adds them to `stats`, and counts of a batch to `group`.

    Arguments
    ---------
    task : Task
        What the model is for: its metric ranks the checkpoints.
    epoch_counter : speechbrain.utils.epoch_loop.EpochCounter
        That of `fit`.
    valid_depths : list of int, optional
        Depths that a checkpoint is judged by; the mean of the task's
        metric over them ranks it. All layers if not given.
    **kwargs : dict
        Forwarded to `Loop`.
    """

    def __init__(
        self,
        *,
        task: Task,
        keeping: Keeping,
        epoch_counter: Any,
        train_loggers: Sequence[Any] = (),
        valid_depths: Optional[list[int]] = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.task = task
        self.keeping = keeping
        self.epoch_counter = epoch_counter
        self.log = StageLog(train_loggers)
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

    def on_fit_start(self) -> None:
        """Resumes; logs the last epoch where a kill kept it from the log."""
        super().on_fit_start()
        entry = self.checkpointer and self.last_meta().get("log")
        if entry:
            self.log.complete(json.loads(entry))

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
        self.clock.end_epoch(epoch, self.optimizer_step, self.device)
        metric, folder = self.task.metric, self.keeping.folder
        rate = f"{metric} {stats[metric]:.1f} %"
        self.progress.end_epoch(epoch, f"{rate} on validation speech")
        if epoch in self.keeping.epochs:
            keep_epoch(folder, epoch, self.plain_modules()["model"])
        meta = {
            "epoch": epoch,
            "steps": self.optimizer_step,
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        entry = {"meta": meta, "train": self.train_stats, "valid": stats}
        self.checkpointer.save_and_keep_only(
            meta={
                **meta,
                **errors(self.task, stats),
                "training": asdict(self.clock.spent),
                "log": json.dumps(entry),  # YAML would sort the keys
            },
            # SpeechBrain appends to its default list at each call, and
            # sorts all checkpoints by each entry of it.
            importance_keys=[self.order],
            num_to_keep=self.keeping.n,
        )
        self.log.write(entry)

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

    def last_meta(self) -> dict[str, Any]:
        """What the checkpoint of the last epoch says of itself."""
        return last_meta(self.checkpointer)
