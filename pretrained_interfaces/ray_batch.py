"""Transcribes a manifest with Ray Data, on one machine or many.

> python -m pretrained_interfaces.ray_batch --source DIR --manifest m.jsonl \\
>     -o out.jsonl --workers 8 --gpus 1 --address auto

`-o` is a JSON Lines file, or a folder that gets Parquet files. The results
are those of `transcribe`, a row a line of the manifest, in its order; what
failed has `error`. Needs the extra `ray`.
"""

import argparse
import importlib.util
import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from dld_brain.files.console import (
    FAULTS,
    SOME_FAILED,
    STATUSES,
    Parser,
    guarded,
    say,
    told_on_one_line,
)
from dld_brain.files.whole import whole_file, whole_folder
from pretrained_interfaces.commands import flags
from pretrained_interfaces.commands.transcribe import how_of

if TYPE_CHECKING:  # Ray takes seconds
    import ray


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    root = Parser(
        prog="python -m pretrained_interfaces.ray_batch",
        parents=[flags.of_model(), flags.of_audio()],
        epilog=STATUSES,
    )
    root.add_argument(
        "--manifest",
        dest="files",
        required=True,
        action="append",
        help="a manifest, or whatever else `transcribe` takes; may be "
        "given again",
    )
    root.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="a file .jsonl, or a new folder for Parquet",
    )
    flags.add_decoding(root)
    flags.add_depths(root)
    root.add_argument(
        "--word_times", action="store_true", help="time words, too"
    )
    flags.add_batch_size(root)
    _add_workers(root)
    root.set_defaults(json=False, format=None)
    return root


def _add_workers(root: argparse.ArgumentParser) -> None:
    """Adds who transcribes, and where."""
    root.add_argument(
        "--workers",
        type=flags.count,
        default=1,
        help="actors with the model (1)",
    )
    root.add_argument(
        "--cpus", type=float, default=1.0, help="of each worker (1)"
    )
    root.add_argument(
        "--gpus", type=float, default=0.0, help="of each worker (0)"
    )
    root.add_argument(
        "--address", help="of a Ray cluster (default: one on this machine)"
    )


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
    warnings.formatwarning = told_on_one_line
    return guarded(lambda: run(options), FAULTS)


def run(options: argparse.Namespace) -> int:
    """Transcribes what a command line names.

    Raises
    ------
    ValueError
        If the model cannot do what is asked for, or the output is there.
    ImportError
        If Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise ImportError(
            "ray_batch needs the extra `ray`: pip install 'dld-brain[ray]'"
        )
    output = options.output
    is_table = output.suffix.lower() != ".jsonl"
    if is_table and output.exists() and any(output.iterdir()):
        raise ValueError(
            f"-o must be a file .jsonl or a new folder, but {output} holds "
            f"something: give another"
        )
    import ray

    from pretrained_interfaces.many import on_ray
    from pretrained_interfaces.many.items import find_items
    from pretrained_interfaces.many.transcriber import Transcriber

    formats = ("json",) if options.word_times else ("txt",)
    how = replace(how_of(options), formats=formats, is_one=False)
    if how.source is not None and Path(how.source).is_dir():
        how = replace(how, source=str(Path(how.source).absolute()))
    Transcriber(replace(how, device="cpu"))  # a fault is told before Ray starts
    items = [*map(on_ray.everywhere, find_items(options.files))]
    if not ray.is_initialized():
        ray.init(options.address, log_to_driver=False, logging_level="WARNING")
    workers = on_ray.Workers(options.workers, options.cpus, options.gpus)
    found = on_ray.transcribe(items, how, workers, options.batch_size)
    n_failed = write(found, output, is_table)
    line = f"transcribed {len(items) - n_failed} files; {n_failed} failed"
    say(line, to=sys.stderr)
    return SOME_FAILED if n_failed else 0


def write(found: "ray.data.Dataset", output: Path, is_table: bool) -> int:
    """Writes results, whole or not at all.

    Arguments
    ---------
    is_table : bool
        Whether the output is a folder of Parquet files.

    Returns
    -------
    int
        Items that failed.
    """
    if is_table:
        with whole_folder(output) as folder:
            found.drop_columns(["place"]).write_parquet(str(folder.absolute()))
        errors = found.select_columns(["error"]).iter_rows()
        return sum(row["error"] is not None for row in errors)
    n_failed = 0
    with whole_file(output) as path, open(path, "w") as file:
        for row in found.iter_rows():
            n_failed += row["error"] is not None
            file.write(json.dumps(_told(row)) + "\n")
    return n_failed


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """A row as `transcribe --json` has it: without what there is not."""
    given = ("id", "offset", "duration")
    if row["error"] is not None:
        kept = ("file", *given, "error")
    else:
        kept = tuple(k for k in row if k not in ("place", "error"))
    return {k: row[k] for k in kept if k not in given or row[k] is not None}


if __name__ == "__main__":
    sys.exit(main())
