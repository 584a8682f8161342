"""A case of each outcome: what the harness must see. Its name says which."""

import json
import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from dld_brain.depth_table import DepthTable
from tests.fuzz.harness import Case, Wrong


def of(operation: Callable[[], Any]) -> Callable[..., Callable[[], Any]]:
    """The preparation of a case that needs no input."""
    return lambda folder, rng: operation


def refuse() -> None:
    """Raises an error of ours: `n_layers` must be one of 2, 4."""
    DepthTable().layers(3)


def be_wrong() -> NoReturn:
    """Is done, and wrong."""
    raise Wrong("2 + 2 is 5")


def not_to_be_written(folder: Path, rng: random.Random) -> NoReturn:
    """Cannot be prepared."""
    raise OSError(folder)


def cases(seed: int) -> list[Case]:
    """One for each outcome."""
    return [
        Case("ok", of(lambda: None), must="ok"),
        Case("clear", of(refuse), ("n_layers",), must="clear"),
        Case("raw", of(lambda: json.loads("{"))),
        Case(
            "raw, called by ours", of(lambda: DepthTable().save("/dev/null/no"))
        ),
        Case("unclear", of(refuse), ("another",)),
        Case("wrong", of(be_wrong)),
        Case("silent", of(lambda: None), must="clear"),
        Case("silent, unsaid", of(lambda: None), must="said"),
        Case("refused", of(refuse), must="ok"),
        Case("hang", of(lambda: time.sleep(60))),
        Case("memory", of(lambda: bytearray(3 * 2**30))),
        Case("network", of(lambda: socket.create_connection(("a.org", 80)))),
        Case("crash", of(lambda: os._exit(3))),
        Case("broken", not_to_be_written),
        Case("ok, after all that", of(lambda: None)),
    ]
