"""`dld`: training, transcription, export and the paper in one command.

Each word hands the rest of the command line to the module that
`python -m` runs, or to train.py's; nothing of theirs is loaded before.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Optional

from dld_brain import __version__
from dld_brain.files.console import (
    STATUSES,
    UNUSABLE,
    complain,
    escaped,
    guarded,
)

#: By word: module whose `main(arguments)` it runs, words that are handed on
#: in front of the others, and what it is for.
COMMANDS = {
    "train": ("dld_brain.run.main", (), "train a model and score its depths"),
    "transcribe": (
        "pretrained_interfaces.__main__",
        ("transcribe",),
        "audio files to text, at the depth that one asks for",
    ),
    "classify": (
        "pretrained_interfaces.__main__",
        ("classify",),
        "audio files to labels",
    ),
    "align": (
        "pretrained_interfaces.__main__",
        ("align",),
        "when the words of a text were said in an audio file",
    ),
    "calibrate": (
        "pretrained_interfaces.__main__",
        ("calibrate",),
        "measure what each depth costs on this machine",
    ),
    "lm": (
        "dld_brain.tasks.ngram",
        (),
        "transcripts to an n-gram language model for decoding",
    ),
    "export": (
        "dld_brain.export.__main__",
        (),
        "write a depth for SpeechBrain alone or ONNX, push to the Hub",
    ),
    "transcribe_onnx": (
        "dld_brain.export.transcribe_onnx",
        (),
        "audio files to text with exported ONNX graphs, without torch",
    ),
    "paper": (
        "dld_brain.paper.__main__",
        (),
        "the paper's tables and figures, from finished runs",
    ),
}


def usage() -> str:
    """What `dld --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {w:{width}}  {text}" for w, (_, _, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: dld COMMAND ...  (dld COMMAND --help says more)",
            "",
            *lines,
            "",
            STATUSES,
        ]
    )


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line.

    Arguments
    ---------
    arguments : sequence of str, optional
        Those of the process if not given.

    Returns
    -------
    int
        Exit status: 0, or 2 where the command line cannot be followed; what
        the command itself answers else (`files.console.STATUSES`).

    Example
    -------
    >>> main(["--version"])
    dld-brain ...
    0
    """
    given = sys.argv[1:] if arguments is None else arguments
    word, *rest = given or [""]
    if word in ("", "-h", "--help"):
        print(usage())
        return 0 if word else UNUSABLE
    if word == "--version":
        print(f"dld-brain {__version__}")
        return 0
    if word not in COMMANDS:
        known = ", ".join(COMMANDS)
        complain(
            f"the command must be one of {known}, but is '{escaped(word, 40)}'"
        )
        return UNUSABLE
    module, first, _ = COMMANDS[word]
    return guarded(
        lambda: importlib.import_module(module).main([*first, *rest])
    )


if __name__ == "__main__":
    sys.exit(main())
