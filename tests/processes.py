"""Servers as processes of their own, for tests."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from serving import save_costs

REPOSITORY = Path(__file__).resolve().parent.parent
SPEECH = Path("tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac")
KIND = "multipart/form-data; boundary=x"


def body(content=None, **fields) -> bytes:
    """A form with a file."""
    content = SPEECH.read_bytes() if content is None else content
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'
        for k, v in fields.items()
    ]
    parts.append(
        '--x\r\nContent-Disposition: form-data; name="file"; '
        'filename="a.flac"\r\n\r\n'
    )
    return "".join(parts).encode() + content + b"\r\n--x--\r\n"


class Process:
    """A server, once it says where it is."""

    def __init__(self, *arguments):
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "pretrained_interfaces", "serve"]
            + ["--device", "cpu", "--port", "0", "--threads", "1", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.url = self.popen.stdout.readline().strip()

    def get(self, path):
        """The status and JSON of a path."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=60) as found:
                return found.status, json.load(found)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def transcribe(self, content=None, token="", **fields):
        """The answer to a file."""
        request = urllib.request.Request(
            f"{self.url}/v1/audio/transcriptions",
            body(content, **fields),
            {"Content-Type": KIND, "Authorization": f"Bearer {token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as found:
                return found.status, json.load(found)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def ask(self):
        """A connection that a file was sent on, and whose answer is open."""
        where = urlsplit(self.url)
        found = http.client.HTTPConnection(where.hostname, where.port)
        kind = {"Content-Type": KIND}
        found.request("POST", "/v1/audio/transcriptions", body(), kind)
        return found

    def ready(self):
        """Waits until it is."""
        end = time.monotonic() + 120
        while self.get("/ready")[0] != 200:
            assert time.monotonic() < end and self.popen.poll() is None
            time.sleep(0.05)
        return self

    def stop(self):
        """Asks it to stop; its status, and what it said on stderr."""
        self.popen.send_signal(signal.SIGTERM)
        _, said = self.popen.communicate(timeout=60)
        return self.popen.returncode, said


@pytest.fixture
def start(extra):
    """Starts servers, none of which outlives the test."""
    started = []

    def make(*arguments):
        started.append(Process(*arguments))
        return started[-1]

    yield make
    for process in started:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.communicate()


@pytest.fixture
def calibrated_folder(served_folder):
    """The folder with a calibration of this machine for one thread."""
    save_costs(served_folder)
    return str(served_folder)
