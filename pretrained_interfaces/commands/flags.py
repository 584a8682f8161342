"""Flags that commands share, and what they mean."""

import argparse
from typing import TYPE_CHECKING, Any

from dld_brain.audio.checks import LONGEST
from dld_brain.audio.window_flags import add_windows

if TYPE_CHECKING:  # torch takes seconds: --help and Ctrl-C do not wait for it
    from pretrained_interfaces.depths.depth import Depth

#: Class of a command's model, by the module that has it.
ASR = ("pretrained_interfaces.asr", "DynamicEncoderASR")
CLASSIFIER = ("pretrained_interfaces.classifier", "DynamicEncoderClassifier")
#: Files of a batch, unless the caller says otherwise.
BATCH_SIZE = 16


def of_model(has_int8: bool = True) -> argparse.ArgumentParser:
    """Makes what all commands have: the model, the device.

    Arguments
    ---------
    has_int8 : bool
        Whether its models can compute in int8.
    """
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--source",
        help="folder `pretrained`, or owner/name on the Hugging Face Hub "
        "(default: the model that ships with this package)",
    )
    shared.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    if has_int8:
        shared.add_argument(
            "--int8",
            action="store_true",
            help="compute linear layers in int8, on the CPU alone",
        )
    return shared


def of_audio() -> argparse.ArgumentParser:
    """Makes what commands have that read audio: depth, speech, length."""
    audio = argparse.ArgumentParser(add_help=False)
    audio.add_argument(
        "--n_layers", type=int, help="layers that run (default: all)"
    )
    audio.add_argument(
        "--vad",
        default="energy",
        choices=["energy", "silero", "none"],
        help="what decides whether there is speech (default: energy)",
    )
    audio.add_argument(
        "--max_audio_seconds",
        type=float,
        default=LONGEST,
        help="longer files are refused (default: 4 h)",
    )
    return audio


def of_files(help_of_files: str) -> argparse.ArgumentParser:
    """Makes what commands have that answer files."""
    files = argparse.ArgumentParser(add_help=False, parents=[of_audio()])
    files.add_argument(
        "--json", action="store_true", help="one JSON object a line"
    )
    files.add_argument("files", nargs="+", help=help_of_files)
    return files


def count(text: str) -> int:
    """A number of a flag, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"must be a whole number, at least 1, but is {text!r}"
        )
    return int(text)


def add_batch_size(command: argparse.ArgumentParser) -> None:
    """Adds how many files are answered at once."""
    command.add_argument(
        "--batch_size",
        type=count,
        default=BATCH_SIZE,
        help=f"files at once, of about the same length ({BATCH_SIZE})",
    )


def add_depths(command: argparse.ArgumentParser) -> None:
    """Adds what else than a number can decide on the depth."""
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


def add_decoder(command: argparse.ArgumentParser) -> None:
    """Adds the depth of a Whisper's decoder."""
    command.add_argument(
        "--n_decoder_layers",
        type=int,
        help="layers of a Whisper's decoder that run (default: all)",
    )


def add_decoding(command: argparse.ArgumentParser) -> None:
    """Adds windows, and a language model."""
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


def loading(options: argparse.Namespace) -> dict[str, Any]:
    """What a command line says of how a model is loaded, for `from_hparams`.

    Raises
    ------
    ValueError
        If it has weights of no language model.
    """
    found = language_model(options) if "lm" in options else {}
    n_layers = getattr(options, "n_decoder_layers", None)
    if n_layers is not None:
        found["n_decoder_layers"] = n_layers
    return {**found, "int8": True} if getattr(options, "int8", False) else found


def language_model(options: argparse.Namespace) -> dict[str, Any]:
    """What a command line says of a language model, for `from_hparams`.

    Raises
    ------
    ValueError
        If it has weights of none.
    """
    given = {k: v for k, v in vars(options).items() if k.startswith("lm")}
    lm = given.pop("lm", None)
    weights = {k[3:]: v for k, v in given.items() if v is not None}
    if weights and lm is None:
        raise ValueError("give --lm_alpha and --lm_beta with --lm alone")
    return {} if lm is None else {"lm": lm, "lm_options": weights}


def listening(options: argparse.Namespace) -> dict[str, Any]:
    """What a command line says of how audio is read."""
    return {
        "vad": None if options.vad == "none" else options.vad,
        "max_audio_seconds": options.max_audio_seconds,
    }


def depth_of(options: argparse.Namespace) -> "Depth":
    """What a command line says of the depth.

    Raises
    ------
    ValueError
        If it says two things, or what cannot be.
    """
    from pretrained_interfaces.depths.choose import choose_depth
    from pretrained_interfaces.depths.depth import Escalate, Routed

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
