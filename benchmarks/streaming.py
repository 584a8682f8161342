"""What a depth that changes in mid-stream costs, and what a governor holds.

> python benchmarks/streaming.py --source DIR --csv test.csv
> python benchmarks/streaming.py --source DIR --csv test.csv --load 2

The first: WER against how often the depth changes, between two depths of
one mean, with and without refill. The second: the lag of a governor and of
the full depth, while processes keep the cores busy in the middle third; the
clock is that of the computation, and audio arrives by it in real time.
"""

import argparse
import csv
import json
import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jiwer
import numpy as np

from dld_brain.audio.reader import read_audio
from pretrained_interfaces import DynamicEncoderASR, Governor

#: Seconds from one change of depth to the next.
PERIODS = {"never": None, "10 s": 10.0, "2 s": 2.0, "every chunk": 0.0}


def read_speech(path: str, rate: int, n: int) -> list[tuple[np.ndarray, str]]:
    """Samples and words of the first utterances of a CSV file of a run."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:n]
    return [
        (read_audio(row["wav"], to_rate=rate)[0][:, 0].numpy(), row["wrd"])
        for row in rows
    ]


def transcribe(
    stream: Any, samples: np.ndarray, depths: tuple[int, int], every: float
) -> str:
    """Feeds chunk by chunk; draws one of two depths every so many seconds."""
    size = stream.front.size * stream.front.stem.stride * stream.front.hop
    draw, words, since = random.Random(0), [], 0.0
    stream.set_depth(draw.choice(depths))
    for first in range(0, len(samples), size):
        if since >= every:
            stream.set_depth(draw.choice(depths))
            since = 0.0
        words += stream.feed(samples[first : first + size]).words
        since += size / stream.rate
    return " ".join(w.text for w in (*words, *stream.finish().words))


def changes(
    asr: DynamicEncoderASR, speech: list, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """WER of each period, with and without refill.

    All utterances are one stream each; "never" draws a depth for each.
    """
    found = []
    references = [words for _, words in speech]
    for refill in (True, False):
        for name, every in PERIODS.items():
            answers = [
                transcribe(
                    asr.stream(options.chunk, options.left, refill=refill),
                    samples,
                    tuple(options.depths),
                    float("inf") if every is None else every,
                )
                for samples, _ in speech
            ]
            wer = 100 * jiwer.wer(references, answers)
            found.append({"changes": name, "refill": refill, "wer": wer})
            print(f"| {name} | {refill} | {wer:.2f} |", flush=True)
    return found


class Clock:
    """Time of the computation, which leaps to where audio arrives."""

    def __init__(self) -> None:
        self.skipped = -time.perf_counter()

    def __call__(self) -> float:
        return time.perf_counter() + self.skipped

    def wait_until(self, when: float) -> None:
        """Leaps, if it is not that late yet."""
        self.skipped += max(0.0, when - self())


def _spin() -> None:
    """Keeps a core busy."""
    while True:
        pass


@contextmanager
def busy(n: int) -> Iterator[None]:
    """So many processes that do nothing else."""
    processes = [
        multiprocessing.Process(target=_spin, daemon=True) for _ in range(n)
    ]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def lags(
    asr: DynamicEncoderASR,
    speech: list,
    options: argparse.Namespace,
    governor: Any,
) -> dict[str, Any]:
    """Lags of one long stream, under load in the middle third."""
    samples, clock, found = np.concatenate([s for s, _ in speech]), Clock(), []
    stream = asr.stream(
        options.chunk, options.left, governor=governor, clock=clock
    )
    size, started = round(options.chunk * stream.rate), clock()
    words: list[Any] = []

    def feed(part: np.ndarray, first: int) -> None:
        """Feeds a third of the audio."""
        for i in range(0, len(part), size):
            block = part[i : i + size]
            arrived = started + (first + i + len(block)) / stream.rate
            clock.wait_until(arrived)
            words.extend(stream.feed(block, arrived=arrived).words)
            found.append(stream.update.lag)

    third = len(samples) // 3
    feed(samples[:third], 0)
    with busy(options.load):
        feed(samples[third : 2 * third], third)
    feed(samples[2 * third :], 2 * third)
    words.extend(stream.finish().words)
    return {
        "governor": governor is not None,
        "p95_lag": float(np.quantile(found, 0.95)),
        "max_lag": max(found),
        "chunks_at": dict(stream.record.chunks_at),
        "dropped": len(samples) - stream.record.n_samples,
        "wer": 100
        * jiwer.wer(
            " ".join(w for _, w in speech), " ".join(w.text for w in words)
        ),
    }


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", help="folder `pretrained`")
    parser.add_argument("--csv", required=True, help="utterances: wav, wrd")
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--chunk", type=float, default=0.64)
    parser.add_argument("--left", type=float, default=5.12)
    parser.add_argument("--depths", type=int, nargs=2, help="low and high")
    parser.add_argument("--load", type=int, help="processes, or WER if none")
    parser.add_argument("--max_lag", type=float, default=0.3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    asr = DynamicEncoderASR.from_hparams(options.source)
    options.depths = options.depths or [asr.depths[0], asr.depths[-1]]
    speech = read_speech(
        options.csv, asr.hparams.sample_rate, options.utterances
    )
    if options.load is None:
        found = changes(asr, speech, options)
    else:
        governors = (Governor(options.max_lag), None)
        found = [lags(asr, speech, options, each) for each in governors]
    print(json.dumps(found, indent=1))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
