"""Takes a model out of here: to stock SpeechBrain, Hugging Face, ONNX.

> python -m dld_brain.export submodel --source DIR --n_layers 6 --output OUT
> python -m dld_brain.export hf --source DIR --n_layers 6 --output OUT
> python -m dld_brain.export onnx --source DIR --n_layers 2 6 --output OUT

Each ends with parity.json: how far the exported model is from the dynamic
one, on noise of several lengths and on audio files that are given.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any, Optional

import torch

from dld_brain.export import stock_speechbrain as submodel
from dld_brain.export.parity import compare, runner
from dld_brain.export.stock_huggingface import (
    huggingface_runner,
    write_huggingface,
)
from dld_brain.files.whole import whole_folder
from dld_brain.losses import BLANK_ID
from dld_brain.model_folder import PretrainedModel, load_for_inference
from dld_brain.tasks import TranscriptionTask
from speechbrain.inference.ASR import EncoderASR


def check_new(path: str) -> Path:
    """Raises if a folder is there.

    Example
    -------
    >>> check_new("dld_brain")
    Traceback (most recent call last):
    ...
    FileExistsError: `--output` must be a new folder, but dld_brain exists
    """
    if Path(path).exists():
        raise FileExistsError(
            f"`--output` must be a new folder, but {path} exists"
        )
    return Path(path)


def load_transcriber(source: str) -> PretrainedModel:
    """Reads a model that can be exported."""
    model = load_for_inference(source)
    if not isinstance(model.task, TranscriptionTask):
        raise ValueError(
            f"`--source` must be a model that transcribes, but {source} "
            f"classifies: use DynamicEncoderClassifier"
        )
    return model


def export_submodel(
    options: argparse.Namespace, folder: Path
) -> list[dict[str, Any]]:
    """Writes a model of one depth for stock SpeechBrain."""
    model = load_transcriber(options.source)
    n_total = model.modules["model"].n_total
    gates = model.table.gates(options.n_layers, n_total)
    submodel.write_submodel(model.hparams, gates, str(folder), options.output)
    is_moved = (folder / "huggingface").is_dir()
    stock = EncoderASR.from_hparams(
        source=str(folder),
        overrides={"folder": str(folder)} if is_moved else {},
    )
    return [
        compare(
            model,
            gates,
            lambda wavs: stock.encode_batch(wavs, torch.ones(1)),
            options.files,
        )
    ]


def export_hf(
    options: argparse.Namespace, folder: Path
) -> list[dict[str, Any]]:
    """Writes a model of one depth for Hugging Face's transformers."""
    model = load_transcriber(options.source)
    gates = model.table.gates(options.n_layers, model.modules["model"].n_total)
    write_huggingface(model.hparams, model.task.symbols, gates, folder)
    stock = huggingface_runner(folder, model.sample_rate)
    return [compare(model, gates, stock, options.files)]


def export_onnx(
    options: argparse.Namespace, folder: Path
) -> list[dict[str, Any]]:
    """Writes ONNX graphs, and what runs them without torch.

    Returns
    -------
    list of dict
        Of `compare`, with the `model`'s file and `bytes`.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it

        from dld_brain.export.onnx_graph import quantize_onnx, write_onnx
    except ImportError as error:
        raise ImportError(
            "ONNX needs more: pip install -e '.[export]'"
        ) from error
    model = load_transcriber(options.source)
    n_total = model.modules["model"].n_total
    chosen = {n: model.table.gates(n, n_total) for n in options.n_layers}
    found = []
    for n_layers, gates in chosen.items():
        path = folder / f"model_n{n_layers}.onnx"
        write_onnx(model.modules, gates, path)
        paths = [path]
        if options.int8:
            paths.append(path.with_suffix(".int8.onnx"))
            quantize_onnx(*paths, model.modules)
        for path in paths:
            session = onnxruntime.InferenceSession(str(path))
            parity = compare(model, gates, runner(session), options.files)
            size = path.stat().st_size
            found.append({"model": path.name, "bytes": size, **parity})
    write_companions(model, sorted(chosen), folder)
    return found


def write_companions(
    model: PretrainedModel, depths: list[int], folder: Path
) -> None:
    """Writes what runs the graphs: tokenizer, settings, script."""
    settings = {
        "sample_rate": model.sample_rate,
        "blank_id": BLANK_ID,
        "depths": depths,
        "layers": {n: list(model.table.layers(n)) for n in depths},
    }
    (folder / "model.json").write_text(json.dumps(settings, indent=2) + "\n")
    model.task.save(folder / model.task.file)
    shutil.copy(Path(__file__).with_name("transcribe_onnx.py"), folder)


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    root = argparse.ArgumentParser(prog="python -m dld_brain.export")
    commands = root.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--source", required=True, help="folder `pretrained` of a run"
    )
    shared.add_argument("--output", required=True, help="a new folder")
    shared.add_argument(
        "--files", nargs="*", default=[], help="audio to compare on"
    )
    command = commands.add_parser(
        "submodel", parents=[shared], help="one depth for stock SpeechBrain"
    )
    command.add_argument("--n_layers", type=int, required=True)
    command.set_defaults(run=export_submodel)
    command = commands.add_parser(
        "hf", parents=[shared], help="one depth for Hugging Face"
    )
    command.add_argument("--n_layers", type=int, required=True)
    command.set_defaults(run=export_hf)
    command = commands.add_parser(
        "onnx", parents=[shared], help="depths for onnxruntime"
    )
    command.add_argument("--n_layers", type=int, nargs="+", required=True)
    command.add_argument(
        "--int8", action="store_true", help="write int8 versions as well"
    )
    command.set_defaults(run=export_onnx)
    return root


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the command line.

    Arguments
    ---------
    arguments : list of str, optional
        Those of the process if not given.
    """
    options = parser().parse_args(arguments)
    try:
        with whole_folder(check_new(options.output)) as folder:
            found = options.run(options, folder)
            text = json.dumps(found, indent=2)
            (folder / "parity.json").write_text(text + "\n")
    except (OSError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for row in found:
        print(
            f"{row.get('model', options.output)}: n = {row['n_layers']}, "
            f"largest difference of log-probs {row['max_difference']:.2g}, "
            f"{transcripts(row)}"
        )
    return 0


def transcripts(row: dict[str, Any]) -> str:
    """What the comparison says of transcripts.

    Example
    -------
    >>> transcripts({"files": 2, "identical": 1})
    '1 of 2 transcripts identical'
    >>> transcripts({"files": 0, "identical": 0})
    'compared with 0 files: on noise alone, no transcript was (give --files)'
    """
    if not row["files"]:
        return (
            "compared with 0 files: on noise alone, no transcript was "
            "(give --files)"
        )
    return f"{row['identical']} of {row['files']} transcripts identical"


if __name__ == "__main__":
    sys.exit(main())
