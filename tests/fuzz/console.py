"""Command lines in this process, with a console of any encoding."""

import argparse
import contextlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Optional

from tests.fuzz.harness import Refused, Wrong
from tests.fuzz.judge import is_ours

#: A line that refuses: ours, or argparse's behind its usage.
ERROR = re.compile(r"^(?:\S.*: )??error: (.*)$", re.M)


class Stream(io.TextIOWrapper):
    """What a console is given; and the error at hand when it was."""

    def __init__(self, encoding: str, errors: str) -> None:
        super().__init__(io.BytesIO(), encoding, errors, write_through=True)
        self.error: Optional[BaseException] = None

    def write(self, text: str) -> int:
        """Takes text."""
        if "error: " in text:
            self.error = sys.exc_info()[1]
        return super().write(text)

    def text(self) -> str:
        """All that was written."""
        self.flush()
        return self.buffer.getvalue().decode(self.encoding, "replace")


def call(
    main: Callable[[Sequence[str]], Any],
    words: Sequence[str],
    encoding: str = "utf-8",
) -> tuple[Any, str, Stream]:
    """Runs a command line.

    Returns
    -------
    tuple
        Its status, what it wrote to stdout, and its stderr.

    Raises
    ------
    Wrong
        If it ends in a traceback.
    """
    out, err = Stream(encoding, "strict"), Stream(encoding, "backslashreplace")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(list(words))
        except SystemExit as end:
            status = end.code
        except Exception as error:
            if isinstance(error, MemoryError) or "can't allocate" in str(error):
                raise
            name = type(error).__name__
            raise Wrong(f"a traceback: {name}: {error}") from error
    if "Traceback" in err.text():
        raise Wrong(f"a traceback: {err.text()[-300:]}")
    return status, out.text(), err


def follow(
    main: Callable[[Sequence[str]], Any],
    words: Sequence[str],
    encoding: str = "utf-8",
) -> str:
    """Runs a command line, which is followed or refused in a line.

    Returns
    -------
    str
        What it wrote to stdout.

    Raises
    ------
    Refused
        With that line.
    """
    status, out, err = call(main, words, encoding)
    if status in (0, None):
        return out
    found = ERROR.findall(err.text())
    if not found and "usage:" in out:
        raise Refused("usage")
    if len(found) != 1 or status not in (1, 2):
        raise Wrong(
            f"status {status!r}, {len(found)} errors: {err.text()[-300:]}"
        )
    error = err.error
    theirs = isinstance(error, argparse.ArgumentError) or "usage:" in err.text()
    if error is not None and not is_ours(error) and not theirs:
        raise error
    raise Refused(found[0])
