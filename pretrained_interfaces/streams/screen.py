"""Words on a terminal, as they come."""

import shutil
import sys
from typing import TYPE_CHECKING, Optional, TextIO

from dld_brain.files.console import encodable, escaped

if TYPE_CHECKING:
    from pretrained_interfaces.streams.streamed import StreamUpdate

#: Characters of a line on a terminal.
WIDTH = 72


class Screen:
    """Shows words as they come.

    Arguments
    ---------
    out : TextIO, optional
        Of words; stdout if not given.
    status : TextIO, optional
        Of what changes yet, where it is a terminal; stderr if not given.
    """

    def __init__(
        self, out: Optional[TextIO] = None, status: Optional[TextIO] = None
    ) -> None:
        self.out = out or sys.stdout
        self.status = status or sys.stderr
        self.is_live = self.out.isatty() and self.status.isatty()
        self.line = ""
        self.words: list[str] = []

    def show(self, update: "StreamUpdate") -> None:
        """Shows an update."""
        for word in update.words:
            text = encodable(escaped(word.text), self.out)
            self.words.append(text)
            if not self.is_live:
                self.out.write(text + " ")
            else:
                self.line = f"{self.line} {text}".strip()
        if not self.is_live:
            self.out.flush()
            return
        if len(self.line) > WIDTH:
            self._clear()
            print(self.line, file=self.out, flush=True)
            self.line = ""
        self._clear()
        depth = f"[{update.n_layers} layers, lag {update.lag:.2f} s]"
        told = f"{self.line} {escaped(update.partial)}".strip()
        told = last_of(told, self._columns() - len(depth) - 3)
        told = encodable(f"{told}  {depth}", self.status)
        print(told, end="", file=self.status, flush=True)

    def finish(self) -> None:
        """Prints the whole; where words were not drawn over, it is there."""
        if self.is_live:
            self._clear()
            print(self.line, end="\n\n", file=self.out)
            print(" ".join(self.words), file=self.out, flush=True)
        else:
            print(file=self.out, flush=True)

    def _clear(self) -> None:
        """Clears the line of what changes yet."""
        print("\r\x1b[K", end="", file=self.status, flush=True)

    @staticmethod
    def _columns() -> int:
        """Of the terminal, whose next line cannot be cleared."""
        return shutil.get_terminal_size().columns


def last_of(text: str, longest: int) -> str:
    """The end of a text, which is what is being said.

    Example
    -------
    >>> last_of("one two three", 10)
    '...o three'
    """
    if len(text) <= longest:
        return text
    return f"...{text[len(text) - max(0, longest - 3) :]}"
