"""Do answers stay in time under load, and what does that cost in words?

> pip install -e '.[serve]'
> python benchmarks/serve_load.py --csv test.csv --data_root DIR --int8

Starts a server on this machine's loopback address, measures how many requests
a second full depth can do, one after another, and sends it requests at random
(Poisson) at some shares of that: at fixed depths and at the controller's, in
turn at each share. Latency counts from when a request was due, so that a server
which falls behind cannot hide it. Bounded: `--seconds` and `--most` requests a
row. The clients' work is this machine's, too. Prints a table, writes JSON and a
picture; what was measured of a run that was stopped is kept beside it, and not
done again.

> python benchmarks/serve_load.py --csv test.csv --soak 600

sends a mix of good, broken, huge and cancelled requests instead, and looks at
the server's memory.
"""

import argparse
import json
import random
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

import jiwer
from load import watched
from serve_client import N_CLIENTS, Outcome, Utterance, ask, get, read, serving
from serve_soak import soak
from serving_tables import CONTROLLER, draw_refusals
from timing import write_result

from dld_brain.evaluation.tables import markdown_table
from dld_brain.files.whole import write_text
from dld_brain.tasks.spoken import spoken

SHARES = (0.5, 0.8, 1.0, 1.5, 3.0)
#: Requests, one after another, that full depth's capacity is measured with.
N_ALONE = 12
#: Options that rows of one table have in common.
COMMON = ("source", "int8", "csv", "utterances", "target_p95", "workers")
COMMON += ("threads", "seconds", "most")


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
    times = sorted(1000 * o.latency for o in good) or [None]
    row["ms"] = {"min": times[0], "median": None, "max": times[-1]}
    if len(good) < 2:
        return row
    cuts = statistics.quantiles([o.latency for o in good], n=100)
    row["ms"]["median"] = 1000 * cuts[49]
    row |= {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}
    row["mean_depth"] = statistics.mean(o.answer["n_layers"] for o in good)
    row["wer"] = 100 * jiwer.wer(
        [spoken(o.utterance.text) for o in good],
        [spoken(o.answer["text"]) for o in good],
    )
    return row


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


class Rows:
    """The rows of a table, kept beside it until it is whole.

    Arguments
    ---------
    common : dict
        What all of them have in common; rows of others are not taken up.
    """

    def __init__(self, output: str, common: dict[str, Any]) -> None:
        self.path = Path(f"{output}.part")
        self.kept: dict[str, Any] = {"common": common, "rows": []}
        if self.path.is_file():
            found = json.loads(self.path.read_text())
            if found["common"] == common:
                self.kept = found

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Those that there are."""
        return self.kept["rows"]

    def keep(self, **more: Any) -> None:
        """Writes them."""
        self.kept |= more
        write_text(self.path, json.dumps(self.kept))

    def has(self, task: str, share: str) -> bool:
        """Whether a row was measured."""
        return any((r["task"], r["input"]) == (task, share) for r in self.rows)


def depths_of(url: str, wanted: Sequence[int]) -> list[int]:
    """Fixed depths, the deepest first: all, half and two, or those asked for."""
    depths = get(url, "/v1/models")[1]["data"][0]["depths"]
    full = max(depths)
    half = min(depths, key=lambda n: abs(n - full / 2))
    two = min(depths, key=lambda n: abs(n - 2))
    return sorted({full, *(wanted or (half, two))}, reverse=True)


def measure(
    url: str,
    options: argparse.Namespace,
    speech: Sequence[Utterance],
    kept: Rows,
) -> None:
    """Measures every share at every depth that is not there yet."""
    fixed = depths_of(url, options.n_layers)
    if "rate" not in kept.kept:
        kept.keep(rate=capacity(url, speech, fixed[0], options.workers))
    rate = kept.kept["rate"]
    print(f"full depth ({fixed[0]}): {rate:.2f} requests a second", flush=True)
    for share in options.shares:
        dues = arrivals(share * rate, options.seconds, options.most, seed=0)
        for n in [*fixed, None]:
            task = CONTROLLER if n is None else f"n = {n}"
            if kept.has(task, f"{share:g}"):
                continue

            def send(
                utterance: Utterance, due: float, n_layers: Optional[int] = n
            ) -> Outcome:
                """Asks at a depth."""
                return ask(url, utterance, n_layers, due)

            row = {"task": task, "input": f"{share:g}", "full_rate": rate}
            row |= {"target_p95": options.target_p95, "data": options.data}
            kept.rows.append(row | row_of(drive(send, speech, dues)))
            kept.keep()
            print(json.dumps(kept.rows[-1]), flush=True)


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    found = argparse.ArgumentParser(description=__doc__)
    found.add_argument("--source", help="folder `pretrained`")
    found.add_argument("--csv", required=True, help="wav and wrd of a test set")
    found.add_argument("--data_root", default="")
    found.add_argument("--data", default="", help="what the set is called")
    found.add_argument("--utterances", type=int, default=100)
    found.add_argument("--target_p95", type=float, default=0.5)
    found.add_argument("--workers", type=int, default=1)
    found.add_argument("--threads", type=int)
    found.add_argument("--int8", action="store_true", help="as of `serve`")
    found.add_argument("--n_layers", type=int, nargs="*", help="fixed depths")
    found.add_argument("--shares", type=float, nargs="*", default=SHARES)
    found.add_argument("--seconds", type=float, default=60.0, help="of a row")
    found.add_argument("--most", type=int, default=2000, help="of a row")
    found.add_argument("--soak", type=float, metavar="SECONDS")
    found.add_argument("--output")
    return found


def main() -> int:
    """Runs the benchmark; gives the exit status."""
    options = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the server
    options.data = options.data or Path(options.csv).stem
    speech = read(options.csv, options.data_root, options.utterances)
    if options.soak is not None:
        return soak(options, speech)
    output = options.output or "serve_load.json"
    kept = Rows(output, {name: getattr(options, name) for name in COMMON})
    with watched() as load, serving(options) as server:
        measure(server.url, options, speech, kept)
    columns = ("input", "task", "p50", "p95", "p99", "mean_depth", "wer")
    columns += ("requests", "refused", "failed")
    cells = [[cell(row.get(name)) for name in columns] for row in kept.rows]
    print(markdown_table(columns, cells))
    question = "Do answers stay in time under load?"
    status = write_result(output, question, kept.rows, load)
    title = f"Answers under load ({options.data})"
    image = Path(output).with_suffix(".png")
    draw_refusals({"title": title}, Path(output), image)
    kept.path.unlink()
    return status


def cell(value: Any) -> str:
    """A cell of the table."""
    return f"{value:.3g}" if isinstance(value, float) else str(value or 0)


if __name__ == "__main__":
    sys.exit(main())
