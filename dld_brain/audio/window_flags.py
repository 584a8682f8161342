"""What commands that cut audio into windows have on their command line."""

import argparse

from dld_brain.audio.window_limits import BATCH


def add_windows(command: argparse.ArgumentParser) -> None:
    """Adds how long audio is cut, and how much of it is run at once."""
    command.add_argument(
        "--window",
        type=float,
        help="longest window, s (default: 20, or training's longest utterance)",
    )
    command.add_argument(
        "--overlap",
        type=float,
        help="of a window on either side, s (default: 2, or a sixth of it)",
    )
    command.add_argument(
        "--batch_seconds",
        type=float,
        default=BATCH,
        help=f"windows run together, padding included, s ({BATCH:g})",
    )
