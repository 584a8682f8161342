"""Transcribes files from the shell, and measures what the depths cost.

> python -m pretrained_interfaces transcribe --n_layers 2 a.wav
> python -m pretrained_interfaces transcribe --source DIR --n_layers 6 a.wav
> python -m pretrained_interfaces transcribe --source DIR --max_rtf 0.05 a.wav
> python -m pretrained_interfaces classify --source DIR --n_layers 6 a.wav
> python -m pretrained_interfaces calibrate --source DIR
> python -m pretrained_interfaces align --source DIR a.wav --text "GO ON"
> python -m pretrained_interfaces serve --source DIR
> python -m pretrained_interfaces live --source DIR

Without --source, the model is the one that ships with this package.

`transcribe` and `classify` print one line a file, its name and the transcript or label
with a tab between; or with --json one object a line, in ASCII, which holds
every name as it is. Every file is answered, one that fails with a line on
stderr (with --json, an object with `error`). Ctrl-C prints what was transcribed
of the file in hand (with --json, an object with `interrupted`). Exit status: see `STATUSES`.
"""

import argparse
import importlib
import json
import sys
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Optional

from dld_brain.audio.checks import LONGEST
from dld_brain.audio.interrupted import Interrupted
from dld_brain.files.console import (
    FAULTS,
    SOME_FAILED,
    STATUSES,
    Parser,
    add_windows,
    complain,
    fault_of,
    guarded,
    say,
)
from pretrained_interfaces.align_command import add_command as add_align
from pretrained_interfaces.live import add_command as add_live
from pretrained_interfaces.serve.command import add_command as add_serve

if TYPE_CHECKING:  # torch takes seconds: --help and Ctrl-C do not wait for it
    from pretrained_interfaces.asr import DynamicEncoderASR
    from pretrained_interfaces.classifier import DynamicEncoderClassifier
    from pretrained_interfaces.depth import Depth
    from pretrained_interfaces.dynamic import DynamicDepth

#: Class of a command's model, by the module that has it.
ASR = ("pretrained_interfaces.asr", "DynamicEncoderASR")
CLASSIFIER = ("pretrained_interfaces.classifier", "DynamicEncoderClassifier")


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    root = Parser(prog="python -m pretrained_interfaces", epilog=STATUSES)
    commands = root.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--source",
        help="folder `pretrained`, or owner/name on the Hugging Face Hub "
        "(default: the model that ships with this package)",
    )
    shared.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    files = argparse.ArgumentParser(add_help=False)
    files.add_argument(
        "--n_layers", type=int, help="layers that run (default: all)"
    )
    files.add_argument(
        "--json", action="store_true", help="one JSON object a line"
    )
    files.add_argument(
        "--vad",
        default="energy",
        choices=["energy", "silero", "none"],
        help="what decides whether there is speech (default: energy)",
    )
    files.add_argument(
        "--max_audio_seconds",
        type=float,
        default=LONGEST,
        help="longer files are refused (default: 4 h)",
    )
    files.add_argument(
        "files",
        nargs="+",
        help="audio files (names that begin with a dash: behind --), http(s) "
        "URLs, or hub:owner/name/file",
    )
    command = commands.add_parser(
        "classify",
        parents=[shared, files],
        help="classify audio files",
        epilog=STATUSES,
    )
    command.set_defaults(model=CLASSIFIER, run=answer_all)
    command = commands.add_parser(
        "transcribe",
        parents=[shared, files],
        help="transcribe audio files",
        epilog=STATUSES,
    )
    command.set_defaults(model=ASR, run=answer_all)
    _add_depths(command)
    command = commands.add_parser(
        "calibrate",
        parents=[shared],
        help="measure every depth here",
        epilog=STATUSES,
    )
    command.add_argument("--seconds", type=float, default=10.0)
    command.add_argument("--threads", type=int)
    command.set_defaults(model=ASR, run=print_calibration)
    add_align(commands, shared).set_defaults(model=ASR)
    add_serve(commands, shared).set_defaults(model=None)
    add_live(commands, shared, ASR)
    return root


def _add_depths(command: argparse.ArgumentParser) -> None:
    """Adds what else than a number can decide on the depth."""
    command.add_argument(
        "--whole",
        action="store_true",
        help="encode in one piece what is longer than training's utterances",
    )
    add_windows(command)
    command.add_argument(
        "--lm", help="an ARPA file of words to decode with (default: greedy)"
    )
    command.add_argument(
        "--lm_alpha", type=float, help="its weight (default: 0.5)"
    )
    command.add_argument(
        "--lm_beta", type=float, help="nats a word is worth (default: 1.5)"
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
        "--open_threshold",
        type=float,
        help="the router's layers whose probability is higher",
    )


