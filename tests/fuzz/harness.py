"""Mutated inputs, one after another, in a process that may die of them.

A case writes its input and gives the operation to be checked. The worker
(`worker.py`) imports once and runs one case after another; this side
watches, and starts another worker where one hangs or dies.
"""

import json
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

REPOSITORY = Path(__file__).resolve().parents[2]
SUBJECTS = ("audio", "model_folders", "csv_files", "settings", "command_lines")
#: What an operation may take, s; and what comes before it.
LIMIT, PATIENCE = 5.0, 120.0
#: The longest message.
N_CHARACTERS = 500
#: What may come out of a case; all else is a fault.
GOOD = ("ok", "clear")


class Wrong(AssertionError):
    """An operation succeeded, and what it gave is not right."""


class Refused(Exception):
    """A command line was refused, in a line of ours."""


@dataclass(frozen=True)
class Case:
    """One mutated input.

    Arguments
    ---------
    prepare : callable
        Of a folder that is the case's own and a generator: writes the
        input, gives the operation that meets it.
    names : tuple of str
        Patterns that a refusal must have: what it says was wrong.
    must : str
        "ok" or "clear" where one of them would be wrong; "said" where
        success without a warning would be.
    is_local : bool
        Whether the network is not to be asked.
    """

    name: str
    prepare: Callable[[Path, random.Random], Callable[[], Any]]
    names: tuple[str, ...] = ()
    must: str = ""
    is_local: bool = True


@dataclass(frozen=True)
class Result:
    """What came out of a case.

    Arguments
    ---------
    outcome : str
        ok, clear, or a fault: raw (a library's error), unclear (several
        lines, too long, or it does not name what was wrong), wrong, silent,
        refused, hang, memory, network, crash, broken (the case itself).
    peak : int
        Memory that the operation added, MiB.
    """

    subject: str
    name: str
    outcome: str
    detail: str = ""
    seconds: float = 0.0
    peak: int = 0

    def __str__(self) -> str:
        command = f"python -m tests.fuzz {self.subject} {self.name!r}"
        return f"{self.outcome}: {ascii(self.detail)}\n    {command}"


def own_time(pid: int) -> float:
    """A clock without the time in which a process waited for a core, s."""
    try:
        waited = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    except (OSError, IndexError):  # as where there is no Linux
        waited = 0
    return time.monotonic() - waited / 1e9


def judged(case: Case, outcome: str, text: str, was_said: bool) -> str:
    """The outcome of a case, once what is asked of it was looked at.

    Arguments
    ---------
    outcome : str
        "ok", "clear" or a fault.
    text : str
        The message of a refusal.
    was_said : bool
        Whether there was a warning.
    """
    if outcome == "ok":
        if case.must == "clear" or (case.must == "said" and not was_said):
            return "silent"
        return outcome
    if outcome != "clear":
        return outcome
    if case.must == "ok":
        return "refused"
    is_line = 0 < len(text) < N_CHARACTERS and not set(text) & {"\n", "\r"}
    named = all(re.search(name, text, re.I) for name in case.names)
    return outcome if is_line and named else "unclear"


class Worker:
    """The process that runs the cases of a subject."""

    def __init__(self, subject: str, seed: int) -> None:
        self.subject = subject
        folder = tempfile.mkdtemp(prefix="fuzz")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.fuzz.worker",
                subject,
                str(seed),
                folder,
            ],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        #: Where its cases lie, one after another.
        self.folder = Path(folder)
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.receive(PATIENCE)  # once it has imported, and warmed up

    def _read(self) -> None:
        """Passes on what the process says; "" at its end."""
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def receive(self, seconds: float) -> Optional[dict[str, Any]]:
        """The next thing it says; nothing if it dies."""
        line = self.lines.get(timeout=seconds)
        return json.loads(line) if line else None

    def receive_in_time(self) -> Optional[dict[str, Any]]:
        """The same, while its time is not over; nobody else's counts."""
        started = own_time(self.process.pid)
        while True:
            try:
                return self.receive(0.2)
            except queue.Empty:
                if own_time(self.process.pid) - started > LIMIT:
                    raise

    def run(self, name: str) -> Result:
        """Runs a case; ends the process if that takes too long."""
        self.process.stdin.write(json.dumps(name) + "\n")
        self.process.stdin.flush()
        try:
            said = self.receive(PATIENCE)
            if said == {"started": name}:
                said = self.receive_in_time()
        except queue.Empty:
            self.close()
            return Result(self.subject, name, "hang", f"over {LIMIT:g} s")
        if said is None:
            status = self.process.wait()
            return Result(self.subject, name, "crash", f"status {status}")
        return Result(self.subject, name, **said)

    def is_alive(self) -> bool:
        """Whether it can be asked again."""
        return self.process.poll() is None

    def close(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def run_cases(
    subject: str, names: Iterable[str], seed: int = 0
) -> Iterator[Result]:
    """Runs cases of a subject, in a worker that is made anew as needed."""
    worker = Worker(subject, seed)
    try:
        for name in names:
            if not worker.is_alive():
                worker.close()
                worker = Worker(subject, seed)
            found = worker.run(name)
            if found.outcome == "hang":  # once more: disks are shared, too
                worker = Worker(subject, seed)
                found = worker.run(name)
            yield found
    finally:
        worker.close()


def faults(results: Iterable[Result]) -> list[Result]:
    """Results that may not be."""
    return [r for r in results if r.outcome not in GOOD]


def table(results: Sequence[Result]) -> str:
    """Counts by subject and outcome, in Markdown."""
    kinds = [*GOOD, *sorted({r.outcome for r in faults(results)})]
    subjects = dict.fromkeys(r.subject for r in results)
    lines = [
        f"| subject | cases | {' | '.join(kinds)} | longest, s | most, MiB |",
        "|---|" + "---|" * (len(kinds) + 3),
    ]
    for subject in subjects:
        own = [r for r in results if r.subject == subject]
        counts = Counter(r.outcome for r in own)
        cells = [subject.replace("_", " "), len(own)]
        cells += [counts[kind] for kind in kinds]
        cells += [f"{max(r.seconds for r in own):.1f}"]
        cells += [max(r.peak for r in own)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
