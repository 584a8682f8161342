"""Groups of items over processes, each of which has the model once.

A process that dies takes nothing with it but the file that it died of: what
it had in hand is tried again, file by file, by another.
"""

import contextlib
import multiprocessing
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, Optional

import torch

from dld_brain.files.console import FAULTS, reason, told_on_one_line
from pretrained_interfaces.many.item import Item
from pretrained_interfaces.many.transcriber import Answer, How, Transcriber

#: How long a process may take to end, s.
GRACE = 5.0
#: Items with their places in the order that was given, and their answers.
Group = list[tuple[int, Item]]
Answers = list[tuple[int, Answer]]


def run_here(how: How, groups: Iterable[Group]) -> Iterator[Answers]:
    """Answers groups in this process, one after another."""
    transcriber = Transcriber(how)
    for group in groups:
        yield _answered(transcriber, group)


def run_jobs(
    how: How, groups: Iterable[Group], n_jobs: int
) -> Iterator[Answers]:
    """Answers groups in processes, as they are done.

    Raises
    ------
    ValueError
        If the model cannot be loaded, or cannot do what is asked for.
    RuntimeError
        If the processes die while they load it.
    """
    rest, again = iter(groups), deque[Group]()
    threads = max(1, torch.get_num_threads() // n_jobs)
    workers = [Worker(how, threads) for _ in range(n_jobs)]
    try:
        while workers:
            ready = wait([worker.connection for worker in workers])
            for worker in [w for w in workers if w.connection in ready]:
                try:
                    answers = worker.receive()
                except EOFError:
                    workers.remove(worker)
                    yield from _bereaved(worker, again)
                    _replace(worker, workers, how, threads)
                    continue
                if answers:
                    yield answers
                _feed(worker, again, rest, workers)
    finally:
        for worker in workers:
            worker.end()


class Worker:
    """A process that has the model, as its parent sees it."""

    def __init__(self, how: How, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.group: Optional[Group] = None
        self.has_model = False
        self.process = context.Process(
            target=serve, args=(other, how, threads), daemon=True
        )
        with _without_interrupts():  # Ctrl-C is the parent's: it ends them
            self.process.start()
        other.close()

    def receive(self) -> Answers:
        """What the process says; nothing, once the model is there.

        Raises
        ------
        EOFError
            If it has died.
        ValueError
            If it cannot load the model.
        """
        try:
            said = self.connection.recv()
        except OSError as error:
            raise EOFError from error
        if isinstance(said, str):
            raise ValueError(said)
        self.has_model, self.group = True, None
        return said

    def send(self, group: Group) -> None:
        """Gives the process a group."""
        self.group = group
        with contextlib.suppress(OSError):  # it has died: `receive` says so
            self.connection.send(group)

    def end(self) -> None:
        """Ends the process, in the middle of what it does."""
        self.connection.close()
        self.process.terminate()
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def serve(connection: Connection, how: How, threads: int) -> None:
    """Answers what comes through a connection until it is closed."""
    signal.signal(signal.SIGTERM, _leave)
    torch.set_num_threads(threads)
    warnings.formatwarning = told_on_one_line
    try:
        with contextlib.suppress(EOFError, OSError):  # the parent is gone
            _answer_all(connection, how)
    finally:
        # It leaves: told so while Python ends, it would show a traceback.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _answer_all(connection: Connection, how: How) -> None:
    """Loads the model, and answers groups."""
    try:
        transcriber = Transcriber(how)
    except FAULTS as error:
        connection.send(reason(error))
        return
    connection.send([])
    while True:
        connection.send(_answered(transcriber, connection.recv()))


def _leave(number: int, frame: Any) -> None:
    """Ends a process that is told to: it gives up its locks."""
    sys.exit(0)


def _answered(transcriber: Transcriber, group: Group) -> Answers:
    """The answers to a group, with their places."""
    places, items = zip(*group)
    return list(zip(places, transcriber.answer(items)))


def _feed(
    worker: Worker,
    again: "deque[Group]",
    rest: Iterator[Group],
    workers: list[Worker],
) -> None:
    """Gives a process what is next; ends it if there is nothing.

    One that waits would take what another may still die of: the last that
    dies is replaced.
    """
    group = again.popleft() if again else next(rest, None)
    if group is not None:
        worker.send(group)
        return
    workers.remove(worker)
    worker.end()


def _bereaved(worker: Worker, again: "deque[Group]") -> Iterator[Answers]:
    """What becomes of the group of a process that died."""
    worker.end()
    group = worker.group or []
    if len(group) > 1:
        again.extend([pair] for pair in group)
    elif group:
        ((place, item),) = group
        error = (
            f"{item.file}: the process that transcribed it died (exit "
            f"{worker.process.exitcode}), probably for want of memory: give "
            f"fewer --jobs"
        )
        yield [(place, Answer(item, None, error))]


def _replace(
    worker: Worker, workers: list[Worker], how: How, threads: int
) -> None:
    """Starts another process in the place of one that died."""
    if worker.has_model:
        workers.append(Worker(how, threads))
    elif not workers:
        raise RuntimeError(
            f"the process that loads the model died (exit "
            f"{worker.process.exitcode}), probably for want of memory: give "
            f"fewer --jobs"
        )


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Has processes that are started ignore Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
