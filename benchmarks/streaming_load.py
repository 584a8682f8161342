"""What `streaming.py` has of time: lags under load, and sliding windows."""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Optional

import jiwer
import numpy as np
import torch
from timing import summary

from pretrained_interfaces import DynamicEncoderASR, Governor

#: What a microphone gives at once, s.
BLOCK = 0.08
#: Of its bound, what full depth takes without load where the speed is not told.
FILLED = 0.8
#: Chunks that this is found out by.
N_TRIED = 100


def _spin(is_due: Any) -> None:
    """Keeps a core busy while it is due."""
    while True:
        is_due.wait()
        while is_due.is_set():
            for _ in range(100_000):
                pass


@contextmanager
def spinners(n: int) -> Iterator[Any]:
    """So many processes that do nothing else, while an event is set.

    They are there before a stream begins: to start them takes longer than
    many a chunk.
    """
    is_due = multiprocessing.Event()
    processes = [
        multiprocessing.Process(target=_spin, args=(is_due,), daemon=True)
        for _ in range(n)
    ]
    for process in processes:
        process.start()
    try:
        yield is_due
    finally:
        for process in processes:
            process.terminate()
            process.join()


class Player:
    """A clock that is faster than time by a factor, and who waits by it."""

    def __init__(self, speed: float) -> None:
        self.speed = speed

    def __call__(self) -> float:
        return self.speed * time.perf_counter()

    def wait_until(self, when: float) -> None:
        """Sleeps, if it is not that late yet."""
        time.sleep(max(0.0, when - self()) / self.speed)


def speed_that_holds(
    asr: DynamicEncoderASR, samples: np.ndarray, options: argparse.Namespace
) -> float:
    """How much faster than real time full depth just keeps the bound."""
    stream = asr.stream(options.chunk, options.left)
    size, seconds = round(options.chunk * stream.rate), []
    for first in range(0, len(samples), size)[: N_TRIED + 5]:
        started = time.perf_counter()
        stream.feed(samples[first : first + size])
        seconds.append(time.perf_counter() - started)
    usual = float(np.quantile(seconds[5:], 0.9))
    return FILLED * options.max_lag / usual


