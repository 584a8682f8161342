"""What is told of many files: each in its order, a bar, and how it ended."""

import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

from tqdm import tqdm

from dld_brain.files.console import complain, escaped, say
from pretrained_interfaces.many.items import Item
from pretrained_interfaces.many.transcriber import Answer, ItemInterrupted
from pretrained_interfaces.times import formats

#: Names of files that failed, in the last line; each had a line of its own.
NAMES = 10


class Printer:
    """Prints answers in the order of their items.

    Arguments
    ---------
    format : str, optional
        One of `formats.FORMATS`; or "json lines", an object a line. If not
        given, faults alone are printed, as they come.
    """

    def __init__(self, format: Optional[str] = "txt") -> None:
        self.format = format
        self.waiting: dict[int, Answer] = {}
        self.next = 0

    def add(self, place: int, answer: Answer) -> None:
        """Takes an answer, and prints what can be printed."""
        with tqdm.external_write_mode():  # above the bar, if there is one
            if self.format is None:
                self._print(answer)
                return
            self.waiting[place] = answer
            while self.next in self.waiting:
                self._print(self.waiting.pop(self.next))
                self.next += 1

    def add_partial(self, stopped: ItemInterrupted) -> None:
        """Prints what was transcribed of the file in hand at Ctrl-C."""
        self.end()
        file, text = stopped.item.file, stopped.text
        if not text or self.format is None:
            return
        if self.format == "json lines":
            row = {"file": file, "text": text, "interrupted": True}
            say(json.dumps(row))
        else:
            say(file, text)

    def end(self) -> None:
        """Prints what waits for others that will not come."""
        for place in sorted(self.waiting):
            self._print(self.waiting.pop(place))

    def _print(self, answer: Answer) -> None:
        """Prints an answer."""
        if self.format == "json lines":
            say(json.dumps(record(answer)))
        elif answer.found is None:
            complain(answer.error)
        elif self.format == "txt":
            say(answer.item.file, answer.found.text)
        elif self.format is not None:
            name = label(answer.item, self.format)
            text = formats.write(answer.found, name, self.format)
            for line in text.rstrip("\n").split("\n"):
                say(*line.split("\t"))


def label(item: Item, format: str) -> str:
    """What a text calls its audio: CTM has no folders or suffixes."""
    if format != "ctm":
        return item.file
    return item.id or Path(item.name or item.file).stem


def record(answer: Answer) -> dict[str, Any]:
    """An answer as a JSON object.

    Returns
    -------
    dict
        `file`; `id`, `offset` and `duration` where a manifest has them; and
        the fields of a Transcription with `rtf`, or `error`.
    """
    item, found = answer.item, answer.found
    given = {"id": item.id, "offset": item.offset, "duration": item.duration}
    head = {k: v for k, v in given.items() if v is not None}
    if found is None:
        return {"file": item.file, **head, "error": answer.error}
    return {"file": item.file, **head, **asdict(found), "rtf": found.rtf}


class Tally:
    """A bar of hours of audio on terminals, and a line when all is done.

    Arguments
    ---------
    items : list of Item
        All that there are.
    n_done : int
        Those that had been done before, which are not among them.
    """

    def __init__(self, items: list[Item], n_done: int = 0) -> None:
        self.n_done, self.n_files, self.seconds = n_done, 0, 0.0
        self.failures: list[str] = []
        self.started = time.perf_counter()
        is_shown = sys.stderr.isatty() and len(items) > 1
        lengths = [item.seconds() for item in items] if is_shown else []
        self.lengths = {
            item: s for item, s in zip(items, lengths) if math.isfinite(s)
        }
        self.bar = tqdm(
            total=sum(self.lengths.values()) / 3600,
            unit="h",
            desc="audio",
            leave=False,
            disable=not is_shown,
            bar_format="{desc} {percentage:3.0f}% {bar} {n:.2f}/{total:.2f} h, "
            "{remaining} left",
        )

    def add(self, answer: Answer) -> None:
        """Counts an answer."""
        self.bar.update(self.lengths.get(answer.item, 0.0) / 3600)
        self.n_files += 1
        if answer.found is None:
            self.failures.append(answer.item.file)
        else:
            self.seconds += answer.found.audio_seconds

    def tell(self) -> None:
        """Prints what was done, on stderr."""
        for line in self.lines():
            say(line, to=sys.stderr)

    def lines(self) -> Iterator[str]:
        """What was done: files, hours, real-time factor, failures."""
        taken = time.perf_counter() - self.started
        n = self.n_files - len(self.failures)
        hours = f"{self.seconds / 3600:.3f} h of audio in {taken:.1f} s"
        rtf = f" (RTF {taken / self.seconds:.4f})" if self.seconds else ""
        before = f"; {self.n_done} were done before" if self.n_done else ""
        yield f"transcribed {n} files, {hours}{rtf}{before}"
        if self.failures:
            names = ", ".join(escaped(f, 120) for f in self.failures[:NAMES])
            more = len(self.failures) - NAMES
            rest = f", and {more} more" if more > 0 else ""
            yield f"{len(self.failures)} failed: {names}{rest}"
