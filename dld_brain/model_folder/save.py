"""Writes a model folder, whole."""

import inspect
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch

import dld_brain
from dld_brain.depth_table import DepthTable
from dld_brain.files.finite import check_finite, state_of
from dld_brain.files.manifest import read_json, write_manifest
from dld_brain.files.whole import whole_folder
from dld_brain.model_folder.card import write_card
from dld_brain.model_folder.safe_yaml import OBJECTS, Made, Ref, write_value
from dld_brain.model_folder.weights import save_state
from dld_brain.tasks import Task

TRAINING, REPORT = "training.json", "depth_report.json"


class Front(NamedTuple):
    """What stands in front of an encoder, as hyperparams.yaml has it.

    Arguments
    ---------
    features : str
        A name of `dld_brain.__all__`.
    options : mapping of str to str
        By argument of the features, the setting that is its value.
    norm : mapping
        Arguments of `FeatureNorm`.
    """

    features: str
    options: Mapping[str, str]
    norm: Mapping[str, Any]


LOG_MELS = Front(
    "LogMel",
    {
        "sample_rate": "sample_rate",
        "n_fft": "n_fft",
        "n_mels": "n_mels",
        "win_length": "window_ms",
        "hop_length": "hop_ms",
    },
    {"norm_type": "global"},
)
#: By the encoder that has it.
FRONTS = {
    "conformer": LOG_MELS._replace(
        options={**LOG_MELS.options, "top_db": "top_db"}
    ),
    "parakeet": Front(
        "ParakeetMel",
        {
            "sample_rate": "sample_rate",
            "n_fft": "n_fft",
            "n_mels": "n_mels",
            "win_length": "window_ms",
            "hop_length": "hop_ms",
            "preemphasis": "preemphasis",
        },
        {"norm_type": "sentence", "enabled": False},
    ),
    "wav2vec2_bert": Front(
        "SeamlessMel",
        {
            "sample_rate": "sample_rate",
            "n_mels": "n_mels",
            "n_stacked": "n_stacked",
        },
        {"norm_type": "sentence", "enabled": False},
    ),
    "transformer_asr": LOG_MELS,
    "wavlm": Front(
        "Waveform",
        {},
        {"norm_type": "sentence", "enabled": Ref("normalize_wav")},
    ),
    "whisper": Front(
        "WhisperMel",
        {"sample_rate": "sample_rate", "n_mels": "n_mels"},
        {"norm_type": "sentence", "enabled": False},
    ),
}


def save_model(
    folder: str,
    modules: Mapping[str, torch.nn.Module],
    task: Task,
    table: DepthTable,
    settings: Mapping[str, Any],
    training: Optional[Mapping[str, Any]] = None,
) -> None:
    """Writes a model so that interfaces and students can read it.

    Arguments
    ---------
    folder : str
        Where to; what is there is replaced.
    modules : mapping of str to torch.nn.Module
        `compute_features`, `normalize` and `model`.
    task : Task
        What it is for, with its vocabulary.
    settings : mapping
        `architecture`, and the arguments of its factory and features; others
        are not looked at.
    training : mapping, optional
        What it was trained on; see `dld_brain.run.finish`.
    """
    for name in ("model", "normalize"):
        check_finite(state_of(modules[name]), f"{folder}: {name}")
    with whole_folder(Path(folder)) as path:
        text = describe(modules["model"], task, settings, training or {})
        (path / "hyperparams.yaml").write_text(text, encoding="utf-8")
        save_state(path, modules)
        task.save(path / task.file)
        table.save(str(path))
        content = {
            **(training or {}),
            "package_version": dld_brain.__version__,
            "commit": commit(),
            "report": None,
        }
        _write_json(path / TRAINING, content)
        write_card(path, task, table, content)
        write_manifest(path)


def add_report(
    folder: str, task: Task, table: DepthTable, write: Callable[[str], Any]
) -> Any:
    """Adds what an evaluation found to a model folder, whole.

    Arguments
    ---------
    write : callable
        Writes depth_report.json and what goes with it into a folder.

    Returns
    -------
    Any
        What `write` gives.
    """
    with whole_folder(Path(folder), keep=True) as path:
        found = write(str(path))
        report = read_json(path / REPORT)
        content = {**read_json(path / TRAINING), "report": report["sets"]}
        _write_json(path / TRAINING, content)
        write_card(path, task, table, content)
        write_manifest(path)
    return found


def describe(
    model: torch.nn.Module,
    task: Task,
    settings: Mapping[str, Any],
    training: Mapping[str, Any],
) -> str:
    """The hyperparams.yaml of a model, of its factory's own arguments."""
    kind = settings["architecture"]
    factory = getattr(dld_brain, f"{kind}_encoder")
    names = list(inspect.signature(factory).parameters)
    keys = ["sample_rate", *FRONTS[kind].options.values(), *names]
    values = {key: _plain(settings[key]) for key in keys}
    values["n_total"] = model.n_total
    values["text_case"] = task.text_case
    if "source" in names:  # the weights are here: no source is asked
        values["source"] = None
        values["config"] = _plain(settings["full_config"])
    n_params = sum(p.numel() for p in model.parameters())
    corpus = training.get("corpus") or "a corpus without a name"
    task_name = settings["task"]
    head = (
        f"# yamllint disable\n"
        f"# A {kind} for {task_name} with {model.n_total} layers and "
        f"{len(task.symbols)} {task.symbol}s:\n"
        f"# {n_params:,} parameters, trained on {' '.join(corpus.split())}.\n"
        f"# Its depth is chosen at each call: see README.md.\n"
    )
    lines = [f"{key}: {write_value(value)}" for key, value in values.items()]
    return head + "\n".join(lines) + "\n\n" + _objects(kind, names)


def _objects(kind: str, names: list[str]) -> str:
    """The part of hyperparams.yaml that names the facade."""
    front = FRONTS[kind]
    options = {name: Ref(key) for name, key in front.options.items()}
    keys = ("compute_features", "normalize", "model")
    loader = ("model", "normalize", "task", "sample_rate", "text_case")
    return _block(
        {
            "compute_features": Made(front.features, options),
            "normalize": Made("FeatureNorm", front.norm),
            "model": Made(f"{kind}_encoder", {n: Ref(n) for n in names}),
            "modules": {key: Ref(key) for key in keys},
            "pretrainer": Made("ModelLoader", {k: Ref(k) for k in loader}),
        }
    )


def _block(content: Mapping[str, Any]) -> str:
    """Objects and maps of references, a line an argument."""
    lines = []
    for key, value in content.items():
        tag = ""
        if isinstance(value, Made):
            tag = next(t for t, name in OBJECTS.items() if name == value.name)
            value = value.arguments
        lines.append(f"{key}: {tag}".rstrip())
        for name, argument in value.items():
            is_ref = isinstance(argument, Ref)
            text = f"!ref <{argument.key}>" if is_ref else argument
            lines.append(f"    {name}: {text}")
    return "\n".join(lines) + "\n"


def commit() -> Optional[str]:
    """Commit of this package, where it is a clone; else None."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _plain(value: Any) -> Any:
    """A value without the classes that YAML readers give it."""
    return json.loads(json.dumps(value))


def _write_json(path: Path, content: Any) -> None:
    """Writes JSON."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
