"""Do answers stay in time under load, and what does that cost in words?

> pip install -e '.[serve]'
> python benchmarks/serve_load.py --source DIR --csv test.csv --data_root DIR

Starts a server on this machine's loopback address, measures how many requests
a second full depth can do, and sends it requests at random (Poisson) at some
shares of that: at fixed depths and at the controller's, one after another at
each share. Latency counts from when a request was due, so that a server which
falls behind cannot hide it. Bounded: `--seconds` and `--most` requests a
row. Prints a table, writes JSON.
"""

import argparse
import http.client
import io
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

import jiwer
import soundfile
from load import watched
from timing import write_result

from dld_brain.audio.csv_files import read_rows
from dld_brain.audio.reader import read_audio
from dld_brain.evaluation.tables import markdown_table
from dld_brain.tasks.spoken import spoken

SHARES = (0.5, 0.8, 1.0, 1.5, 3.0)
#: Requests that are under way at once; more are late before they are sent.
N_CLIENTS = 256
#: Requests, one after another, that full depth's capacity is measured with.
N_ALONE = 12
BOUNDARY = "serve-load"


class Utterance(NamedTuple):
    """The bytes of a file, and what is said."""

    content: bytes
    text: str


@dataclass
class Outcome:
    """What came of a request; latency in s from when it was due."""

    utterance: Utterance
    status: int
    latency: float
    answer: dict[str, Any]


def form(content: bytes, n_layers: Optional[int]) -> bytes:
    """A request's body."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'
    named = "" if n_layers is None else f'{head}n_layers"\r\n\r\n{n_layers}\r\n'
    start = f'{named}{head}file"; filename="a"\r\n\r\n'
    return start.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def ask(
    url: str, utterance: Utterance, n_layers: Optional[int], due: float
) -> Outcome:
    """Sends a request and waits for its answer."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(
        where.hostname, where.port, timeout=120
    )
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    body = form(utterance.content, n_layers)
    try:
        connection.request("POST", "/v1/audio/transcriptions", body, kind)
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    latency = time.perf_counter() - due
    return Outcome(utterance, response.status, latency, answer)


def arrivals(rate: float, seconds: float, most: int, seed: int) -> list[float]:
    """When requests are due, s.

    Example
    -------
    >>> len(arrivals(rate=100.0, seconds=10.0, most=50, seed=0))
    50
    """
    rng, now, found = random.Random(seed), 0.0, []
    while len(found) < most:
        now += rng.expovariate(rate)
        if now > seconds:
            break
        found.append(now)
    return found


def drive(
    send: Callable[[Utterance, float], Outcome],
    speech: Sequence[Utterance],
    dues: Sequence[float],
) -> list[Outcome]:
    """Sends requests when they are due, whatever became of the others."""
    started, futures = time.perf_counter(), []
    with ThreadPoolExecutor(N_CLIENTS) as clients:
        for i, due in enumerate(dues):
            time.sleep(max(0.0, started + due - time.perf_counter()))
            utterance = speech[i % len(speech)]
            futures.append(clients.submit(send, utterance, started + due))
        return [future.result() for future in futures]


