"""Live from the shell: the microphone, a pipe, or a file in real time.

> python -m pretrained_interfaces live --source DIR
> ffmpeg -i URL -ac 1 -ar 16000 -f s16le - | python -m pretrained_interfaces \
      live --source DIR --max_lag 0.3 -
> python -m pretrained_interfaces live --source DIR a.wav

Words are printed when they will not change any more; on a terminal, the
depth and the lag stand behind them. The end of the input, or Ctrl-C, prints
the whole.
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from dld_brain.files.console import STATUSES, complain
from pretrained_interfaces.streams.screen import Screen
from pretrained_interfaces.streams.sources import (
    Block,
    arrivals,
    microphone,
    pcm_blocks,
    played,
)

if TYPE_CHECKING:
    from pretrained_interfaces.asr import DynamicEncoderASR
    from pretrained_interfaces.streams.stream import Stream


def add_command(commands: Any, shared: ArgumentParser, model: Any) -> None:
    """Adds `live` to a command line.

    Arguments
    ---------
    commands
        What `add_subparsers` gave.
    shared : ArgumentParser
        What all commands have.
    model : tuple of str
        Module and name of the interface that loads the model.
    """
    command = commands.add_parser(
        "live",
        parents=[shared],
        help="transcribe the microphone, or a pipe, as one speaks",
        epilog=STATUSES,
    )
    depth = command.add_mutually_exclusive_group()
    depth.add_argument(
        "--n_layers", type=int, help="layers that run (default: all)"
    )
    depth.add_argument(
        "--max_lag",
        type=float,
        help="choose the depth of each chunk so that text lags no more, s",
    )
    command.add_argument(
        "--floor", type=int, help="with --max_lag, the shallowest depth"
    )
    command.add_argument(
        "--chunk", type=float, default=0.64, help="s (default: 0.64)"
    )
    command.add_argument(
        "--left", type=float, default=5.12, help="what is seen before it, s"
    )
    command.add_argument(
        "--window",
        type=float,
        help="for a model of whole utterances: encode so much anew with each "
        "chunk, s",
    )
    command.add_argument(
        "input",
        nargs="?",
        help="- for raw 16-bit mono samples at the model's rate on stdin, or "
        "an audio file, which is played in real time (default: microphone)",
    )
    command.set_defaults(model=model, run=live)


def live(asr: "DynamicEncoderASR", options: Namespace) -> int:
    """Transcribes what comes, until it ends or Ctrl-C."""
    from pretrained_interfaces.streams.governor import Governor

    governor = None
    if options.max_lag is not None:
        governor = Governor(max_lag=options.max_lag, floor=options.floor)
    elif options.floor is not None:
        raise ValueError("`--floor` must be given with `--max_lag`")
    stream = asr.stream(
        options.chunk,
        options.left,
        options.n_layers,
        governor,
        window=options.window,
    )
    with closing(arrivals(find_blocks(asr, options.input))) as blocks:
        transcribe_live(stream, blocks, Screen())
    return 0


def find_blocks(
    asr: "DynamicEncoderASR", name: Optional[str]
) -> Iterator[np.ndarray]:
    """Where samples come from: see the command's `input`."""
    rate = asr.hparams.sample_rate
    if name is None:
        return microphone(rate)
    if name == "-":
        # Not by sys.stdin: its lock is held by who waits for a pipe, and
        # Python dies of that when it ends.
        return pcm_blocks(partial(os.read, sys.stdin.fileno()), rate)
    return played(asr.load_audio(name).cpu().numpy(), rate)


def transcribe_live(
    stream: "Stream", blocks: Iterable[Block], screen: Screen
) -> None:
    """Feeds a stream and shows what it gives, to the end or Ctrl-C.

    A block that the stream refuses (NaN) is named and left out.

    Raises
    ------
    OSError
        If the source fails: after the whole of what came before.
    """
    fault: Optional[OSError] = None
    try:
        for block in blocks:
            try:
                update = stream.feed(block.samples, arrived=block.arrived)
            except ValueError as error:
                complain(str(error))
                continue
            screen.show(update)
    except KeyboardInterrupt:
        pass  # the ordinary end of a microphone
    except BrokenPipeError:  # nobody reads
        raise
    except OSError as error:
        fault = error
    screen.show(stream.finish())
    screen.finish()
    record = stream.record
    depths = ", ".join(
        f"{n} layers: {count}" for n, count in sorted(record.chunks_at.items())
    )
    if screen.status.isatty():
        print(
            f"{record.audio_seconds:.1f} s, longest lag {record.max_lag:.2f} "
            f"s, chunks at {depths or 'no depth'}",
            file=screen.status,
        )
    if fault is not None:
        raise fault
