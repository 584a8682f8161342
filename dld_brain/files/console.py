"""What a command tells the shell: a line a fault, whatever a name holds."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn, Optional, TextIO

#: Exit statuses, beside 0 (all was done).
SOME_FAILED, UNUSABLE, INTERRUPTED, CLOSED = 1, 2, 130, 141
#: The end of every command's help.
STATUSES = (
    "Exit status: 0, all was done; 1, a file failed, and the others were "
    "answered; 2, the command line or the model cannot be used; 130, it was "
    "interrupted (Ctrl-C); 141, its output was closed (| head)."
)
#: What goes wrong with a file or a model; torch's own are RuntimeErrors.
FAULTS = (OSError, ValueError, RuntimeError, ImportError, MemoryError)
#: The longest line of a fault, in characters.
LONGEST = 480

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def escaped(text: Any, longest: Optional[int] = None) -> str:
    """A text on one line, its control characters written out.

    Arguments
    ---------
    longest : int, optional
        Characters; the middle of a longer text is left out.

    Example
    -------
    >>> escaped("two\\nlines")
    'two\\\\nlines'
    >>> escaped("a" * 20, longest=11)
    'aaaaa...aaa'
    """
    line = _CONTROL.sub(
        lambda found: found[0].encode("unicode_escape").decode(), str(text)
    )
    if longest is None or len(line) <= longest:
        return line
    n_last = (longest - 3) // 2 - 1
    return f"{line[: longest - 3 - n_last]}...{line[-n_last:]}"


def say(*fields: str, to: Optional[TextIO] = None) -> None:
    """Prints a line of fields, with tabs between them.

    What the stream's encoding has not is written out (`\\xe4`), as what is
    no text in a file's name is (`\\udcff`).

    Arguments
    ---------
    to : TextIO, optional
        stdout if not given.
    """
    stream = sys.stdout if to is None else to
    line = "\t".join(map(escaped, fields))
    print(encodable(line, stream), file=stream, flush=True)


def encodable(text: str, stream: TextIO) -> str:
    """A text, what a stream's encoding has not written out.

    Example
    -------
    >>> import io
    >>> encodable("Köln", io.TextIOWrapper(io.BytesIO(), "ascii"))
    'K\\\\xf6ln'
    """
    name = stream.encoding or "utf-8"  # text in memory has none
    try:
        text.encode(name, stream.errors or "strict")
    except UnicodeEncodeError:
        return text.encode(name, "backslashreplace").decode(name)
    return text


def reason(error: BaseException) -> str:
    """What an error says, on one line of at most `LONGEST` characters.

    Example
    -------
    >>> reason(PermissionError(13, "Permission denied", "a.wav"))
    'a.wav: Permission denied'
    """
    text = str(error) or type(error).__name__  # MemoryError says nothing
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}"
    elif isinstance(error, RuntimeError):  # torch's have many lines
        text = " ".join(text.split())
    return escaped(text, LONGEST)


def fault_of(file: str, error: BaseException) -> str:
    """What went wrong with a file, with its name.

    Example
    -------
    >>> fault_of("a.wav", ValueError("it is no audio"))
    'a.wav: it is no audio'
    """
    text, name = reason(error), escaped(file, 200)
    return text if name in text else f"{name}: {text}"[:LONGEST]


def told_on_one_line(text: Any, *_: Any, **__: Any) -> str:
    """A warning as commands print it: a `warnings.formatwarning`."""
    return f"warning: {text}\n"


def complain(text: str) -> None:
    """Prints a fault, on stderr."""
    say(f"error: {text}", to=sys.stderr)


def guarded(
    run: Callable[[], int], faults: tuple[type[Exception], ...] = ()
) -> int:
    """Runs a command; Ctrl-C is one line, and a closed output is none.

    Arguments
    ---------
    faults : tuple of type
        Exceptions that are one line, too; others are raised.

    Returns
    -------
    int
        Exit status; see `STATUSES`.

    Example
    -------
    >>> guarded(lambda: 0)
    0
    """
    try:
        return run()
    except BrokenPipeError:
        _drop_output()
        return CLOSED
    except faults as error:
        complain(reason(error))
        return UNUSABLE
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED


def _drop_output() -> None:
    """Lets go of a closed output, which Python would flush at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)


class Parser(argparse.ArgumentParser):
    """Says on one line what is wrong with a command line."""

    def error(self, message: str) -> NoReturn:
        """Prints the fault and ends with the status for it."""
        text = escaped(message, LONGEST)
        complain(f"{text} ({self.prog} --help says more)")
        raise SystemExit(UNUSABLE)
