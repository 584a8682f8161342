"""The commands that take out whole model folders: `compact` and `hub`."""

import argparse
from typing import Any

from dld_brain.export.checks import check_files, check_new
from dld_brain.export.compact import report, write_compact
from dld_brain.export.hub import push
from dld_brain.export.outgoing import Outgoing, Terms
from dld_brain.model_folder.compact import DTYPES


def add_commands(
    commands: Any,
    source: argparse.ArgumentParser,
    shared: argparse.ArgumentParser,
) -> None:
    """Adds the commands.

    Arguments
    ---------
    commands : argparse's subparsers
        Of `export`.
    source, shared : argparse.ArgumentParser
        The options of all commands, and of those with an output.
    """
    terms = argparse.ArgumentParser(add_help=False)
    terms.add_argument("--license", help="as the Hub names it: mit, ...")
    terms.add_argument("--license_file", help="its text, kept as LICENSE")
    terms.add_argument(
        "--base_model", help="owner/name of what the model was made of"
    )
    command = commands.add_parser(
        "compact", parents=[shared, terms], help="the folder in fewer bytes"
    )
    command.add_argument(
        "--dtype", choices=DTYPES, default="int8", help="(default: int8)"
    )
    command.set_defaults(do=export_compact)
    command = commands.add_parser(
        "hub",
        parents=[source, terms],
        help="the folder to the Hugging Face Hub",
    )
    command.add_argument("--repo", required=True, help="owner/name")
    command.add_argument("--revision", help="a branch (default: main)")
    command.add_argument(
        "--private", action="store_true", help="for its owner alone"
    )
    command.add_argument(
        "--push", action="store_true", help="send it; else what would go"
    )
    command.set_defaults(do=export_hub)


def export_compact(options: argparse.Namespace) -> int:
    """Writes a model folder whose weights are stored in fewer bytes."""
    output = check_new(options.output)
    check_files(options.files)
    out = Outgoing(options.source, terms_of(options))
    found = write_compact(out, output, options.dtype, options.files)
    report(options.output, found)
    return 0


def export_hub(options: argparse.Namespace) -> int:
    """Pushes a model folder to the Hub."""
    return push(options, terms_of(options))


def terms_of(options: argparse.Namespace) -> Terms:
    """What a command line says of a model's terms."""
    return Terms(options.license, options.license_file, options.base_model)
