"""What the benchmarks of the server share: a server on loopback, and its clients."""

import argparse
import http.client
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional
from urllib.parse import urlsplit

import soundfile

from dld_brain.audio.csv_files import read_rows
from dld_brain.audio.reader import read_audio

#: Requests that are under way at once; more are late before they are sent.
N_CLIENTS = 256
BOUNDARY = "serve-load"
PATH = "/v1/audio/transcriptions"
KIND = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
#: What a client waits for its answer, s.
PATIENCE = 120.0
#: Status of a request whose connection broke.
BROKEN = 0


class Utterance(NamedTuple):
    """The bytes of a file, and what is said."""

    content: bytes
    text: str


@dataclass
class Outcome:
    """What came of a request; latency in s from when it was due."""

    utterance: Utterance
    status: int
    latency: float
    answer: dict[str, Any]


def form(content: bytes, n_layers: Optional[int]) -> bytes:
    """A request's body."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="'
    named = "" if n_layers is None else f'{head}n_layers"\r\n\r\n{n_layers}\r\n'
    start = f'{named}{head}file"; filename="a"\r\n\r\n'
    return start.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def ask(
    url: str, utterance: Utterance, n_layers: Optional[int], due: float
) -> Outcome:
    """Sends a request and waits for its answer."""
    connection = connect(url)
    try:
        connection.request(
            "POST", PATH, form(utterance.content, n_layers), KIND
        )
        response = connection.getresponse()
        status, answer = response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException) as error:
        status, answer = BROKEN, {"error": repr(error)}
    finally:
        connection.close()
    return Outcome(utterance, status, time.perf_counter() - due, answer)


def connect(url: str) -> http.client.HTTPConnection:
    """A connection to a server."""
    where = urlsplit(url)
    return http.client.HTTPConnection(
        where.hostname, where.port, timeout=PATIENCE
    )


@dataclass
class Serving:
    """A server: its address and its process."""

    url: str
    process: "subprocess.Popen[str]"


def command_of(options: argparse.Namespace) -> list[str]:
    """The command of a server on loopback."""
    command = [sys.executable, "-m", "pretrained_interfaces", "serve"]
    for name in ("source", "target_p95", "workers", "threads"):
        value = getattr(options, name)
        command += [] if value is None else [f"--{name}", str(value)]
    command += ["--int8"] if options.int8 else []
    return [*command, "--port", "0", "--max_requests", str(2 * N_CLIENTS)]


@contextmanager
def serving(options: argparse.Namespace) -> Iterator[Serving]:
    """A server on loopback, once it is ready."""
    command = command_of(options)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        url = process.stdout.readline().strip()
        while get(url, "/ready")[0] != 200:
            if process.poll() is not None:
                raise RuntimeError("the server ended before it was ready")
            time.sleep(0.2)
        yield Serving(url, process)
    finally:
        process.terminate()
        process.wait()


def get(url: str, path: str) -> tuple[int, dict[str, Any]]:
    """The status and JSON of a path."""
    connection = connect(url)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def read(path: str, data_root: str, n_most: int) -> list[Utterance]:
    """Utterances of a CSV file: evenly spread ones where they are too many."""
    rows = list(read_rows(Path(path), data_root, "wrd").items.values())
    step = max(len(rows) / n_most, 1.0)
    found = []
    for row in (rows[int(i * step)] for i in range(int(len(rows) / step))):
        samples, rate = read_audio(row["wav"])
        file = io.BytesIO()
        part = samples[row["start"] : row["stop"], 0].numpy()
        soundfile.write(file, part, rate, format="FLAC")
        found.append(Utterance(file.getvalue(), row["wrd"]))
    return found