def lags(
    asr: DynamicEncoderASR, speech: Any, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Lags of a governor and of fixed depths, in turn, in several rounds."""
    speed = options.speed or speed_that_holds(asr, speech.samples, options)
    n_least, n_total = asr.depths[0], asr.depths[-1]
    kinds: dict[str, dict[str, Any]] = {
        f"fixed, n={n_total}": {"n_layers": n_total},
        f"fixed, n={n_least}": {"n_layers": n_least},
        "governor": {"governor": Governor(options.max_lag)},
    }
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in kinds}
    with spinners(options.load) as is_due:
        for i in range(options.rounds):
            for name, told in list(kinds.items())[:: -1 if i % 2 else 1]:
                found = listen(asr, speech, options, speed, told, is_due)
                rounds[name].append(found)
                print(i, name, found["lags"], found["mean_depth"], flush=True)
    return [
        {**pooled(name, found, asr, speech), "speed": speed}
        | {"load": options.load, "max_lag": options.max_lag}
        for name, found in rounds.items()
    ]


def listen(
    asr: DynamicEncoderASR,
    speech: Any,
    options: argparse.Namespace,
    speed: float,
    told: dict[str, Any],
    is_due: Any,
) -> dict[str, Any]:
    """One stream in blocks, as they come, under load in the middle third.

    Arguments
    ---------
    is_due : multiprocessing.Event
        Of the load.
    """
    clock, rows, words = Player(speed), [], []
    stream = asr.stream(options.chunk, options.left, clock=clock, **told)
    size, started = round(BLOCK * stream.rate), clock()
    n_samples = len(speech.samples)
    for first in range(0, n_samples, size):
        part = 3 * first // n_samples
        (is_due.set if part == 1 else is_due.clear)()
        block = speech.samples[first : first + size]
        end = (first + len(block)) / stream.rate
        clock.wait_until(started + end)
        n_before = stream.record.chunks_at.total()
        update = stream.feed(block, arrived=started + end)
        words += update.words
        if stream.record.chunks_at.total() > n_before:
            rows.append((end, update.lag, update.n_layers, part))
    words += stream.finish().words
    return {
        "chunks": rows,
        "lags": by_part(rows),
        "said": asr.task.scored(" ".join(word.text for word in words)),
        "mean_depth": statistics.mean(row[2] for row in rows),
        "dropped": n_samples - stream.record.n_samples,
    }


def by_part(rows: list[tuple[float, float, int, int]]) -> dict[str, Any]:
    """Lags without and under load: median, p95 and the longest, s."""
    found = {}
    for name, parts in (("quiet", (0, 2)), ("load", (1,)), ("all", (0, 1, 2))):
        values = [row[1] for row in rows if row[3] in parts]
        found[name] = {
            "p50": float(np.quantile(values, 0.5)),
            "p95": float(np.quantile(values, 0.95)),
            "max": max(values),
        }
    return found


def pooled(
    name: str, rounds: list[dict[str, Any]], asr: Any, speech: Any
) -> dict[str, Any]:
    """A row of the report: all rounds together; the last is what is drawn."""
    chunks = [row for found in rounds for row in found["chunks"]]
    said = [found["said"] for found in rounds]
    under = [row[2] for row in chunks if row[3] == 1]
    return {
        "task": name,
        "input": f"{len(speech.samples) / asr.hparams.sample_rate:.0f} s",
        "lags": by_part(chunks),
        "mean_depth": statistics.mean(row[2] for row in chunks),
        "mean_depth_under_load": statistics.mean(under),
        "dropped": sum(found["dropped"] for found in rounds),
        "wer": 100 * jiwer.wer([speech.words] * len(said), said),
        "rounds": len(rounds),
        "chunks": [
            [round(end, 2), round(lag, 4), n]
            for end, lag, n, _ in rounds[-1]["chunks"]
        ],
        "ms": summary([row[1] for row in chunks]),
    }


def windows(
    asr: DynamicEncoderASR, speech: Any, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """What a stream by a sliding window encodes, and the time that it takes.

    Beside: the same speech in pieces of a window, each encoded once.
    """
    encoded, samples = [0], torch.from_numpy(speech.samples)
    encode = asr.encode

    def counted(wavs: torch.Tensor, *others: Any) -> Any:
        """Encodes, and counts what."""
        encoded[0] += wavs.shape[1]
        return encode(wavs, *others)

    asr.encode = counted  # of this object alone
    rows, size = [], round(options.window * asr.hparams.sample_rate)
    for n in options.depths:
        encoded[0] = 0
        streamed = timed(lambda n=n: run_window(asr, samples, options, n))
        n_encoded = encoded[0]
        once = timed(
            lambda n=n: [
                asr.encode(part[None], torch.ones(1), n)
                for part in samples.split(size)
            ]
        )
        rows.append(
            {
                "task": options.title,
                "input": f"n={n}",
                "chunk": options.chunk,
                "window": options.window,
                "encoded": n_encoded / len(samples),
                "to_once": streamed / once,
                "ms": summary([streamed]),
            }
        )
        print({k: v for k, v in rows[-1].items() if k != "ms"}, flush=True)
    return rows


def timed(task: Callable[[], Any]) -> float:
    """Seconds of processor time."""
    started = time.process_time()
    task()
    return time.process_time() - started


def run_window(
    asr: DynamicEncoderASR,
    samples: torch.Tensor,
    options: argparse.Namespace,
    n_layers: Optional[int],
) -> None:
    """Streams to the end."""
    window, chunk = options.window, options.chunk
    stream = asr.stream(chunk, n_layers=n_layers, window=window)
    for part in samples.split(round(chunk * stream.rate)):
        stream.feed(part)
    stream.finish()
