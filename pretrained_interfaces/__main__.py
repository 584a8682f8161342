"""Transcribes files from the shell, and measures what the depths cost.

> python -m pretrained_interfaces transcribe --source DIR --n_layers 6 a.wav
> python -m pretrained_interfaces transcribe --source DIR --max_rtf 0.05 a.wav
> python -m pretrained_interfaces calibrate --source DIR

The first prints one line a file, its name and the transcript with a tab between, or
with --json one object a line. The exit status is 1 if a file failed; the
others are transcribed all the same.

Authors
 * The dld_brain authors 2026
"""

import argparse
import json
import sys
from dataclasses import asdict
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
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--source", required=True, help="folder `pretrained`, or a hub id"
    )
    shared.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    command = commands.add_parser(
        "transcribe", parents=[shared], help="transcribe audio files"
    )
    command.add_argument(
        "--n_layers", type=int, help="layers that run (default: all)"
    )
    command.add_argument(
        "--max_rtf", type=float, help="the deepest depth that is as fast"
    )
    command.add_argument(
        "--max_latency", type=float, help="the same, seconds for a file"
    )
    command.add_argument(
        "--best_effort", action="store_true", help="the fastest if none fits"
    )
    command.add_argument(
        "--max_entropy",
        type=float,
        help="go deeper from n_layers where less sure, nats per frame",
    )
    command.add_argument(
        "--json", action="store_true", help="one JSON object a line"
    )
    command.add_argument("files", nargs="+", help="audio files")
    command = commands.add_parser(
        "calibrate", parents=[shared], help="measure every depth here"
    )
    command.add_argument("--seconds", type=float, default=10.0)
    command.add_argument("--threads", type=int)
    return root


def transcribe(
    asr: DynamicEncoderASR, file: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Transcribes a file.

    Arguments
    ---------
    asr : DynamicEncoderASR
        The model.
    file : str
        The file.
    settings : dict
        Of `DynamicEncoderASR.transcribe`.

    Returns
    -------
    dict
        `file`, and the fields of a Transcription with `rtf`, or `error`.
    """
    try:
        found = asr.transcribe(file, **settings)
    except (OSError, ValueError, RuntimeError) as error:
        return {"file": file, "error": str(error)}
    return {"file": file, **asdict(found), "rtf": found.rtf}


def transcribe_all(asr: DynamicEncoderASR, options: argparse.Namespace) -> int:
    """Transcribes the files of a command line and prints them.

    Arguments
    ---------
    asr : DynamicEncoderASR
        The model.
    options : argparse.Namespace
        The command line.

    Returns
    -------
    int
        Exit status.
    """
    names = ("n_layers", "max_rtf", "max_latency", "best_effort", "max_entropy")
    settings = {name: vars(options)[name] for name in names}
    failed = False
    for file in options.files:
        result = transcribe(asr, file, settings)
        failed = failed or "error" in result
        if options.json:
            print(json.dumps(result), flush=True)
        elif "error" in result:
            print(f"error: {result['error']}", file=sys.stderr)
        else:
            print(f"{file}\t{result['text']}", flush=True)
    return int(failed)


def print_calibration(
    asr: DynamicEncoderASR, options: argparse.Namespace
) -> int:
    """Calibrates and prints the table.

    Arguments
    ---------
    asr : DynamicEncoderASR
        The model.
    options : argparse.Namespace
        The command line.

    Returns
    -------
    int
        Exit status.
    """
    found = asr.calibrate(options.seconds, options.threads)
    print(json.dumps(found.machine))
    columns = [f"{s:g} s of audio, ms" for s in found.seconds]
    print(f"| n | {' | '.join(columns)} | encoder, ms | RTF | peak MiB |")
    print("|---|" + "---|" * (len(columns) + 3))
    for n, times in found.latency.items():
        cells = [f"{1000 * t:.0f}" for t in times]
        encoder = 1000 * found.encoder_latency[n][1]
        rtf = times[1] / found.seconds[1]
        peak = found.peak_memory.get(n, 0) / 2**20
        print(
            f"| {n} | {' | '.join(cells)} | {encoder:.0f} | {rtf:.4f} "
            f"| {peak:.0f} |"
        )
    return 0


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
        if options.command == "calibrate":
            return print_calibration(asr, options)
        asr.layers(options.n_layers)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return transcribe_all(asr, options)


if __name__ == "__main__":
    sys.exit(main())
