"""README.md of a model folder: a model card of Hugging Face."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from dld_brain.depth_table import DepthTable
from dld_brain.model_folder.loader import INTERFACES
from dld_brain.tasks import Task

CARD = "README.md"
PIPELINES = {
    "transcription": "automatic-speech-recognition",
    "classification": "audio-classification",
    "seq2seq": "automatic-speech-recognition",
}
#: What the shell says for it.
VERBS = {
    "transcription": "transcribe",
    "classification": "classify",
    "seq2seq": "transcribe",
}
#: By what the shell says.
LOAD = {
    "transcribe": """\
from pretrained_interfaces import {interface}

asr = {interface}.from_hparams("{name}")
asr.transcribe_file("speech.wav", n_layers={n})""",
    "classify": """\
from pretrained_interfaces import {interface}

classifier = {interface}.from_hparams("{name}")
classifier.classify_file("speech.wav", n_layers={n}).text_lab""",
}
#: Of training.json, what is told elsewhere in the card.
TOLD = ("report", "license", "base_model", "stored")


def write_card(
    folder: Path,
    task: Task,
    table: DepthTable,
    training: Mapping[str, Any],
    name: Optional[str] = None,
) -> None:
    """Writes the card.

    Arguments
    ---------
    training : mapping
        What training.json has.
    name : str, optional
        `owner/name` where it is on the Hub.
    """
    header = _header(task, training, name)
    text = f"---\n{header}---\n{_body(task, table, training, name)}"
    (folder / CARD).write_text(text, encoding="utf-8")


def _scores(training: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Test set and row of what was scored with one set of layers a depth."""
    return [
        (name, row)
        for name, rows in (training.get("report") or {}).items()
        for row in rows
        if row.get("layers") is not None
    ]


def _header(
    task: Task, training: Mapping[str, Any], name: Optional[str]
) -> str:
    """What the Hub reads: YAML, its values in JSON, which YAML contains."""
    pipeline, corpus = PIPELINES[task.name], training.get("corpus")
    # No licence that nobody stated: weights may be of a model under another.
    stated = training.get("license")
    fields: dict[str, Any] = {
        **({"license": stated} if stated else {}),
        "library_name": "speechbrain",
        "pipeline_tag": pipeline,
        "tags": ["speechbrain", "dynamic-depth", "layer-dropping", "dld"],
    }
    if training.get("language"):
        fields["language"] = training["language"]
    if training.get("base_model"):
        fields["base_model"] = training["base_model"]
    if corpus:
        fields["datasets"] = [corpus]
    results = [
        _result(task, corpus, split, row) for split, row in _scores(training)
    ]
    if results:
        model = (name or f"dld-{(corpus or 'own').lower()}").split("/")[-1]
        fields["model-index"] = [{"name": model, "results": results}]
    return "".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}\n"
        for key, value in fields.items()
    )


def _result(
    task: Task, corpus: Optional[str], split: str, row: Mapping[str, Any]
) -> dict[str, Any]:
    """What a depth scored, as the Hub's model index has it."""
    metric = {
        "type": task.metric.lower(),
        "name": f"{task.metric}, {row['n_layers']} layers ({row['selection']})",
        "value": round(row["rates"][task.metric], 2),
    }
    dataset = {
        "name": f"{corpus or 'own speech'}, {split}",
        "type": corpus or "own",
        "split": split,
    }
    return {
        "task": {"type": PIPELINES[task.name]},
        "dataset": dataset,
        "metrics": [metric],
    }


def _loading(task: Task, n_layers: int, name: Optional[str]) -> list[str]:
    """How a model is loaded, from Python and from the shell."""
    verb = VERBS[task.name]
    return [
        "```python",
        LOAD[verb].format(
            n=n_layers,
            name=name or "this folder, or owner/name",
            interface=INTERFACES[task.name],
        ),
        "```",
        "",
        f"From the shell: `python -m pretrained_interfaces {verb} "
        f"--source {name or 'DIR'} --n_layers {n_layers} speech.wav`.",
    ]


