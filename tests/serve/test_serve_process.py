"""The server as a process of its own: asked, overloaded, told to stop."""

import json
import signal
import socket
import subprocess
from urllib.parse import urlsplit

import pytest
from processes import KIND, SPEECH


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
