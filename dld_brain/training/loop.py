"""SpeechBrain's training loop, without the defects that bite us."""

import random
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Optional

import numpy as np
import torch

import speechbrain as sb
from dld_brain.training.nonfinite import Group, Patience
from dld_brain.training.progress import Progress
from speechbrain.utils.distributed import ddp_all_reduce

#: Children of a model that are no part of its body.
HEADS = ("head", "pool", "per_depth")


class Loop(sb.Brain):
    """What `speechbrain.Brain` 1.1.2 does, but for these:

    - the last, incomplete group of `grad_accumulation_factor` batches of
      an epoch is stepped on, not thrown away;
    - all parameter groups of the optimizer are clipped, together, not the
      first alone;
    - batches by seconds are reshuffled every epoch on one process, too;
    - the learning rate is set before a step, not after it, and parts of the
      model may have one of their own;
    - `--optimizer_step_limit`, which it leaves a string, is a number;
    - `share_of_batch` makes the mean over ranks one over utterances;
    - a step whose loss or gradient is not finite is skipped whole, on all
      ranks; `--nonfinite_patience` counts those in a row, not those of an
      epoch, and `--skip_nonfinite_grads`, which steps on the rest, does
      nothing;
    - each batch seeds the generators that dropout and augmentation draw
      from, so that a resumed run goes on as if it had not stopped; a
      checkpoint within an epoch waits for the end of a step;
    - one bar runs over the whole training, not one over each epoch;
    - DDP is told that parameters may be unused: a closed layer has no
      gradient.

    Arguments
    ---------
    schedule : callable
        Sets the learning rate of an optimizer's next step.
    lr_factors : mapping of str to float, optional
        Learning rates of parts of the model, relative to that of the rest,
        by the name of a module of `modules.model`. A part of 0 is frozen: it
        has no gradient.
    freeze_body_steps : int
        Steps at the beginning in which the head learns alone.
    progress : Progress, optional
        The bar of the run.
    seed : int
        Key of what batches draw, beside epoch, batch and rank.
    **kwargs : dict
        Forwarded to `speechbrain.Brain`.
    """

    def __init__(
        self,
        *args: Any,
        schedule: Callable[[torch.optim.Optimizer], None],
        lr_factors: Optional[Mapping[str, float]] = None,
        freeze_body_steps: int = 0,
        progress: Optional[Progress] = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.find_unused_parameters = True
        if self.optimizer_step_limit is not None:
            self.optimizer_step_limit = int(self.optimizer_step_limit)
        self.lr_scheduler = schedule
        self.lr_factors = dict(lr_factors or {})
        self.freeze_body_steps = freeze_body_steps
        self.body: list[torch.nn.Parameter] = []  # what of it learns
        self.progress = progress or Progress("training", 1, 1.0, is_shown=False)
        self.seed = seed
        self.n_train_batches = 0
        self.epoch = 1
        self.group = Group()
        self.patience = Patience(self.nonfinite_patience)

    def init_optimizers(self) -> None:
        """Makes the optimizer, of a group for each learning rate."""
        groups: dict[float, list[torch.nn.Parameter]] = {}
        self.body = []
        for name, value in self.plain_modules()["model"].named_parameters():
            factor = self._lr_factor(name)
            if factor == 0:
                value.requires_grad_(False)
                continue
            if value.requires_grad and name.split(".")[0] not in HEADS:
                self.body.append(value)
            groups.setdefault(factor, []).append(value)
        if set(groups) == {1.0}:
            super().init_optimizers()
            return
        self.optimizer = self.opt_class(
            [
                {"params": parameters, "lr_factor": factor}
                for factor, parameters in groups.items()
            ]
        )
        self.optimizers_dict = {"opt_class": self.optimizer}
        if self.checkpointer is not None:
            self.checkpointer.add_recoverable("optimizer", self.optimizer)

    def _lr_factor(self, name: str) -> float:
        """That of the longest name in `lr_factors` that a parameter is of."""
        parts = name.split(".")
        for n in range(len(parts), 0, -1):
            if (found := ".".join(parts[:n])) in self.lr_factors:
                return self.lr_factors[found]
        return 1.0

    def fit_batch(self, batch: Any) -> torch.Tensor:
        """One batch; the last group of an epoch is stepped on as well.

        SpeechBrain's own throws away the gradients of an incomplete group
        of `grad_accumulation_factor` batches.
        """
        factor = self.grad_accumulation_factor
        is_last = self.step == self.n_train_batches
        should_step = self.step % factor == 0 or is_last
        group_start = (self.step - 1) // factor * factor
        group_size = min(factor, self.n_train_batches - group_start)
        if self.step == group_start + 1:
            self.group = Group()
        self.seed_generators()
        self.on_fit_batch_start(batch, should_step)
        if self.freeze_body_steps:
            is_learning = self.optimizer_step >= self.freeze_body_steps
            for parameter in self.body:
                parameter.requires_grad_(is_learning)
        with self.no_sync(not should_step):
            with self.training_ctx:
                outputs = self.compute_forward(batch, sb.Stage.TRAIN)
                loss = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
            self.group.is_finite &= bool(loss.isfinite())
            self.scaler.scale(loss / group_size).backward()
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        if should_step:
            self.optimizers_step()
        return loss.detach().cpu()

    def n_updates(self) -> int:
        """Updates of the whole training, if all epochs are as this one is."""
        steps = ceil(self.n_train_batches / self.grad_accumulation_factor)
        n_updates = steps * self.epoch_counter.limit
        return min(n_updates, self.optimizer_step_limit or n_updates)

    def rng(self) -> np.random.Generator:
        """A generator of this batch alone, on this rank."""
        is_one = not self.distributed_launch
        rank = 0 if is_one else torch.distributed.get_rank()
        return np.random.default_rng([self.seed, rank, self.epoch, self.step])

    def seed_generators(self) -> None:
        """Seeds what dropout and SpeechBrain's augmenters draw from.

        By what this batch is, not by what was drawn before it: a run that
        resumes here, whatever its workers, draws the same.
        """
        python, numpy, pytorch = self.rng().integers(2**32, size=3).tolist()
        random.seed(python)
        np.random.seed(numpy)
        torch.manual_seed(pytorch)  # of all devices

    def set_learning_rates(self) -> None:
        """Sets the scheduled rate; of a group, times its `lr_factor`."""
        self.lr_scheduler(self.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] *= group.get("lr_factor", 1.0)

    def optimizers_step(self) -> None:
        """Clips all parameter groups together and steps, if all is finite.

        SpeechBrain's own clips the first group of each optimizer only. A
        step that is skipped leaves weights, optimizer, schedule, count of
        steps and clock as they are.
        """
        parameters = [
            parameter
            for group in self.optimizer.param_groups
            for parameter in group["params"]
        ]
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
        is_finite = self.group.is_finite and bool(norm.isfinite())
        if self.sum_over_ranks(not is_finite) == 0:
            self.set_learning_rates()
            self.scaler.step(self.optimizer)
            self.optimizer_step += 1
            self.patience.taken()
            self.on_step_end(is_taken=True)
        else:
            self.on_step_end(is_taken=False)
            self._skip_step()
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def on_step_end(self, is_taken: bool) -> None:
        """Called behind a step of `group`, or where it was skipped."""

    def _skip_step(self) -> None:
        """Names a step that is not taken; too many in a row are an error."""
        is_scaled = self.scaler.is_enabled() and self.scaler.get_scale() > 1
        if is_scaled and not self.sum_over_ranks(not self.group.is_finite):
            return  # GradScaler looks for its scale so: nothing is wrong
        self.patience.skipped(
            self.group.to_blame(),
            f"the weights are still those of step {self.optimizer_step}; try "
            f"a lower --lr (here {self.optimizer.param_groups[0]['lr']:g}), "
            f"a lower --max_grad_norm, --precision=fp32 or bf16 (here "
            f"{self.precision})",
        )

    def _should_save_intra_epoch_ckpt(self, *args: Any) -> bool:
        """Whether it is time, between two optimizer steps.

        SpeechBrain's own may save within a group of batches, whose
        gradients no checkpoint holds.
        """
        factor = self.grad_accumulation_factor
        is_between = self.step % factor == 0
        return is_between and super()._should_save_intra_epoch_ckpt(*args)

    def _fit_train(self, train_set: Any, epoch: int, enable: bool) -> None:
        self.n_train_batches, self.epoch = len(train_set), epoch
        self.progress.start_epoch(epoch, len(train_set))
        super()._fit_train(train_set, epoch, enable=False)

    def _fit_valid(self, valid_set: Any, epoch: int, enable: bool) -> None:
        super()._fit_valid(valid_set, epoch, enable=False)

    def make_dataloader(self, dataset: Any, stage: sb.Stage, **kwargs) -> Any:
        """Makes a loader; batches by seconds are reshuffled every epoch."""
        loader = super().make_dataloader(dataset, stage, **kwargs)
        if self.train_sampler is None and "batch_sampler" in kwargs:
            # Brain calls its set_epoch: the order is a function of the
            # epoch, also after a resume.
            self.train_sampler = kwargs["batch_sampler"]
        return loader

    def share_of_batch(self, n_utterances: int, stage: sb.Stage) -> float:
        """Weight that makes DDP's mean over ranks one over utterances.

        Returns
        -------
        float
            1 where there is one process, or all ranks have as many.
        """
        if stage != sb.Stage.TRAIN or not self.distributed_launch:
            return 1.0
        total = self.sum_over_ranks(n_utterances)
        return n_utterances * torch.distributed.get_world_size() / total

    def sum_over_ranks(self, value: float) -> float:
        """Sums a number over all processes of a training."""
        if not self.distributed_launch:
            return float(value)
        total = torch.tensor(float(value), device=self.device)
        ddp_all_reduce(total, torch.distributed.ReduceOp.SUM)
        return float(total)

    def plain_modules(self) -> dict[str, torch.nn.Module]:
        """The modules without DDP's wrappers, in eval mode."""
        wrapper = torch.nn.parallel.DistributedDataParallel
        self.modules.eval()
        return {
            name: module.module if isinstance(module, wrapper) else module
            for name, module in self.modules.items()
        }
