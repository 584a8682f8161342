"""Classifies audio files from the shell."""

import argparse
import json
from typing import TYPE_CHECKING, Any, Optional

from dld_brain.files.console import (
    FAULTS,
    SOME_FAILED,
    STATUSES,
    complain,
    fault_of,
    say,
)
from pretrained_interfaces.commands import flags

if TYPE_CHECKING:  # torch takes seconds
    from pretrained_interfaces.classifier import DynamicEncoderClassifier


def add_command(
    commands: argparse._SubParsersAction, shared: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """Adds `classify` to the commands of a parser.

    Arguments
    ---------
    shared : argparse.ArgumentParser
        Has what all commands share: the model, the device.
    """
    files = flags.of_files(
        "audio files (names that begin with a dash: behind --), http(s) "
        "URLs, or hub:owner/name/file"
    )
    command = commands.add_parser(
        "classify",
        parents=[shared, files],
        help="classify audio files",
        epilog=STATUSES,
    )
    command.set_defaults(model=flags.CLASSIFIER, run=run)
    return command


def run(model: "DynamicEncoderClassifier", options: argparse.Namespace) -> int:
    """Classifies the files of a command line and prints their labels."""
    model.gates(options.n_layers)
    listening, status = flags.listening(options), 0
    for file in options.files:
        try:
            result = classify(model, file, options.n_layers, **listening)
        except FAULTS as error:
            status = SOME_FAILED
            result = {"error": fault_of(file, error)}
        if options.json:
            say(json.dumps({"file": file, **result}))
        elif "error" in result:
            complain(result["error"])
        else:
            say(file, result["text"])
    return status


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