def _language_model(options: argparse.Namespace) -> dict[str, Any]:
    """What a command line says of a language model."""
    given = {k: v for k, v in vars(options).items() if k.startswith("lm")}
    lm = given.pop("lm", None)
    weights = {k[3:]: v for k, v in given.items() if v is not None}
    if weights and lm is None:
        raise ValueError("give --lm_alpha and --lm_beta with --lm alone")
    return {} if lm is None else {"lm": lm, "lm_options": weights}


def depth_of(options: argparse.Namespace) -> "Depth":
    """What a command line says of the depth.

    Raises
    ------
    ValueError
        If it says two things, or what cannot be.
    """
    from pretrained_interfaces.depth import Escalate, Routed, choose_depth

    given = {
        name: vars(options)[name]
        for name in ("max_rtf", "max_latency", "max_entropy", "open_threshold")
        if vars(options)[name] is not None
    }
    entropy = given.pop("max_entropy", None)
    threshold = given.pop("open_threshold", None)
    depth, n_layers = None, options.n_layers
    if entropy is not None:
        depth, n_layers = Escalate(entropy, start=n_layers), None
    elif threshold is not None:
        depth = Routed(threshold)
    if entropy is not None and threshold is not None:
        raise ValueError("give --max_entropy or --open_threshold, not both")
    return choose_depth(
        depth, n_layers, **given, best_effort=options.best_effort
    )


def transcribe(
    asr: "DynamicEncoderASR", file: str, depth: "Depth", **options: Any
) -> dict[str, Any]:
    """Transcribes a file; options are those of `transcribe`.

    Returns
    -------
    dict
        The fields of a Transcription, and `rtf`.
    """
    found = asr.transcribe(file, depth, **options)
    return {**asdict(found), "rtf": found.rtf}


def classify(
    classifier: "DynamicEncoderClassifier",
    file: str,
    n_layers: Optional[int],
    **options: Any,
) -> dict[str, Any]:
    """Classifies a file; options are those of `classify_file`.

    Returns
    -------
    dict
        `text`, the label; `probability`; `n_layers`.
    """
    found = classifier.classify_file(file, n_layers, **options)
    return {
        "text": found.text_lab[0],
        "probability": float(found.score.exp()),
        "n_layers": n_layers or classifier.n_total,
    }


def answer(
    model: "DynamicDepth", file: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Transcribes or classifies a file.

    Returns
    -------
    dict
        `file`, and what was found, or `error`.
    """
    listening = {
        "vad": None if options.vad == "none" else options.vad,
        "max_audio_seconds": options.max_audio_seconds,
    }
    try:
        if options.command == "classify":
            found = classify(model, file, options.n_layers, **listening)
            return {"file": file, **found}
        listening["windowed"] = not options.whole
        listening["window_seconds"] = options.window
        listening["overlap_seconds"] = options.overlap
        found = transcribe(model, file, depth_of(options), **listening)
        return {"file": file, **found}
    except FAULTS as error:
        return {"file": file, "error": fault_of(file, error)}
    except Interrupted as stopped:
        partial = {"file": file, "text": stopped.text, "interrupted": True}
        if stopped.text:
            _tell(partial, options)
        raise


def answer_all(model: "DynamicDepth", options: argparse.Namespace) -> int:
    """Answers the files of a command line and prints them."""
    if options.command == "classify":
        model.gates(options.n_layers)
    else:
        depth_of(options).check(model)
    status = 0
    for file in options.files:
        result = answer(model, file, options)
        status = SOME_FAILED if "error" in result else status
        _tell(result, options)
    return status


def _tell(result: dict[str, Any], options: argparse.Namespace) -> None:
    """Prints what was answered to a file."""
    if options.json:
        say(json.dumps(result))
    elif "error" in result:
        complain(result["error"])
    else:
        say(result["file"], result["text"])


def print_calibration(
    asr: "DynamicEncoderASR", options: argparse.Namespace
) -> int:
    """Calibrates and prints the table."""
    found = asr.calibrate(options.seconds, options.threads)
    say(json.dumps(found.machine))
    columns = [f"{s:g} s of audio, ms" for s in found.seconds]
    say(f"| n | {' | '.join(columns)} | encoder, ms | RTF | peak MiB |")
    say("|---|" + "---|" * (len(columns) + 3))
    for n, times in found.latency.items():
        cells = [f"{1000 * t:.0f}" for t in times]
        encoder = 1000 * found.encoder_latency[n][1]
        rtf = times[1] / found.seconds[1]
        peak = found.peak_memory.get(n, 0) / 2**20
        say(
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
    """
    options = parser().parse_args(arguments)
    warnings.formatwarning = lambda text, *_, **__: f"warning: {text}\n"
    return guarded(lambda: _run(options), FAULTS)


def _run(options: argparse.Namespace) -> int:
    """Loads the model, and does what is asked of it."""
    if options.model is None:  # a server loads it while it answers
        return options.run(options)
    module, name = options.model
    kind = getattr(importlib.import_module(module), name)
    model = kind.from_hparams(
        options.source, device=options.device, **_language_model(options)
    )
    return options.run(model, options)


if __name__ == "__main__":
    sys.exit(main())
