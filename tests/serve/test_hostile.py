"""The process itself under broken files, dribblers and those who leave."""

import http.client
import io
import re
import signal
import socket
import threading
import time
import urllib.request
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from processes import KIND, SPEECH, body

from tests.fuzz.files import broken_files

pytestmark = pytest.mark.slow
HEAD = (
    "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n"
    f"Content-Type: {KIND}\r\nContent-Length: {{}}\r\n\r\n"
)


def metric(process, name):
    """A counter or gauge of a server; 0 where it was never set."""
    with urllib.request.urlopen(f"{process.url}/metrics", timeout=60) as found:
        text = found.read().decode()
    values = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, values))


def until(condition):
    """Waits until something is so."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def connect(process):
    """A connection that says nothing yet."""
    where = urlsplit(process.url)
    return socket.create_connection((where.hostname, where.port), timeout=60)


def long_audio():
    """A form with ten minutes of speech, at a named depth."""
    speech = soundfile.read(SPEECH)[0]
    samples = np.tile(speech, int(590 * 16000 / len(speech)))
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="FLAC")
    return body(file.getvalue(), n_layers=3)


def test_no_broken_file_is_a_fault_or_a_hang(
    start, calibrated_folder, tmp_path
):
    process = start("--source", calibrated_folder, "--target_p95", "60").ready()
    before = process.transcribe()[1]["text"]
    files = broken_files(tmp_path)
    assert len(files) > 200
    statuses = [process.transcribe(content)[0] for content in files.values()]
    assert set(statuses) == {200, 400}
    assert process.get("/health")[0] == process.get("/ready")[0] == 200
    assert process.transcribe()[1]["text"] == before
    status, said = process.stop()
    assert status == 0 and "Traceback" not in said


def test_many_who_dribble_keep_nobody_else_out(start, calibrated_folder):
    process = start(
        *("--source", calibrated_folder, "--upload_seconds", "2"),
        *("--max_requests", "16"),
    ).ready()
    ended, form = [], body()

    def dribble(first):
        """Sends a byte at a time, until the server has enough of it."""
        with connect(process) as slow:
            slow.sendall(first)
            slow.settimeout(0.05)
            for byte in form:
                try:
                    slow.sendall(bytes([byte]))
                    answer = slow.recv(1000)
                except TimeoutError:
                    continue
                except OSError:  # closed
                    answer = b""
                ended.append(answer[9:12])
                return

    kinds = [HEAD.format(len(form)).encode(), b"POST /v1/audio/transcript"]
    threads = [
        threading.Thread(target=dribble, args=[kind])
        for kind in kinds
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert process.transcribe()[0] == 200
    assert sorted(ended) == [b""] * 8 + [b"408"] * 8


def test_the_work_of_who_leaves_is_not_done(start, calibrated_folder):
    process = start("--source", calibrated_folder, "--target_p95", "60").ready()
    form = long_audio()
    asked = [connect(process) for _ in range(2)]
    for connection in asked:  # both are read at once, and take as long
        connection.sendall(HEAD.format(len(form)).encode() + form)
    until(lambda: metric(process, "dld_queue_requests") == 1)
    for connection in asked:
        connection.close()
    until(lambda: metric(process, "dld_queue_requests") == 0)
    assert process.transcribe(n_layers=1)[0] == 200
    assert metric(process, "dld_answers_total") == 1


def test_sigterm_answers_what_is_there_and_takes_no_more(
    start, calibrated_folder
):
    process = start("--source", calibrated_folder, "--target_p95", "60").ready()
    where = urlsplit(process.url)
    asked = []
    for form in (long_audio(), body()):
        asked.append(http.client.HTTPConnection(where.hostname, where.port))
        kind = {"Content-Type": KIND}
        asked[-1].request("POST", "/v1/audio/transcriptions", form, kind)
        until(lambda: metric(process, "dld_batches_running") == 1)
    until(lambda: metric(process, "dld_queue_requests") == 1)
    process.popen.send_signal(signal.SIGTERM)

    def is_closed():
        """Whether nobody new is taken."""
        try:
            connect(process).close()
        except ConnectionRefusedError:
            return True
        return False

    until(is_closed)
    assert [each.getresponse().status for each in asked] == [200, 200]
    status, said = process.stop()
    assert status == 0 and "Traceback" not in said
