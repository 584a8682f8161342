"""The server as a process of its own: asked, overloaded, told to stop."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import REPOSITORY
from serving import save_costs

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

    def transcribe(self, **fields):
        """The answer to a file."""
        request = urllib.request.Request(
            f"{self.url}/v1/audio/transcriptions",
            body(**fields),
            {"Content-Type": KIND},
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


def test_it_answers_and_what_was_asked_before_it_stops(
    start, calibrated_folder, served
):
    process = start("--source", calibrated_folder, "--target_p95", "60")
    assert process.url.startswith("http://127.0.0.1:")
    assert process.get("/health")[0] == 200
    process.ready()
    text = served.transcribe_file(SPEECH)
    assert process.transcribe()[1]["text"] == text
    asked = [process.ask() for _ in range(8)]
    assert process.get("/health")[0] == 200  # it was accepted after them
    process.popen.send_signal(signal.SIGTERM)
    for connection in asked:
        response = connection.getresponse()
        assert response.status == 200
        assert json.load(response)["text"] == text
    status, said = process.stop()
    assert status == 0, said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_connection_that_says_nothing_is_closed(start, calibrated_folder):
    process = start(
        "--source", calibrated_folder, "--upload_seconds", "0.5"
    ).ready()
    where = urlsplit(process.url)
    for words in (b"", b"POST /v1/audio/transcr"):
        with socket.create_connection((where.hostname, where.port)) as slow:
            slow.settimeout(60)
            slow.sendall(words)
            assert slow.recv(100) == b""
    with socket.create_connection((where.hostname, where.port)) as slow:
        slow.settimeout(60)
        slow.sendall(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: " + KIND.encode() + b"\r\nContent-Length: 999\r\n"
            b"\r\n--x\r\n"
        )
        assert b" 408 " in slow.recv(1000)
    assert process.transcribe()[0] == 200


@pytest.mark.slow
def test_who_leaves_is_forgotten(start, calibrated_folder):
    process = start("--source", calibrated_folder).ready()
    for _ in range(5):
        process.ask().close()
    assert process.transcribe()[0] == 200
    status, said = process.stop()
    assert status == 0 and "Traceback" not in said


@pytest.mark.slow
def test_curl_in_one_line(start, calibrated_folder, served):
    process = start("--source", calibrated_folder).ready()
    done = subprocess.run(
        f"curl -s {process.url}/v1/audio/transcriptions -F file=@{SPEECH} "
        f"-F response_format=text",
        shell=True,
        capture_output=True,
        text=True,
    )
    if done.returncode == 127:
        pytest.skip("there is no curl")
    assert done.stdout == served.transcribe_file(SPEECH) + "\n"


@pytest.mark.slow
def test_the_client_of_openai_works_unchanged(start, calibrated_folder, served):
    openai = pytest.importorskip("openai")
    process = start("--source", calibrated_folder).ready()
    client = openai.OpenAI(base_url=f"{process.url}/v1", api_key="none")
    with SPEECH.open("rb") as file:
        found = client.audio.transcriptions.create(
            model="whisper-1",
            file=file,
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
            extra_body={"n_layers": 2},
        )
        alone = served.transcribe(SPEECH, 2, word_times=True)
        assert found.text == alone.text and found.n_layers == 2
        assert [w.word for w in found.words] == [w.text for w in alone.words]
        assert found.segments[0].avg_logprob < 0
        with pytest.raises(openai.NotFoundError, match="`model` must be"):
            client.audio.transcriptions.create(model="other", file=file)
    assert [m.id for m in client.models.list()] == ["golden"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--source", "no/such"], "`source` must be a folder"),
        (["--source", "tests/samples/golden", "--workers", "0"], "`workers`"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
    ],
)
def test_what_cannot_be_served_is_one_line(start, arguments, message):
    process = start(*arguments)
    _, said = process.popen.communicate(timeout=120)
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert process.popen.returncode == 2, said
    assert len(lines) == 1 and message in lines[0]
    assert "Traceback" not in said
