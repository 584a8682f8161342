"""What trains in a run: its Brain, and the speech that it is fitted on."""

from collections.abc import Mapping
from math import inf
from typing import Any, Optional

import torch

from dld_brain.audio.dataset import (
    make_dataset,
    merged_csv,
    train_loader_options,
)
from dld_brain.audio.speech_dataset import SpeechDataset
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.gates.sampler import GateSampler
from dld_brain.run.decoder_depths import with_decoder_gates
from dld_brain.run.own_speech import most_tokens
from dld_brain.run.sections import Losses, Optimisation
from dld_brain.run.settings import Settings
from dld_brain.run.start import gates_with_table
from dld_brain.tasks import Task
from dld_brain.training.augmentation import Augmentation
from dld_brain.training.brain import DLDBrain
from dld_brain.training.clock import layer_passes
from dld_brain.training.keeping import Keeping
from dld_brain.training.objectives import Weights


def make_brain(
    settings: Settings,
    hparams: dict[str, Any],
    run_opts: Any,
    *,
    task: Task,
    gate_sampler: Any,
    teacher: Optional[Mapping[str, torch.nn.Module]] = None,
    longest: float = inf,
    **changes: Any,
) -> DLDBrain:
    """Makes the Brain of a run.

    Arguments
    ---------
    hparams : dict
        The objects that the hparams file makes, for SpeechBrain.
    longest : float
        The longest utterance of training, s.
    **changes : dict
        Other arguments of `DLDBrain`, which win.
    """
    losses, optimisation = settings.losses, settings.optimisation
    arguments = {
        "modules": hparams["modules"],
        "opt_class": hparams["opt_class"],
        "checkpointer": hparams["checkpointer"],
        "train_loggers": [hparams["train_logger"]],
    }
    return DLDBrain(
        hparams=hparams,
        run_opts=run_opts,
        task=task,
        gate_sampler=gate_sampler,
        teacher=teacher,
        divergence=losses.distillation.make(),
        schedule=optimisation.schedule.make(lr=optimisation.lr),
        chunk_sampler=losses.streaming.make(seed=settings.start.seed),
        weights=_weights(losses),
        lr_factors=lr_factors(
            optimisation, arguments["modules"]["model"].n_total
        ),
        freeze_body_steps=optimisation.freeze_body_steps,
        keeping=_keeping(settings),
        augmentation=_augmentation(settings, hparams, longest),
        epoch_counter=hparams["epoch_counter"],
        seed=settings.start.seed,
        sample_rate=settings.encoder.sample_rate,
        valid_depths=list(optimisation.valid_depths),
        **{**arguments, **changes},
    )


def lr_factors(told: Optimisation, n_total: int) -> dict[str, float]:
    """Learning rates of parts of a model, relative to `lr`.

    Layer i of L learns at d^(L - 1 - i), the stem at d^L, with
    `layer_lr_decay` d: what is next to the audio is most general
    (discriminative fine-tuning, https://arxiv.org/abs/1801.06146, with 1 / 2.6
    for a layer of a language model).
    """
    factors = {
        "head": told.head_lr_factor,
        "per_depth": told.head_lr_factor,
        "router": told.router_lr_factor,
    }
    if told.layer_lr_decay == 1:
        return factors
    layers = {
        f"layers.layers.{i}": told.layer_lr_decay ** (n_total - 1 - i)
        for i in range(n_total)
    }
    return {**factors, **layers, "stem": told.layer_lr_decay**n_total}


def _weights(losses: Losses) -> Weights:
    """What the terms of the loss weigh."""
    return Weights(
        task=losses.task_weight,
        teacher=losses.distillation["weight"],
        states=losses.distillation["states_weight"],
        in_place=losses.distillation["in_place_weight"],
        intermediate=losses.intermediate_weight,
    )


def _keeping(settings: Settings) -> Keeping:
    """Which checkpoints are kept."""
    told = settings.optimisation
    return Keeping(
        told.averaged,
        told.avg_checkpoints,
        told.keep_epochs,
        settings.start.save_folder,
    )


def _augmentation(
    settings: Settings, hparams: dict[str, Any], longest: float
) -> Augmentation:
    """What becomes of the audio in training."""
    told = settings.data
    return Augmentation(
        hparams["wav_augment"] if told.speed_perturb else None,
        hparams["fea_augment"] if told.feature_drops else None,
        told.no_speech,
        told.no_speech_around,
        longest,
    )


def make_gate_sampler(settings: Settings, model: DynamicEncoder) -> GateSampler:
    """Makes what decides, in each step of a run, which layers run.

    Raises
    ------
    ValueError
        If the full depth is to teach, and they do not run it; or if they do
        not go with what a frame sees.
    """
    gates = gates_with_table(settings.losses.gates)
    sampler = gates.make(n_total=model.n_total, seed=settings.start.seed)
    sampler = with_decoder_gates(sampler, settings, model)
    in_place = settings.losses.distillation["in_place_weight"]
    if in_place and not sampler.has_full_depth:
        raise ValueError(
            f"`distillation.in_place_weight` needs gates that run the "
            f"full depth in every step (--gates=sandwich), but "
            f"{gates.name} do not"
        )
    chunks = settings.losses.streaming.make(seed=settings.start.seed)
    if chunks is not None:
        chunks.check(sampler)
    return sampler


def mean_passes(
    settings: Settings, gate_sampler: GateSampler, n_total: int
) -> float:
    """Layer passes of a step of training, in the mean of some."""
    n_teacher = n_total if settings.start.teacher else 0
    passes = [
        layer_passes(gate_sampler(step), n_total, n_teacher)
        for step in range(100)
    ]
    return sum(passes) / len(passes)


def speech_sets(
    settings: Settings, task: Task, csv_folder: str
) -> tuple[SpeechDataset, SpeechDataset]:
    """The datasets that a run trains on, and that it is validated by.

    Raises
    ------
    ValueError
        If they do not fit the vocabulary, or hold nothing to train on.
    """
    told, save_folder = settings.data, settings.start.save_folder
    train_set, valid_set = (
        make_dataset(
            merged_csv(csv_folder, splits, save_folder),
            told.data_folder,
            task,
            settings.encoder.sample_rate,
            max_seconds,
            told.max_unspellable,
            only_readable,
            max_tokens=most_tokens(settings),
        )
        for splits, max_seconds, only_readable in (
            (told.train_splits, told.max_train_seconds or inf, False),
            (told.valid_splits, inf, not told.is_decoded),
        )
    )
    return train_set, valid_set


def fit(
    brain: DLDBrain,
    settings: Settings,
    train_set: SpeechDataset,
    valid_set: SpeechDataset,
) -> None:
    """Trains on the speech of a run; see `speech_sets`."""
    told = settings.data
    brain.fit(
        brain.epoch_counter,
        train_set,
        valid_set,
        train_loader_kwargs=train_loader_options(
            train_set,
            batch_size=told.batch_size,
            max_batch_seconds=told.max_batch_seconds,
            num_buckets=told.num_buckets,
            num_workers=told.num_workers,
            seed=settings.start.seed,
        ),
        valid_loader_kwargs={"batch_size": settings.evaluation.test_batch_size},
    )
