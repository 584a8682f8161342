"""Live audio over a real socket: heard, held back, ended with the server."""

import json
import signal
import time
from pathlib import Path

import pytest
import soundfile
from serving import save_costs

SPEECH = Path("tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac")


@pytest.fixture
def connect(start, served_folder):
    """Starts a server, and gives what connects to it."""
    client = pytest.importorskip("websockets.sync.client")
    save_costs(served_folder)

    def started(*arguments):
        process = start("--source", str(served_folder), *arguments).ready()
        url = process.url.replace("http", "ws") + "/v1/stream"
        return process, lambda **options: client.connect(url, **options)

    return started


def raw():
    """Speech, as bytes of 16 bits."""
    return soundfile.read(SPEECH, dtype="int16")[0].tobytes()


def begin(socket, **start):
    """Begins a stream."""
    socket.send(json.dumps({"sample_rate": 16000, **start}))
    return json.loads(socket.recv())


def test_a_stream_is_heard_and_ends_well_with_the_server(connect, served):
    process, open_socket = connect()
    alone = served.stream(0.64, n_layers=2)
    samples = soundfile.read(SPEECH, dtype="int16")[0]
    words = alone.feed(samples).words + alone.finish().words
    with open_socket() as socket, open_socket() as unfinished:
        assert begin(socket, n_layers=2)["depths"] == [1, 2, 3]
        begin(unfinished, n_layers=2)
        for first in range(0, 2 * len(samples), 2560):
            socket.send(raw()[first : first + 2560])
        socket.send('{"type": "finish"}')
        done = [json.loads(message) for message in socket][-1]
        assert done["text"] == " ".join(word.text for word in words)
        assert socket.close_code == 1000
        unfinished.send(raw())
        assert json.loads(unfinished.recv())["type"] == "words"
        process.popen.send_signal(signal.SIGTERM)
        found = [json.loads(message) for message in unfinished]
        assert [m["type"] for m in found[-2:]] == ["done", "error"]
        assert found[-2]["text"] == done["text"]
        assert unfinished.close_code == 1001
    status, said = process.stop()
    assert status == 0 and "Traceback" not in said


@pytest.mark.slow
def test_a_page_of_another_origin_is_turned_away(connect):
    from websockets.exceptions import InvalidStatus

    process, open_socket = connect()
    with pytest.raises(InvalidStatus) as denied:
        open_socket(origin="https://evil.example")
    assert denied.value.response.status_code == 403
    assert json.loads(denied.value.response.body)["error"]["message"]
    with open_socket(origin=process.url) as socket:
        assert begin(socket)["type"] == "ready"


@pytest.mark.slow
def test_frames_that_are_too_large_end_the_stream(connect):
    process, open_socket = connect("--max_frame_bytes", "10000")
    for size, n_told in ((10_002, 1), (10**6, 0)):
        with open_socket() as socket:
            begin(socket)
            socket.send(bytes(size))
            found = [json.loads(message) for message in _all(socket)]
            assert socket.close_code == 1009
            assert len(found) == n_told
    assert process.get("/v1/load")[1]["streams"] == 0
    assert process.stop()[0] == 0


def _all(socket):
    """Messages until it is closed, in whatever way."""
    from websockets.exceptions import ConnectionClosed

    try:
        yield from socket
    except ConnectionClosed:
        return


@pytest.mark.slow
def test_who_vanishes_or_does_not_read_is_forgotten(connect):
    process, open_socket = connect()
    for _ in range(20):
        socket = open_socket()
        begin(socket)
        socket.send(raw())
        socket.socket.close()  # no goodbye
    end = time.monotonic() + 60
    while process.get("/v1/load")[1]["streams"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    status, said = process.stop()
    assert status == 0 and "Traceback" not in said
