"""What several tests build: a tiny model, its Brain, a batch of noise."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import safetensors.torch
import torch
from sentencepiece import SentencePieceProcessor

import speechbrain as sb
from dld_brain.audio.features import extract
from dld_brain.depth_table import DepthTable
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.files.manifest import sha256, write_manifest
from dld_brain.gates.by_layer import BernoulliGates
from dld_brain.run.config import Composed, compose, load_hparams
from dld_brain.run.fitting import make_brain
from dld_brain.tasks import TranscriptionTask
from dld_brain.training.brain import DLDBrain
from speechbrain.dataio.batch import PaddedBatch

TINY = {
    "data_folder": "none",
    "output_folder": "tests/tmp/tiny",
    "teacher": "",
    "n_total": 4,
    "d_model": 16,
    "d_ffn": 32,
    "n_heads": 2,
    "kernel_size": 7,
    "n_mels": 20,
    "vocab_size": 12,
    "dropout": 0.0,
    "wav_augment": None,
    "fea_augment": None,
    "schedule.n_warmup_steps": 1,
    "lr": 0.01,
}


def tiny_hparams(**overrides: Any) -> dict[str, Any]:
    """Hyperparameters of a model of 4 layers of width 16."""
    return load_hparams(tiny_composed(**overrides))


def tiny_composed(**overrides: Any) -> Composed:
    """What a run of that model is told."""
    return compose("hparams/conformer_dld.yaml", {**TINY, **overrides})


def tiny_modules(seed: int = 0, **overrides: Any) -> dict[str, Any]:
    """Modules of the tiny model, with statistics, in eval mode."""
    modules = tiny_hparams(seed=seed, **overrides)["modules"]
    n_mels = overrides.get("n_mels", TINY["n_mels"])
    set_statistics(modules["normalize"], n_mels)
    for module in modules.values():
        module.eval()
    return modules


def set_statistics(normalize: Any, n_mels: int) -> None:
    """Gives the normaliser statistics that stay as they are."""
    normalize.glob_mean = torch.full((n_mels,), -20.0)
    normalize.glob_std = torch.full((n_mels,), 10.0)
    normalize.count = 1
    normalize.update_until_epoch = 0


def tiny_brain(
    modules: Optional[dict[str, Any]] = None,
    teacher: Optional[dict[str, Any]] = None,
    run_opts: Optional[dict[str, Any]] = None,
    checkpointer: Any = None,
    gate_sampler: Any = None,
    metric: str = "WER",
    **overrides: Any,
) -> DLDBrain:
    """A Brain round a tiny model."""
    composed = tiny_composed(**overrides)
    return make_brain(
        composed.settings(),
        load_hparams(composed),
        {"device": "cpu", **(run_opts or {})},
        modules=modules or tiny_modules(),
        checkpointer=checkpointer,
        train_loggers=[],
        gate_sampler=gate_sampler or BernoulliGates(TINY["n_total"], seed=3),
        task=transcription(
            lambda out: (["A"] * len(out.lengths), [])
        ).with_metric(metric),
        teacher=teacher,
    )


def noise(n: int, seed: int = 0, seconds: float = 0.6) -> list[dict[str, Any]]:
    """Utterances of noise, each of another length."""
    rng = torch.Generator().manual_seed(seed)
    return [
        {
            "id": f"utt{i}",
            "sig": torch.randn(
                int(16000 * seconds * (1 - 0.1 * i)), generator=rng
            ),
            "reference": "A B",
            "targets": torch.randint(1, 12, (3,), generator=rng),
        }
        for i in range(n)
    ]


def transcription(decoder: Any = None) -> TranscriptionTask:
    """A task whose tokenizer is never asked."""
    return TranscriptionTask(SentencePieceProcessor(), decoder)


def batch_of(utterances: list[dict[str, Any]]) -> PaddedBatch:
    """A padded batch."""
    return PaddedBatch(utterances)


def start(brain: DLDBrain, n_batches: int = 1) -> DLDBrain:
    """Brings a Brain to where `fit` calls `fit_batch`."""
    brain.on_fit_start()
    brain.epoch_counter.current = 1
    brain.n_train_batches = n_batches
    brain.on_stage_start(sb.Stage.TRAIN, 1)
    brain.modules.train()
    return brain


def change_weights(folder: Path, change: Callable[[dict], Any]) -> None:
    """Changes the weights of a model folder, which stays consistent."""
    path = Path(folder, "model.safetensors")
    state = safetensors.torch.load(path.read_bytes())
    change(state)
    path.write_bytes(safetensors.torch.save(state))
    table = DepthTable()
    table.read(Path(folder, "depth_table.json"))
    table.model = sha256(path)
    table.save(str(folder))
    write_manifest(Path(folder))


def change_text(folder: Path, old: str, new: str) -> None:
    """Changes hyperparams.yaml of a model folder, which stays consistent."""
    path = Path(folder, "hyperparams.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    write_manifest(Path(folder))


def far_from_new(closed="affine"):
    """A tiny model whose layers, and what passes them by, are trained."""
    model = tiny_modules(closed=closed)["model"]
    for parameter in model.layers.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def with_own_heads(modules):
    """Gives each depth of a model with `per_depth` a head that differs."""
    for parameter in modules["model"].per_depth.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return modules


@torch.no_grad()
def by_hand(modules, sig, gates):
    """Output at a depth, with the head of that depth, by its formula."""
    model = modules["model"]
    x, lengths = model.stem(*extract(modules, *sig))
    y = model.run_layers(x, lengths, gates)
    logits = model.head(y)
    if model.per_depth is not None:  # of kind "head": W and b
        own = model.per_depth[len(gates.layers) - 1]
        logits = logits + y @ own.weight.T + own.bias
    return EncoderOutput(logits.log_softmax(-1), lengths)


def output(model, feats, lengths, gates=None):
    """Log-probabilities and lengths of one run, all open if not said."""
    (out,) = model(feats, lengths, None if gates is None else [gates])
    return out[:2]


def rows(path):
    """Rows of a CSV file."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
