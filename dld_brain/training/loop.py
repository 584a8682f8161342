"""SpeechBrain's training loop, without the defects that bite us."""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Optional

import torch

import speechbrain as sb
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
    - one bar runs over the whole training, not one over each epoch;
    - DDP is told that parameters may be unused: a closed layer has no
      gradient.

    Arguments
    ---------
    schedule : callable
        Sets the learning rate of an optimizer's next step.
    lr_factors : mapping of str to float, optional
        Learning rates of parts of the model, relative to that of the rest,
        by the name of a child of `modules.model`.
    freeze_body_steps : int
        Steps at the beginning in which the head learns alone.
    progress : Progress, optional
        The bar of the run.
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
        self.n_train_batches = 0

    def init_optimizers(self) -> None:
        """Makes the optimizer, of a group for each learning rate."""
        groups: dict[float, list[torch.nn.Parameter]] = {}
        self.body = []
        for name, part in self.plain_modules()["model"].named_children():
            if name not in HEADS:
                self.body += [p for p in part.parameters() if p.requires_grad]
            factor = self.lr_factors.get(name, 1.0)
            groups.setdefault(factor, []).extend(part.parameters())
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
        self.on_fit_batch_start(batch, should_step)
        if self.freeze_body_steps:
            is_learning = self.optimizer_step >= self.freeze_body_steps
            for parameter in self.body:
                parameter.requires_grad_(is_learning)
        with self.no_sync(not should_step):
            with self.training_ctx:
                outputs = self.compute_forward(batch, sb.Stage.TRAIN)
                loss = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
            scaled_loss = self.scaler.scale(loss / group_size)
            self.check_loss_isfinite(scaled_loss)
            scaled_loss.backward()
        if should_step:
            self.set_learning_rates()
            self.optimizers_step()
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        return loss.detach().cpu()

    def n_updates(self) -> int:
        """Updates of the whole training, if all epochs are as this one is."""
        steps = ceil(self.n_train_batches / self.grad_accumulation_factor)
        n_updates = steps * self.epoch_counter.limit
        return min(n_updates, self.optimizer_step_limit or n_updates)

    def set_learning_rates(self) -> None:
        """Sets the scheduled rate; of a group, times its `lr_factor`."""
        self.lr_scheduler(self.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] *= group.get("lr_factor", 1.0)

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