def _body(
    task: Task,
    table: DepthTable,
    training: Mapping[str, Any],
    name: Optional[str],
) -> str:
    """How to load, what each depth gives, what it was trained on."""
    corpus = training.get("corpus") or "speech of its maker's own"
    lines = [
        "",
        "# One speech model that runs at any depth",
        "",
        f"Trained on {corpus}"
        f"{_amount(training)} with dld-brain, an implementation of "
        f"Distillation-based Layer Dropping ([arXiv 2601.16117](https://arxiv.org/abs/2601.16117)). How many "
        f"layers run is an argument of each call: {table.depths[0]} to "
        f"{table.depths[-1]}.",
        "",
        *_loading(task, table.depths[len(table.depths) // 2], name),
        "",
        "Loading the folder runs no code that it names, and checks every file "
        "against `manifest.json`.",
        "",
        "## Depths",
        "",
        f"Layers chosen by: {table.strategy}.",
        "",
        *_depths(task, table, training),
        "",
        "## Limits",
        "",
        *_limits(task, training),
        "",
        "## Training",
        "",
        *_facts(training),
    ]
    return "\n".join(lines) + "\n"


def _amount(training: Mapping[str, Any]) -> str:
    """The hours of speech, where they are known."""
    hours = training.get("hours")
    return f" ({hours:.4g} hours)" if hours else ""


def _depths(
    task: Task, table: DepthTable, training: Mapping[str, Any]
) -> list[str]:
    """A row for each depth: layers, parameters, what it scored."""
    rates: dict[str, dict[int, float]] = {}
    for name, row in _scores(training):
        if tuple(row["layers"]) == _layers(table, row["n_layers"]):
            by_depth = rates.setdefault(name, {})
            by_depth[row["n_layers"]] = row["rates"][task.metric]
    names = "".join(f" | {task.metric}, {name}, %" for name in rates)
    lines = [
        f"| layers | which | parameters | MACs a second of audio{names} |",
        "|---" * (4 + len(rates)) + "|",
    ]
    for row in table.rows:
        found = (by_depth.get(row.n_layers) for by_depth in rates.values())
        cells = "".join(f" | {'' if x is None else f'{x:.2f}'}" for x in found)
        which = " ".join(map(str, row.layers))
        lines.append(
            f"| {row.n_layers} | {which} | {row.params:,} "
            f"| {row.macs_per_second:.3g}{cells} |"
        )
    return lines


def _layers(table: DepthTable, n_layers: int) -> tuple[int, ...]:
    """Layers of a depth; none for a depth that the table has not."""
    return table.layers(n_layers) if n_layers in table.depths else ()


def _limits(task: Task, training: Mapping[str, Any]) -> list[str]:
    """What it cannot do, or nobody has tried, a line each."""
    sets = ", ".join(dict.fromkeys(name for name, _ in _scores(training)))
    lines = [
        f"- The fewer layers run, the more answers are wrong: the table has "
        f"the {task.metric} on {sets}."
        if sets
        else "- It was not evaluated: what its depths are worth is not known.",
        "- Noise, microphones, accents and subjects that its training has not "
        "were not tried.",
    ]
    if training.get("language"):
        lines.append(f"- Its language: {training['language']}, and no other.")
    longest = training.get("longest_utterance")
    if longest and VERBS[task.name] == "transcribe":
        lines.append(
            f"- Its longest utterance of training has {longest:.3g} s; longer "
            f"audio is cut at pauses."
        )
    stored = training.get("stored")
    if stored:
        before = ", after its scores were measured in float32" if sets else ""
        lines.append(
            f"- Its weights are stored as {stored['dtype']}{before}: that "
            f"moves the encoder's output by up to "
            f"{100 * stored['change']:.2g} %."
        )
    return lines


def _facts(training: Mapping[str, Any]) -> list[str]:
    """What training.json says, a line each."""
    shown = {k: v for k, v in training.items() if k not in TOLD}
    return [
        f"- {key.replace('_', ' ')}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in shown.items()
        if value is not None
    ]
