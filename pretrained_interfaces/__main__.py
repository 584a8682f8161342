"""Transcribes files from the shell.

> python -m pretrained_interfaces transcribe --source DIR --n_layers 6 a.wav

Prints one line a file, its name and the transcript with a tab between, or
with --json one object a line. The exit status is 1 if a file failed; the
others are transcribed all the same.

Authors
 * The dld_brain authors 2026
"""

import argparse
import json
import sys
import time
from typing import Any, Optional

from pretrained_interfaces.asr import DynamicEncoderASR


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line.

    Returns
    -------
    argparse.ArgumentParser
    """
    root = argparse.ArgumentParser(prog="python -m pretrained_interfaces")
    commands = root.add_subparsers(dest="command", required=True)
    command = commands.add_parser("transcribe", help="transcribe audio files")
    command.add_argument(
        "--source", required=True, help="folder `pretrained`, or a hub id"
    )
    command.add_argument(
        "--n_layers", type=int, help="layers that run (default: all)"
    )
    command.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    command.add_argument(
        "--json", action="store_true", help="one JSON object a line"
    )
    command.add_argument("files", nargs="+", help="audio files")
    return root


def transcribe(
    asr: DynamicEncoderASR, file: str, n_layers: Optional[int]
) -> dict[str, Any]:
    """Transcribes a file.

    Arguments
    ---------
    asr : DynamicEncoderASR
        The model.
    file : str
        The file.
    n_layers : int, optional
        Layers that run.

    Returns
    -------
    dict
        `file`, and `text`, `n_layers`, `layers` and `seconds`, or `error`.
    """
    started = time.perf_counter()
    layers = asr.layers(n_layers)
    try:
        text = asr.transcribe_file(file, n_layers=n_layers)
    except (OSError, ValueError, RuntimeError) as error:
        return {"file": file, "error": str(error)}
    return {
        "file": file,
        "text": text,
        "n_layers": len(layers),
        "layers": list(layers),
        "seconds": round(time.perf_counter() - started, 4),
    }


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the command line.

    Arguments
    ---------
    arguments : list of str, optional
        Those of the process if not given.

    Returns
    -------
    int
        Exit status.
    """
    options = parser().parse_args(arguments)
    try:
        asr = DynamicEncoderASR.from_hparams(
            options.source, run_opts={"device": options.device}
        )
        asr.layers(options.n_layers)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    failed = False
    for file in options.files:
        result = transcribe(asr, file, options.n_layers)
        failed = failed or "error" in result
        if options.json:
            print(json.dumps(result), flush=True)
        elif "error" in result:
            print(f"error: {result['error']}", file=sys.stderr)
        else:
            print(f"{file}\t{result['text']}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
