"""Takes a model out of here: to stock SpeechBrain, Hugging Face, ONNX, the Hub.

> python -m dld_brain.export submodel --source DIR --n_layers 6 --output OUT
> python -m dld_brain.export hf --source DIR --n_layers 6 --output OUT
> python -m dld_brain.export onnx --source DIR --n_layers 2 6 --output OUT
> python -m dld_brain.export compact --source DIR --dtype int8 --output OUT
> python -m dld_brain.export hub --source DIR --repo owner/name --push

The first three end with parity.json: how far the exported model is from the
dynamic one, on noise of several lengths and on audio files that are given.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Optional

import torch

from dld_brain.audio.features import min_samples, samples_per_frame
from dld_brain.export import stock_speechbrain as submodel
from dld_brain.export.checks import check_files, check_new
from dld_brain.export.folders import add_commands
from dld_brain.export.huggingface import export_hf, load_transcriber
from dld_brain.export.parity import compare, runner
from dld_brain.export.transcribe_onnx import SETTINGS, TOKENIZER, Settings
from dld_brain.files.console import FAULTS, STATUSES, Parser, guarded, say
from dld_brain.files.manifest import ONNX, write_manifest
from dld_brain.files.whole import whole_folder
from dld_brain.losses import BLANK_ID
from dld_brain.model_folder import PretrainedModel
from dld_brain.model_folder.training import trained_on
from speechbrain.inference.ASR import EncoderASR


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


def export_onnx(
    options: argparse.Namespace, folder: Path
) -> list[dict[str, Any]]:
    """Writes ONNX graphs, and what `transcribe_onnx` needs beside them.

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
    write_companions(model, options.source, sorted(chosen), folder)
    return found


def write_companions(
    model: PretrainedModel, source: str, depths: list[int], folder: Path
) -> None:
    """Writes what goes with the graphs: tokenizer and settings."""
    settings = Settings(
        sample_rate=model.sample_rate,
        min_samples=min_samples(model.modules),
        samples_per_frame=samples_per_frame(model.modules),
        longest_utterance=trained_on(source).longest_utterance,
        blank_id=BLANK_ID,
        depths=depths,
        layers={str(n): list(model.table.layers(n)) for n in depths},
    )
    text = json.dumps(settings._asdict(), indent=2)
    (folder / SETTINGS).write_text(text + "\n")
    model.task.save(folder / TOKENIZER)


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    root = Parser(prog="python -m dld_brain.export", epilog=STATUSES)
    commands = root.add_subparsers(dest="command", required=True)
    source = argparse.ArgumentParser(add_help=False)
    source.add_argument(
        "--source", required=True, help="folder `pretrained` of a run"
    )
    shared = argparse.ArgumentParser(add_help=False, parents=[source])
    shared.add_argument("--output", required=True, help="a new folder")
    shared.add_argument(
        "--files", nargs="*", default=[], help="audio to compare on"
    )
    command = commands.add_parser(
        "submodel", parents=[shared], help="one depth for stock SpeechBrain"
    )
    command.add_argument("--n_layers", type=int, required=True)
    command.set_defaults(do=export_depths, run=export_submodel)
    command = commands.add_parser(
        "hf", parents=[shared], help="one depth for Hugging Face"
    )
    command.add_argument("--n_layers", type=int, required=True)
    command.add_argument(
        "--n_decoder_layers",
        type=int,
        help="of a Whisper with its decoder (default: all)",
    )
    command.set_defaults(do=export_depths, run=export_hf)
    command = commands.add_parser(
        "onnx", parents=[shared], help="depths for onnxruntime"
    )
    command.add_argument("--n_layers", type=int, nargs="+", required=True)
    command.add_argument(
        "--int8", action="store_true", help="write int8 versions as well"
    )
    command.set_defaults(do=export_depths, run=export_onnx)
    add_commands(commands, source, shared)
    return root


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the command line.

    Arguments
    ---------
    arguments : list of str, optional
        Those of the process if not given.
    """
    options = parser().parse_args(arguments)
    return guarded(lambda: options.do(options), FAULTS)


def export_depths(options: argparse.Namespace) -> int:
    """Exports depths, and says how far they are from the dynamic model."""
    output = check_new(options.output)
    check_files(options.files)
    with whole_folder(output) as folder:
        found = options.run(options, folder)
        text = json.dumps(found, indent=2)
        (folder / "parity.json").write_text(text + "\n")
        if options.run is export_onnx:
            write_manifest(folder, ONNX)
    for row in found:
        say(
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
    >>> transcripts({"files": 2, "identical": 1, "identical_on_30_s": 2})
    '1 of 2 transcripts identical to those of the student, ...; where it does, 2'
    >>> transcripts({"files": 0, "identical": 0})
    'compared with 0 files: on noise alone, no transcript was (give --files)'
    """
    if not row["files"]:
        return (
            "compared with 0 files: on noise alone, no transcript was "
            "(give --files)"
        )
    found = f"{row['identical']} of {row['files']} transcripts identical"
    if "identical_on_30_s" in row:
        found += (
            f" to those of the student, which hears no silence behind the "
            f"speech; where it does, {row['identical_on_30_s']}"
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
