"""What is told of many files: each in its order, a bar, and how it ended."""

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Optional

from tqdm import tqdm

from dld_brain.files.console import complain, escaped, say
from pretrained_interfaces.many.item import Item
from pretrained_interfaces.many.transcriber import Answer, ItemInterrupted
from pretrained_interfaces.times import formats
from pretrained_interfaces.times.timed import moved

#: Names of files that failed, in the last line; each had a line of its own.
NAMES = 10


class Printer:
    """Prints answers in the order of their items.

    Arguments
    ---------
    format : str, optional
        One of `formats.FORMATS`; or "json lines", an object a line. If not
        given, faults alone are printed, as they come. CTM is printed at the
        end, sorted by recording and time, as sclite reads it.
    names : sequence of str
        What CTM calls the recording of each item.
    """

    def __init__(
        self, format: Optional[str] = "txt", names: Sequence[str] = ()
    ) -> None:
        self.format, self.names = format, names
        self.waiting: dict[int, Answer] = {}
        self.next = 0
        self.n_printed = 0
        self.words: list[tuple[str, float, str]] = []

    def add(self, place: int, answer: Answer) -> None:
        """Takes an answer, and prints what can be printed."""
        with tqdm.external_write_mode():  # above the bar, if there is one
            if self.format is None:
                self._print(place, answer)
                return
            self.waiting[place] = answer
            while self.next in self.waiting:
                self._print(self.next, self.waiting.pop(self.next))
                self.next += 1

    def add_partial(self, stopped: ItemInterrupted) -> None:
        """Prints what was transcribed of the file in hand at Ctrl-C.

        Where answers are kept, this one is not: a line on stderr says so.
        """
        self.end()
        file, text = stopped.item.file, stopped.text
        if not text:
            return
        if self.format == "json lines":
            row = {"file": file, "text": text, "interrupted": True}
            say(json.dumps(row))
            return
        say(file, text)
        if self.format is None:
            note = "is unfinished: what was heard is printed, and not kept"
            say(f"warning: {escaped(file, 200)} {note}", to=sys.stderr)

    def end(self) -> None:
        """Prints what waits for others that will not come, and CTM."""
        for place in sorted(self.waiting):
            self._print(place, self.waiting.pop(place))
        for _, _, line in sorted(self.words, key=lambda word: word[:2]):
            say(line)
        self.words = []

    def _print(self, place: int, answer: Answer) -> None:
        """Prints an answer."""
        if self.format == "json lines":
            say(json.dumps(record(answer)))
        elif answer.found is None:
            complain(answer.error)
        elif self.format == "txt":
            say(answer.item.file, answer.found.text)
        elif self.format is not None:
            self._print_file(place, answer)

    def _print_file(self, place: int, answer: Answer) -> None:
        """Prints what a file of an answer would hold."""
        is_ctm = self.format == "ctm"
        item = answer.item
        name = self.names[place] if is_ctm else item.file
        text = formats.write(answer.found, name, self.format, item.start)
        if is_ctm:
            words = answer.found.words
            lines = zip(words, text.split("\n"))
            self.words += [(name, w.start + item.start, x) for w, x in lines]
        elif text:
            if self.n_printed and self.format in ("srt", "vtt"):
                say("")  # which ends the subtitle before it
            for line in text.rstrip("\n").split("\n"):
                say(*line.split("\t"))
            self.n_printed += 1


def record(answer: Answer) -> dict[str, Any]:
    """An answer as a JSON object.

    Returns
    -------
    dict
        `file`; `id`, `offset` and `duration` where a manifest has them; and
        the fields of a Transcription with `rtf`, or `error`. Times are from
        the start of the file, also of a part.
    """
    item, found = answer.item, answer.found
    given = {"id": item.id, "offset": item.offset, "duration": item.duration}
    head = {k: v for k, v in given.items() if v is not None}
    if found is None:
        return {"file": item.file, **head, "error": answer.error}
    found = replace(found, segments=moved(found.segments, item.start))
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