def row_of(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Latencies (s), depth, WER (%) and refusals of some requests."""
    good = [o for o in outcomes if o.status == 200]
    refused = sum(o.status == 503 for o in outcomes)
    row: dict[str, Any] = {
        "requests": len(outcomes),
        "refused": refused,
        "failed": len(outcomes) - len(good) - refused,
    }
    if len(good) < 2:
        return row
    cuts = statistics.quantiles([o.latency for o in good], n=100)
    row |= {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}
    row["mean_depth"] = statistics.mean(o.answer["n_layers"] for o in good)
    row["wer"] = 100 * jiwer.wer(
        [spoken(o.utterance.text) for o in good],
        [spoken(o.answer["text"]) for o in good],
    )
    return row


@contextmanager
def serving(options: argparse.Namespace) -> Iterator[str]:
    """A server on loopback; its address."""
    command = [sys.executable, "-m", "pretrained_interfaces", "serve"]
    for name in ("source", "target_p95", "workers", "threads"):
        value = getattr(options, name)
        command += [] if value is None else [f"--{name}", str(value)]
    command += ["--port", "0", "--max_requests", str(2 * N_CLIENTS)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        url = process.stdout.readline().strip()
        while get(url, "/ready")[0] != 200:
            if process.poll() is not None:
                raise RuntimeError("the server ended before it was ready")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def get(url: str, path: str) -> tuple[int, dict[str, Any]]:
    """The status and JSON of a path."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def capacity(
    url: str, speech: Sequence[Utterance], n_total: int, workers: int
) -> float:
    """Requests a second that full depth can do."""
    some = speech[:: max(1, len(speech) // N_ALONE)][:N_ALONE]
    ask(url, some[0], n_total, time.perf_counter())  # to warm up
    outcomes = [ask(url, u, n_total, time.perf_counter()) for u in some]
    return workers / statistics.mean(
        o.answer["compute_seconds"] for o in outcomes
    )


def read(path: str, data_root: str, n_most: int) -> list[Utterance]:
    """Utterances of a CSV file: evenly spread ones where they are too many."""
    rows = list(read_rows(Path(path), data_root, "wrd").items.values())
    step = max(len(rows) / n_most, 1.0)
    found = []
    for row in (rows[int(i * step)] for i in range(int(len(rows) / step))):
        samples, rate = read_audio(row["wav"])
        file = io.BytesIO()
        part = samples[row["start"] : row["stop"], 0].numpy()
        soundfile.write(file, part, rate, format="FLAC")
        found.append(Utterance(file.getvalue(), row["wrd"]))
    return found


def rows_of(
    url: str, options: argparse.Namespace, speech: Sequence[Utterance]
) -> list[dict[str, Any]]:
    """Measures every share at every depth."""
    depths = get(url, "/v1/models")[1]["data"][0]["depths"]
    full = max(depths)
    half = min(depths, key=lambda n: abs(n - full / 2))
    fixed = options.n_layers or sorted({full, half, min(depths)})
    rate = capacity(url, speech, full, options.workers)
    print(f"full depth ({full}): {rate:.2f} requests a second")
    rows = []
    for share in options.shares:
        dues = arrivals(share * rate, options.seconds, options.most, seed=0)
        for n in [*sorted(fixed, reverse=True), None]:

            def send(
                utterance: Utterance, due: float, n_layers: Optional[int] = n
            ) -> Outcome:
                """Asks at a depth."""
                return ask(url, utterance, n_layers, due)

            depth = "controller" if n is None else str(n)
            row = {"load": share, "depth": depth, "requests_a_second": rate}
            rows.append(row | row_of(drive(send, speech, dues)))
            print(json.dumps(rows[-1]), flush=True)
    return rows


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    found = argparse.ArgumentParser(description=__doc__)
    found.add_argument("--source", help="folder `pretrained`")
    found.add_argument("--csv", required=True, help="wav and wrd of a test set")
    found.add_argument("--data_root", default="")
    found.add_argument("--utterances", type=int, default=100)
    found.add_argument("--target_p95", type=float, default=0.5)
    found.add_argument("--workers", type=int, default=1)
    found.add_argument("--threads", type=int)
    found.add_argument("--n_layers", type=int, nargs="*", help="fixed depths")
    found.add_argument("--shares", type=float, nargs="*", default=SHARES)
    found.add_argument("--seconds", type=float, default=60.0)
    found.add_argument("--most", type=int, default=2000)
    found.add_argument("--output", default="serve_load.json")
    return found


def main() -> int:
    """Runs the benchmark; gives the exit status."""
    options = parser().parse_args()
    speech = read(options.csv, options.data_root, options.utterances)
    with watched() as load, serving(options) as url:
        rows = rows_of(url, options, speech)
    columns = ("load", "depth", "p50", "p95", "p99", "mean_depth", "wer")
    columns += ("refused", "failed")
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    print(markdown_table(columns, cells))
    question = "Do answers stay in time under load?"
    return write_result(options.output, question, rows, load)


def _cell(value: Any) -> str:
    """A cell of the table."""
    return f"{value:.3g}" if isinstance(value, float) else str(value or 0)


if __name__ == "__main__":
    sys.exit(main())
