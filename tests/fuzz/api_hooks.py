"""Schemathesis sends files that are audio, and half of its forms mended.

Else a random model's name or depth ends nearly every request before the
audio is read. Loaded by its process, see `api.py`.
"""

from itertools import count
from pathlib import Path
from typing import Any

import schemathesis

REPOSITORY = Path(__file__).resolve().parents[2]
AUDIO = sorted((REPOSITORY / "tests/samples/AN4/wav").rglob("*.flac"))
_numbers = count()


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Gives a form its audio: every fourth is cut, every eighth is none."""
    if not isinstance(body, dict) or "file" not in body:
        return body
    i = next(_numbers)
    if i % 8 != 7:
        content = AUDIO[i % len(AUDIO)].read_bytes()
        body["file"] = content[:999] if i % 4 == 3 else content
    if i % 2 == 0:
        mend(body)
    return body


def mend(body: dict[str, Any]) -> None:
    """Takes from a form what no server of three layers can answer."""
    body.pop("model", None)
    body.pop("max_latency", None)
    if isinstance(body.get("n_layers"), int):
        body["n_layers"] = 1 + body["n_layers"] % 3
    if body.get("response_format") != "verbose_json":
        body.pop("timestamp_granularities[]", None)
