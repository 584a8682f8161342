"""A model folder in fewer bytes, as it ships: `export compact`."""

from pathlib import Path
from typing import Any

import torch

from dld_brain.audio.features import extract
from dld_brain.export.outgoing import Outgoing
from dld_brain.export.parity import load, noise
from dld_brain.files.console import say
from dld_brain.files.whole import whole_folder
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import PretrainedModel, load_for_inference


def write_compact(
    out: Outgoing, target: Path, dtype: str, files: list[str]
) -> list[dict[str, Any]]:
    """Writes a model folder whose weights are stored in fewer bytes.

    Arguments
    ---------
    target : Path
        A new folder.
    dtype : str
        float16 or int8.
    files : list of str
        Audio that both models transcribe.

    Returns
    -------
    list of dict
        Of each depth what `compare_stored` gives.
    """
    original = out.model
    # What was stored before has moved already, from what was scored.
    before = (out.training.get("stored") or {}).get("change", 0.0)
    with whole_folder(target) as folder:
        out.write(folder)
        out.compact(folder, dtype)
        stored = load_for_inference(str(folder))
        found = [
            compare_stored(original, stored, n, files)
            for n in original.table.depths
        ]
        change = before + max(row["change"] for row in found)
        out.describe(
            folder, more={"stored": {"dtype": dtype, "change": change}}
        )
    return found


@torch.no_grad()
def compare_stored(
    original: PretrainedModel,
    stored: PretrainedModel,
    n_layers: int,
    files: list[str],
) -> dict[str, Any]:
    """How far a model has moved by how its weights are stored.

    Returns
    -------
    dict
        `n_layers`; `change`, the largest of ||difference|| / ||output|| of
        the encoder over noise and files; `files`, and how many of their
        transcripts are `identical`.
    """
    gates = original.table.gates(n_layers, original.modules["model"].n_total)
    wavs = noise(original)
    wavs += [load(original, path).unsqueeze(0) for path in files]
    changes, texts = [], []
    for wav in wavs:
        both = [_encoded(model, wav, gates) for model in (original, stored)]
        changes.append(float((both[0] - both[1]).norm() / both[0].norm()))
    for wav in wavs[len(wavs) - len(files) :]:
        texts.append([_text(m, wav, gates) for m in (original, stored)])
    return {
        "n_layers": n_layers,
        "change": max(changes),
        "files": len(files),
        "identical": sum(a == b for a, b in texts),
    }


def _encoded(
    model: PretrainedModel, wav: torch.Tensor, gates: Gates
) -> torch.Tensor:
    """Output of the layers, [1, T', D]."""
    encoder = model.modules["model"]
    feats, lengths = extract(model.modules, wav, torch.ones(1))
    x, lengths = encoder.stem(feats, lengths)
    return encoder.run_layers(x, lengths, gates)


def _text(model: PretrainedModel, wav: torch.Tensor, gates: Gates) -> str:
    """What it answers."""
    feats, lengths = extract(model.modules, wav, torch.ones(1))
    (out,) = model.modules["model"](feats, lengths, [gates])
    return model.task.decode(out)[0]


def report(output: str, found: list[dict[str, Any]]) -> None:
    """Prints a line a depth."""
    for row in found:
        say(
            f"{output}: n = {row['n_layers']}, the encoder's output "
            f"moves by {100 * row['change']:.2g} %, {row['identical']} of "
            f"{row['files']} transcripts identical"
        )
