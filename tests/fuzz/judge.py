"""What an error is: ours, a library's, or a lack of memory."""

import dis

from tests.fuzz.harness import Refused, Wrong

#: Packages whose errors are ours, and what errors of ours may be.
OURS = ("dld_brain", "pretrained_interfaces", "recipes", "dld_brain_recipes")
KINDS = (ValueError, TypeError, OSError, ImportError)


def is_ours(error: BaseException) -> bool:
    """Whether a `raise` of this project made an error.

    Not if a library did, or a built-in function that our code calls.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not isinstance(error, KINDS):
        return False
    package = trace.tb_frame.f_globals.get("__name__", "").partition(".")[0]
    code = trace.tb_frame.f_code.co_code
    is_raised = dis.opname[code[trace.tb_lasti]] == "RAISE_VARARGS"
    return package in OURS and is_raised


def outcome_of(error: BaseException) -> tuple[str, str]:
    """What an error is, and its message."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, Wrong):
        return "wrong", str(error)
    if isinstance(error, Refused):
        return "clear", str(error)
    if isinstance(error, MemoryError) or "can't allocate" in text:
        return "memory", text
    return ("clear", str(error)) if is_ours(error) else ("raw", text)
