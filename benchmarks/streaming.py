"""What chunks, depths that change in mid-stream, and load cost a stream.

> python benchmarks/streaming.py depths --source DIR --csv test.csv
> python benchmarks/streaming.py changes --source DIR --csv test.csv
> python benchmarks/streaming.py load --source DIR --csv test.csv --load 4
> python benchmarks/streaming.py window --source DIR --csv test.csv

`depths`: WER of utterances, whole and in chunks, at each depth. `changes`:
WER of one long stream against how often its depth is drawn anew, with and
without refill, beside fixed depths. `load`: lags of a governor and of fixed
depths while processes keep the cores busy in the middle third. `window`: what
is encoded, and takes time, in a stream by a sliding window.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import jiwer
import numpy as np
import torch
from load import watched
from long import read_speech
from streaming_depths import Speech, depths
from streaming_load import lags, windows
from timing import summary, write_result

from pretrained_interfaces import DynamicEncoderASR

#: Seconds from one draw of the depth to the next.
PERIODS = {"10 s": 10.0, "2 s": 2.0, "every chunk": 0.0}
#: Utterances of a batch, where they need not be streams.
BATCH = 16
NO_TIME = {"min": None, "median": None, "max": None}


def joined(options: argparse.Namespace, asr: DynamicEncoderASR) -> Speech:
    """Reads utterances until there are as many seconds as are asked for."""
    rate = asr.hparams.sample_rate
    waves, texts = read_speech(options.csv, options.data_root, rate)
    gap, parts, names, n = np.zeros(round(options.pause * rate)), [], [], 0
    for name, wave in waves.items():
        if n >= options.seconds * rate:
            break
        parts += [wave, gap]
        names.append(name)
        n += len(wave) + len(gap)
    samples = np.concatenate(parts).astype(np.float32)
    said = [asr.task.scored(texts[name]) for name in names]
    return Speech([waves[x] for x in names], said, samples, " ".join(said))


def play(
    asr: DynamicEncoderASR,
    speech: Speech,
    options: argparse.Namespace,
    depths: Sequence[int],
    every: Optional[float],
    refill: bool,
    draw: int,
) -> dict[str, Any]:
    """One stream; a depth is drawn anew every so many seconds.

    Arguments
    ---------
    every : float, optional
        The first of `depths` holds if not given.
    draw : int
        Seed of the draws.
    """
    stream = asr.stream(options.chunk, options.left, depths[0], refill=refill)
    size, rng = round(options.chunk * stream.rate), random.Random(draw)
    seconds, words, due = [], [], 0.0
    for first in range(0, len(speech.samples), size):
        if every is not None and first / stream.rate >= due:
            stream.set_depth(rng.choice(depths))
            due += max(every, options.chunk)
        started = time.perf_counter()
        words += stream.feed(speech.samples[first : first + size]).words
        seconds.append(time.perf_counter() - started)
    words += stream.finish().words
    said = asr.task.scored(" ".join(w.text for w in words))
    counts = stream.record.chunks_at
    mean = sum(n * k for n, k in counts.items()) / counts.total()
    return {
        "wer": 100 * jiwer.wer(speech.words, said),
        "mean_depth": mean,
        "changes": stream.record.n_changes,
        "ms": summary(seconds),
    }


def changes(
    asr: DynamicEncoderASR, speech: Speech, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """WER by how often the depth is drawn anew, with and without refill.

    Beside the shallowest depth, the one in the middle, and the deepest.
    """
    rows, known = [], sorted(set(options.depths))
    for n in (known[0], known[len(known) // 2], known[-1]):
        found = [play(asr, speech, options, [n], None, True, 0)]
        rows.append(averaged("fixed", f"n={n}", options, found))
    for refill in (True, False):
        task = "refilled" if refill else "without refill"
        for name, every in PERIODS.items():
            found = [
                play(asr, speech, options, options.depths, every, refill, draw)
                for draw in range(options.draws)
            ]
            rows.append(averaged(task, name, options, found))
    return rows


def averaged(
    task: str, name: str, options: argparse.Namespace, found: list[Any]
) -> dict[str, Any]:
    """A row of the report: the mean over the draws."""
    wers = [each["wer"] for each in found]
    row = {
        "task": task,
        "input": name,
        "source": options.title,
        "depths": sorted(set(options.depths)),
        "wer": statistics.mean(wers),
        "wers": wers,
        "mean_depth": statistics.mean(each["mean_depth"] for each in found),
        "changes": statistics.mean(each["changes"] for each in found),
        "ms": found[0]["ms"],
    }
    print(f"| {task} | {name} | {row['mean_depth']:.2f} | {row['wer']:.2f} |")
    sys.stdout.flush()
    return row


QUESTIONS = {
    depths: "What do chunks cost, at each depth?",
    changes: "What does a depth that changes in mid-stream cost?",
    lags: "Does the governor hold the lag where fixed depths do not?",
    windows: "What is encoded anew by a sliding window?",
}
MODES = {"depths": depths, "changes": changes, "load": lags, "window": windows}


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    root = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    root.add_argument("mode", choices=MODES)
    root.add_argument("--source", nargs="+", help="folders `pretrained`")
    root.add_argument("--titles", nargs="+", help="of them, in tables")
    root.add_argument("--csv", type=Path, required=True, help="utterances")
    root.add_argument("--data_root", default="")
    root.add_argument("--seconds", type=float, default=600.0, help="of speech")
    root.add_argument("--pause", type=float, default=0.5, help="between, s")
    root.add_argument("--chunk", type=float, default=0.64)
    root.add_argument("--left", type=float, default=2.56)
    root.add_argument("--left_chunks", type=int, default=4, help="of `depths`")
    root.add_argument("--depths", type=int, nargs="+", help="default: all")
    root.add_argument("--draws", type=int, default=3, help="of `changes`")
    root.add_argument("--load", type=int, default=4, help="busy processes")
    root.add_argument("--max_lag", type=float, default=0.3)
    help_ = "play so many times faster; default: full depth just holds"
    root.add_argument("--speed", type=float, help=help_)
    root.add_argument("--rounds", type=int, default=3, help="of `load`")
    root.add_argument("--window", type=float, default=10.0)
    root.add_argument("--output", required=True)
    return root


def main(arguments: Optional[list[str]] = None) -> int:
    """Measures, prints and writes; gives the exit status."""
    options = parser().parse_args(arguments)
    measure, rows, told = MODES[options.mode], [], options.depths
    torch.set_num_threads(1)
    with watched() as load:
        for i, source in enumerate(options.source):
            asr = DynamicEncoderASR.from_hparams(source)
            options.title = (options.titles or options.source)[i]
            options.depths = told or asr.depths
            rows += measure(asr, joined(options, asr), options)
    return write_result(options.output, QUESTIONS[measure], rows, load)


if __name__ == "__main__":
    sys.exit(main())
