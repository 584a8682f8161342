"""Training from a command line: what it answers, and with which status."""

import errno
import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Optional

from dld_brain import __version__
from dld_brain.files.console import LONGEST, complain, escaped, told_on_one_line
from dld_brain.run.command_line import parse
from dld_brain.run.help import describe, find_recipe, overview
from dld_brain.run.run import Run
from dld_brain.training.memory import keep_freed_memory
from speechbrain.utils.distributed import ddp_init_group

logger = logging.getLogger(__name__)

#: What the system says of a disk, a quota or a file that can grow no more.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def prepare(arguments: Sequence[str]) -> Run:
    """Reads a command line, and does all that comes before training.

    Arguments
    ---------
    arguments : sequence of str
        An hparams file, or its name, and flags.

    Raises
    ------
    ValueError
        If a setting is none, or does not fit the others.
    FileNotFoundError
        If a file or the corpus is not there.
    """
    hparams_file, run_opts, overrides = parse(
        [find_recipe(arguments[0]), *arguments[1:]]
    )
    ddp_init_group(run_opts)
    keep_freed_memory()
    return Run(hparams_file, run_opts, overrides).prepare()


def train(arguments: Sequence[str]) -> None:
    """Trains and scores what a command line names; raises what goes wrong."""
    prepare(arguments).fit().finish()


def main(
    arguments: Optional[Sequence[str]] = None, program: str = "dld train"
) -> int:
    """Runs a command line.

    What is wrong with it is one line, before training; so is a file that
    cannot be read or written later: the same command goes on from there.
    What else fails in training is raised.

    Arguments
    ---------
    program : str
        What it is called in the help.

    Returns
    -------
    int
        Exit status: 0; 1 where a disk was full, the system refused a file
        in training, or losses were no finite numbers again and again; 2
        where the command line cannot be followed.

    Example
    -------
    >>> main(["--version"])
    dld-brain ...
    0
    """
    warnings.formatwarning = told_on_one_line
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "--version" in words:
        print(f"dld-brain {__version__}")
        return 0
    if not words or words[0] in ("-h", "--help"):
        print(overview(program))
        return 0 if words else 2
    try:
        if {"-h", "--help"} & set(words):
            print(describe(find_recipe(words[0])))
            return 0
        run = prepare(words)
    except (OSError, ValueError, ImportError) as error:
        is_full = isinstance(error, OSError) and error.errno in FULL
        return _stopped(error, 1 if is_full else 2)
    try:
        run.fit().finish()
    except (OSError, FloatingPointError) as error:  # says what to try
        return _stopped(error, 1)
    return 0


def _stopped(error: Exception, status: int) -> int:
    """Says in a line what stopped a run; the log has the whole of it."""
    logger.debug("stopped", exc_info=error)
    if str(error).startswith("Unable to configure"):  # logging, which hides why
        error = error.__cause__ or error
    *_, last = str(error).strip().split("Original Traceback")
    if last != str(error).strip():  # of a loader's process
        last = last.splitlines()[-1]
    complain(escaped(" ".join(last.split()), LONGEST))
    return status
