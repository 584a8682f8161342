"""The process that cases run in: tests.fuzz.worker SUBJECT SEED FOLDER.

Reads names from its input, a line a case; answers when the case is prepared,
and what came out of it.
"""

import contextlib
import importlib
import json
import logging
import os
import random
import resource
import shutil
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from tests.fuzz.harness import Case, judged, own_time
from tests.fuzz.judge import OURS, outcome_of

#: What an operation may ask for, bytes.
MEMORY = 2 * 2**30
#: Addresses that were looked up in the case at hand.
asked: list[str] = []


def status(field: str) -> int:
    """A field of /proc/self/status, bytes."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.partition(f"{field}:")[2].split()[0])


@contextlib.contextmanager
def little_memory() -> Iterator[Callable[[], int]]:
    """Lets the process have `MEMORY` more; gives what it added, MiB."""
    old = resource.getrlimit(resource.RLIMIT_AS)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    before = status("VmRSS")
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + MEMORY, old[1]))
    try:
        yield lambda: (status("VmHWM") - before) // 2**20
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)


class Warned(logging.Handler):
    """Remembers whether the project warned of anything."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Takes a record of ours."""
        if record.name.partition(".")[0] in OURS:
            self.said.append(record.getMessage())


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """Collects warnings and log records of ours."""
    handler = Warned()
    logging.getLogger().addHandler(handler)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield handler.said
        finally:
            logging.getLogger().removeHandler(handler)
            handler.said += [
                str(w.message)
                for w in caught
                if "site-packages" not in w.filename
            ]


def attempt(case: Case, operation: Callable[[], Any]) -> dict[str, Any]:
    """Runs an operation and says what came out."""
    asked.clear()
    started = own_time(os.getpid())
    with listening() as said, little_memory() as added:
        try:
            operation()
            outcome, text = "ok", ""
        except BaseException as error:
            outcome, text = outcome_of(error)
        seconds = own_time(os.getpid()) - started
        peak = added()
    if peak * 2**20 > MEMORY:
        outcome = "memory"
    if asked and case.is_local:
        outcome, text = "network", f"asked for {asked[0]}; {text}"
    outcome = judged(case, outcome, text, bool(said))
    detail = text or "; ".join(said)
    return {
        "outcome": outcome,
        "detail": detail[:1000],
        "seconds": seconds,
        "peak": peak,
    }


def no_network(host: Any, *_: Any, **__: Any) -> NoReturn:
    """In the place of `socket.getaddrinfo`."""
    asked.append(str(host))
    raise socket.gaierror(-3, "no network in a fuzzed case")


def run(
    case: Case, folder: Path, seed: int, tell: Callable[[Any], None]
) -> None:
    """Prepares and runs a case, in a folder that is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        operation = case.prepare(folder, random.Random(f"{seed}:{case.name}"))
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        tell({"outcome": "broken", "detail": text})
        return
    tell({"started": case.name})
    tell(attempt(case, operation))


def main(subject: str, seed: str, folder: str) -> None:
    """Answers until its input ends."""
    answers = os.fdopen(os.dup(1), "w")
    log = os.open(os.devnull, os.O_WRONLY)  # what libraries print
    for stream in (1, 2):
        os.dup2(log, stream)
    module = importlib.import_module(f"tests.fuzz.{subject}")
    cases = {case.name: case for case in module.cases(int(seed))}
    socket.getaddrinfo = no_network

    def tell(content: Any) -> None:
        """Answers a line."""
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    first = next(iter(cases.values()))
    run(first, Path(folder), int(seed), lambda _: None)  # to be warm
    tell({"ready": subject})
    for line in sys.stdin:
        run(cases[json.loads(line)], Path(folder), int(seed), tell)


if __name__ == "__main__":
    main(*sys.argv[1:])
