"""Transcribes files from the shell, and measures what the depths cost.

> python -m pretrained_interfaces transcribe --n_layers 2 a.wav
> python -m pretrained_interfaces transcribe --source DIR --n_layers 6 a.wav
> python -m pretrained_interfaces transcribe --source DIR --max_rtf 0.05 a.wav
> python -m pretrained_interfaces transcribe --source DIR folder/ -o texts/
> python -m pretrained_interfaces classify --source DIR --n_layers 6 a.wav
> python -m pretrained_interfaces calibrate --source DIR
> python -m pretrained_interfaces align --source DIR a.wav --text "GO ON"
> python -m pretrained_interfaces serve --source DIR
> python -m pretrained_interfaces live --source DIR

Without --source, the model is the one that ships with this package.

`transcribe` and `classify` print one line a file, its name and the transcript
or label with a tab between; or with --json one object a line, in ASCII, which
holds every name as it is. Every file is answered, one that fails with a line
on stderr (with --json, an object with `error`). Ctrl-C prints what was
transcribed of the file in hand (with --json, an object with `interrupted`).
Exit status: see `STATUSES`.
"""

import argparse
import importlib
import sys
import warnings
from typing import Optional

from dld_brain.files.console import (
    FAULTS,
    STATUSES,
    Parser,
    guarded,
    told_on_one_line,
)
from pretrained_interfaces.commands import (
    align,
    calibrate,
    classify,
    flags,
    transcribe,
)
from pretrained_interfaces.serve import command as serve
from pretrained_interfaces.streams import live


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    root = Parser(prog="python -m pretrained_interfaces", epilog=STATUSES)
    commands = root.add_subparsers(dest="command", required=True)
    shared = flags.of_model()
    classify.add_command(commands, flags.of_model(has_int8=False))
    transcribe.add_command(commands, shared)
    calibrate.add_command(commands, shared)
    align.add_command(commands, shared).set_defaults(model=flags.ASR)
    serve.add_command(commands, shared).set_defaults(model=None)
    live.add_command(commands, shared, flags.ASR)
    return root


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the command line.

    Arguments
    ---------
    arguments : list of str, optional
        Those of the process if not given.
    """
    options = parser().parse_args(arguments)
    warnings.formatwarning = told_on_one_line
    return guarded(lambda: _run(options), FAULTS)


def _run(options: argparse.Namespace) -> int:
    """Loads the model, and does what is asked of it."""
    if options.model is None:  # the command loads it itself
        return options.run(options)
    module, name = options.model
    kind = getattr(importlib.import_module(module), name)
    how = flags.loading(options)
    model = kind.from_hparams(options.source, device=options.device, **how)
    return options.run(model, options)


if __name__ == "__main__":
    sys.exit(main())
