"""Lays a text on an audio file from the shell: when its words were said.

> python -m pretrained_interfaces align --source DIR a.wav --text "GO ON"
> python -m pretrained_interfaces align a.wav --text_file a.txt --format srt

Prints a line a word (CTM) unless asked for another format.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dld_brain.files.console import (
    FAULTS,
    SOME_FAILED,
    STATUSES,
    complain,
    fault_of,
    say,
)
from dld_brain.files.whole import whole_file
from pretrained_interfaces.commands import flags
from pretrained_interfaces.times.formats import FORMATS, encoded, write

if TYPE_CHECKING:  # torch takes seconds
    from pretrained_interfaces.asr import DynamicEncoderASR


def add_command(
    commands: argparse._SubParsersAction, shared: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """Adds `align` to the commands of a parser.

    Arguments
    ---------
    shared : argparse.ArgumentParser
        Has what all commands share: the model, the device.
    """
    command = commands.add_parser(
        "align",
        parents=[shared, flags.of_audio()],
        help="when the words of a text were said",
        epilog=STATUSES,
    )
    flags.add_decoder(command)
    text = command.add_mutually_exclusive_group(required=True)
    text.add_argument("--text", help="what is said in the file")
    text.add_argument("--text_file", type=Path, help="a UTF-8 file of it")
    command.add_argument(
        "--format", choices=list(FORMATS), default="ctm", help="default: ctm"
    )
    command.add_argument(
        "-o", "--output", type=Path, help="the file to write (default: stdout)"
    )
    command.add_argument(
        "file", help="an audio file, http(s) URL, or hub:owner/name/file"
    )
    command.set_defaults(run=align)
    return command


def align(asr: "DynamicEncoderASR", options: argparse.Namespace) -> int:
    """Aligns the file of a command line, and prints or writes its words.

    Returns
    -------
    int
        Exit status.
    """
    from dld_brain.audio.text_files import read_text

    asr.gates(options.n_layers)
    text = options.text
    if text is None:
        text = read_text(options.text_file)
    try:
        found = asr.align(
            options.file,
            text,
            options.n_layers,
            **flags.listening(options),
        )
    except FAULTS as error:
        complain(fault_of(options.file, error))
        return SOME_FAILED
    name = Path(options.file).stem if options.format == "ctm" else options.file
    content = write(found, name, options.format)
    if options.output is not None:
        with whole_file(options.output) as path:
            path.write_bytes(encoded(content))
        return 0
    for line in content.rstrip("\n").split("\n"):
        say(*line.split("\t"))
    return 0
