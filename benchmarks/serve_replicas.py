"""Two replicas on Ray Serve, one is killed under load: what do clients see?

> python benchmarks/serve_replicas.py --source DIR --csv test.csv --data_root D

Poisson arrivals at a share of what both can do at full depth, and one of them
is killed after a third of the time. A row for the time before, while one was
there, and after the second was there again. Needs the extras serve and ray.
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from load import watched
from serve_client import Outcome, Utterance, ask, read
from serve_load import arrivals, capacity, cell, drive, row_of
from timing import write_result

from dld_brain.evaluation.tables import markdown_table
from pretrained_interfaces import DynamicEncoderASR

PORT = 8765
URL = f"http://127.0.0.1:{PORT}"
N_REPLICAS = 2
COLUMNS = ("task", "input", "p50", "p95", "p99", "mean_depth", "wer")
COLUMNS += ("requests", "refused", "failed")


@contextmanager
def replicas(options: argparse.Namespace) -> Iterator[None]:
    """The application on a Ray of this machine, with two replicas."""
    import ray
    from ray import serve

    from pretrained_interfaces.serve.on_ray import Arguments, app

    root = str(Path(__file__).parents[1])
    paths = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    ray.init(
        num_cpus=N_REPLICAS,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}},
    )
    try:
        serve.start(http_options={"port": PORT})
        told = Arguments(
            source=options.source,
            target_p95=options.target_p95,
            min_replicas=N_REPLICAS,
            max_replicas=N_REPLICAS,
            cpus=0.5,
        )
        serve.run(app(told))
        yield
    finally:
        serve.shutdown()
        ray.shutdown()


class Murder(threading.Thread):
    """Kills a replica after some seconds, and sees when there are two again.

    Arguments
    ---------
    origin : float
        From when seconds count, by `time.perf_counter`.
    """

    def __init__(self, origin: float, after: float) -> None:
        super().__init__(daemon=True)
        self._origin, self._after = origin, after
        self._over = threading.Event()
        self.killed = self.again = float("inf")

    def run(self) -> None:
        """Does it."""
        import ray

        time.sleep(max(0.0, self._origin + self._after - time.perf_counter()))
        victim = next(
            x
            for x in ray.util.list_named_actors(all_namespaces=True)
            if "#model#" in x["name"]
        )
        handle = ray.get_actor(victim["name"], namespace=victim["namespace"])
        ray.kill(handle, no_restart=True)
        self.killed = time.perf_counter() - self._origin
        # Ray first has to notice that it is gone.
        if self._wait(lambda n: n < N_REPLICAS):
            if self._wait(lambda n: n == N_REPLICAS):
                self.again = time.perf_counter() - self._origin

    def end(self) -> None:
        """Ends the watch: the load is over."""
        self._over.set()
        self.join()

    def _wait(self, is_reached: Callable[[int], bool]) -> bool:
        """Waits for a number of replicas; False if the load is over before."""
        while not is_reached(self._n_running()):
            if self._over.wait(0.1):
                return False
        return True

    @staticmethod
    def _n_running() -> int:
        """Replicas that answer, as Ray Serve knows them."""
        from ray import serve

        application = serve.status().applications["default"]
        states = application.deployments["model"].replica_states
        return states.get("RUNNING", 0)


def phases(
    outcomes: Sequence[Outcome],
    dues: Sequence[float],
    killed: float,
    again: float,
) -> list[dict[str, Any]]:
    """A row for each of the three times, by when requests were due.

    Example
    -------
    >>> said = Outcome(Utterance(b"", "a"), 503, 1.0, {})
    >>> rows = phases([said] * 3, [1.0, 2.0, 5.0], 2.0, float("inf"))
    >>> [(row["task"], row["input"], row["requests"]) for row in rows]
    [('two replicas', '0 to 2 s', 1), ('one', '2 to 5 s', 2)]
    """
    ends = {"two replicas": killed, "one": again, "two again": float("inf")}
    rows, start = [], 0.0
    for task, end in ends.items():
        own = [o for o, due in zip(outcomes, dues) if start <= due < end]
        if not own:
            continue
        until = min(end, dues[-1])
        span = f"{start:.0f} to {until:.0f} s"
        rows.append({"task": task, "input": span} | row_of(own))
        start = end
    return rows


def measure(
    options: argparse.Namespace, speech: Sequence[Utterance]
) -> list[dict[str, Any]]:
    """Drives the replicas, and has one killed."""
    full = max(DynamicEncoderASR.from_hparams(options.source).depths)
    rate = N_REPLICAS * capacity(URL, speech, full, 1)
    dues = arrivals(options.share * rate, options.seconds, 10**6, seed=0)
    murder = Murder(time.perf_counter(), options.seconds / 3)
    murder.start()
    outcomes = drive(lambda u, due: ask(URL, u, None, due), speech, dues)
    murder.end()
    rows = phases(outcomes, dues, murder.killed, murder.again)
    common = {"full_rate": rate, "share": options.share, "data": options.data}
    return [row | common for row in rows]


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    found = argparse.ArgumentParser(description=__doc__)
    found.add_argument("--source", required=True, help="folder `pretrained`")
    found.add_argument("--csv", required=True, help="wav and wrd of a test set")
    found.add_argument("--data_root", default="")
    found.add_argument("--data", default="", help="what the set is called")
    found.add_argument("--utterances", type=int, default=100)
    found.add_argument("--target_p95", type=float, default=0.5)
    found.add_argument("--share", type=float, default=0.6, help="of capacity")
    found.add_argument("--seconds", type=float, default=180.0)
    found.add_argument("--output", default="serve_replicas.json")
    return found


def main() -> int:
    """Runs the benchmark; gives the exit status."""
    options = parser().parse_args()
    options.source = str(Path(options.source).resolve())
    options.data = options.data or Path(options.csv).stem
    speech = read(options.csv, options.data_root, options.utterances)
    torch.set_num_threads(1)
    # Otherwise both replicas measure their depths at once, on the same cores.
    DynamicEncoderASR.from_hparams(options.source).costs()
    with watched() as load, replicas(options):
        rows = measure(options, speech)
    cells = [[cell(row.get(name)) for name in COLUMNS] for row in rows]
    print(markdown_table(COLUMNS, cells))
    question = "What do clients see when a replica dies?"
    return write_result(options.output, question, rows, load)


if __name__ == "__main__":
    sys.exit(main())
