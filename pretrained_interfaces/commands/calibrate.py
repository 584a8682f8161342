"""Measures from the shell what the depths cost."""

import argparse
import json
from typing import TYPE_CHECKING

from dld_brain.files.console import STATUSES, say
from pretrained_interfaces.commands import flags

if TYPE_CHECKING:  # torch takes seconds
    from pretrained_interfaces.asr import DynamicEncoderASR


def add_command(
    commands: argparse._SubParsersAction, shared: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """Adds `calibrate` to the commands of a parser.

    Arguments
    ---------
    shared : argparse.ArgumentParser
        Has what all commands share: the model, the device.
    """
    command = commands.add_parser(
        "calibrate",
        parents=[shared],
        help="measure every depth here",
        epilog=STATUSES,
    )
    command.add_argument("--seconds", type=float, default=10.0)
    command.add_argument("--threads", type=int)
    command.set_defaults(model=flags.ASR, run=run)
    return command


def run(asr: "DynamicEncoderASR", options: argparse.Namespace) -> int:
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
