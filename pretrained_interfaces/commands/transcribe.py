"""Transcribes files from the shell, few or many.

Audio files, folders, globs, lists and manifests are read; with -o each has
files of its own there, and what is done is not done again.
"""

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from dld_brain.files.console import SOME_FAILED, STATUSES, fault_of
from pretrained_interfaces.commands import flags
from pretrained_interfaces.times.formats import FORMATS, needs_words

if TYPE_CHECKING:  # torch takes seconds
    from pretrained_interfaces.many.item import Item
    from pretrained_interfaces.many.kept import Kept
    from pretrained_interfaces.many.transcriber import Answer, How


def add_command(
    commands: argparse._SubParsersAction, shared: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """Adds `transcribe` to the commands of a parser.

    Arguments
    ---------
    shared : argparse.ArgumentParser
        Has what all commands share: the model, the device.
    """
    files = flags.of_files(
        "audio files (names that begin with a dash: behind --), http(s) "
        "URLs, hub:owner/name/file; folders, globs, lists (.txt: a path a "
        "line), manifests (.jsonl), or - for a list on stdin"
    )
    command = commands.add_parser(
        "transcribe",
        parents=[shared, files],
        help="transcribe audio files",
        epilog=STATUSES,
    )
    flags.add_decoding(command)
    flags.add_depths(command)
    flags.add_decoder(command)
    _add_writing(command)
    command.set_defaults(model=None, run=run)
    return command


def _add_writing(command: argparse.ArgumentParser) -> None:
    """Adds where answers are written, and how many are made at once."""
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        help="folder with files for each; those that are done are skipped",
    )
    command.add_argument(
        "--format",
        type=_formats,
        default=None,
        help=f"{', '.join(FORMATS)}; with -o also several, with commas "
        f"between (default: txt)",
    )
    flags.add_batch_size(command)
    command.add_argument(
        "--jobs",
        type=flags.count,
        default=1,
        help="processes, each with the model (default: 1)",
    )


def _formats(text: str) -> tuple[str, ...]:
    """Formats of a flag."""
    found = tuple(dict.fromkeys(text.split(",")))
    try:
        for name in found:
            needs_words(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return found


def how_of(options: argparse.Namespace) -> "How":
    """What a command line asks a model for.

    Raises
    ------
    ValueError
        If flags do not go together.
    """
    from pretrained_interfaces.many.transcriber import How

    formats = options.format or ("txt",)
    if options.json and (options.output or options.format):
        raise ValueError("give --json, or -o and --format json, not both")
    if len(formats) > 1 and options.output is None:
        raise ValueError("give -o, a folder, with more than one --format")
    windows = {
        "windowed": not options.whole,
        "window_seconds": options.window,
        "overlap_seconds": options.overlap,
        "batch_seconds": options.batch_seconds,
    }
    return How(
        options.source,
        options.device,
        flags.depth_of(options),
        {**flags.listening(options), **windows},
        flags.loading(options),
        formats,
    )


def run(options: argparse.Namespace) -> int:
    """Transcribes what a command line names.

    Returns
    -------
    int
        Exit status.
    """
    from pretrained_interfaces.many.items import find_items
    from pretrained_interfaces.many.names import recordings
    from pretrained_interfaces.many.told import Printer, Tally
    from pretrained_interfaces.many.transcriber import ItemInterrupted

    how = how_of(options)
    items = list(find_items(options.files))
    places = list(range(len(items)))
    kept, form = None, "json lines" if options.json else how.formats[0]
    if options.output is not None:
        kept, form = _kept(options.output, items, how), None
        items = list(kept.items)
        places = [i for i in range(len(items)) if not kept.is_done(i)]
    todo = [_admitted(items[i], i, kept) for i in places]
    how = replace(how, is_one=len(items) == 1)
    is_many = kept is not None or len(items) > 1
    names = recordings(todo) if form == "ctm" else ()
    tally, printer = Tally(todo, len(items) - len(todo)), Printer(form, names)
    try:
        for place, answer in _answers(how, todo, options):
            if kept is not None:
                answer = kept.keep(places[place], answer)
            tally.add(answer)
            printer.add(place, answer)
    except ItemInterrupted as stopped:
        printer.add_partial(stopped)
        raise
    except BrokenPipeError:  # nobody reads
        is_many = False
        raise
    finally:
        tally.bar.close()
        printer.end()
        if is_many:
            tally.tell()
    return SOME_FAILED if tally.failures else 0


def _kept(folder: Path, items: "list[Item]", how: "How") -> "Kept":
    """What is written of items into a folder, each once, however named."""
    from pretrained_interfaces.many.kept import Kept

    keys = [(x.location(), x.offset, x.duration, x.id, x.error) for x in items]
    once = dict(zip(reversed(keys), reversed(items)))  # the first of each
    return Kept(folder, [once[key] for key in dict.fromkeys(keys)], how)


def _admitted(item: "Item", place: int, kept: "Optional[Kept]") -> "Item":
    """An item with what would keep its transcript from being written."""
    if kept is None or item.error:
        return item
    refusal = kept.refusal(place)
    return replace(
        item, error=refusal and fault_of(item.file, ValueError(refusal))
    )


def _answers(
    how: "How", items: "list[Item]", options: argparse.Namespace
) -> "Iterator[tuple[int, Answer]]":
    """The answers to items with their places, as they come.

    Known faults come first: where there is nothing else, no model is loaded.
    """
    from pretrained_interfaces.many.transcriber import Answer, in_groups
    from pretrained_interfaces.many.workers import run_here, run_jobs

    places = [i for i, item in enumerate(items) if not item.error]
    for i, item in enumerate(items):
        if item.error:
            yield i, Answer(item, None, item.error)
    if not places:
        return
    groups = in_groups([items[i] for i in places], options.batch_size)
    n_jobs = min(options.jobs, len(places))
    found = (
        run_here(how, groups) if n_jobs == 1 else run_jobs(how, groups, n_jobs)
    )
    with contextlib.closing(found):  # ends the processes, at Ctrl-C too
        for answers in found:
            yield from ((places[i], answer) for i, answer in answers)
