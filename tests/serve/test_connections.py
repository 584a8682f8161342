"""Connections over real sockets: those that dribble, wait, or drain."""

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
import soundfile
from processes import SPEECH

HEAD = "{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\n{}\r\n"
KIND = "multipart/form-data; boundary=x"


async def until_closed(app, sent, seconds=60.0):
    """What a server answers to some bytes until it closes the connection."""
    from uvicorn.server import ServerState

    from pretrained_interfaces.serve.run import config_of
    from pretrained_interfaces.serve.settings import Settings

    config = config_of(app, Settings(upload_seconds=seconds))
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: config.http_protocol_class(config, state, {}), "127.0.0.1", 0
    )
    async with server:
        where = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*where)
        writer.write(sent.encode())
        try:
            found = await asyncio.wait_for(reader.read(), 60)
        finally:
            writer.close()
            for connection in [*state.connections]:
                connection.transport.abort()
    return found.decode()


@pytest.mark.parametrize(
    "method, path, length",
    [
        ("GET", "/health", "Content-Length: 60000\r\n"),
        ("GET", "/health", "Transfer-Encoding: chunked\r\n"),
        ("GET", "/nothing", "Content-Length: 60000\r\n"),
        ("POST", "/v1/models", "Content-Length: 9\r\n"),
    ],
)
def test_the_rest_of_a_body_is_not_waited_for_once_it_is_answered(
    client, method, path, length
):
    sent = HEAD.format(method, path, "text/plain", length)
    found = asyncio.run(until_closed(client.app, sent))
    assert found.startswith("HTTP/1.1 ")
    assert "connection: close" in found.lower()


def test_who_was_too_slow_is_not_listened_to_any_more(client_of):
    client = client_of(upload_seconds=0.2)
    length = "Content-Length: 60000\r\n"
    sent = HEAD.format("POST", "/v1/audio/transcriptions", KIND, length)
    found = asyncio.run(until_closed(client.app, f"{sent}--x\r\n"))
    assert found.startswith("HTTP/1.1 408 ")
    assert "connection: close" in found.lower()


def test_a_fault_leaves_no_connection_open_either(extra):
    """An application that answers from outside of the guard, as for a 500."""

    async def app(scope, receive, send):
        headers = [(b"content-length", b"0")]
        start = {"type": "http.response.start", "status": 500}
        await send({**start, "headers": headers})
        await send({"type": "http.response.body"})

    sent = HEAD.format("GET", "/", KIND, "Content-Length: 9\r\n")
    found = asyncio.run(until_closed(app, sent))
    assert found.startswith("HTTP/1.1 500 ")


def test_who_was_answered_in_full_may_ask_again(client):
    sent = HEAD.format("GET", "/health", "text/plain", "")
    last = HEAD.format("GET", "/health", "text/plain", "Connection: close\r\n")
    found = asyncio.run(until_closed(client.app, sent * 2 + last))
    assert found.count("HTTP/1.1 200 ") == 3


@contextlib.contextmanager
def serving(app, change):
    """Serves an application from a thread, as the command does."""
    import uvicorn

    from pretrained_interfaces.serve.run import config_of

    config = config_of(app, app.state.server.settings)
    change(config)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}
    )
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/v1/stream"
    finally:
        server.should_exit = True
        thread.join(60)


def wait_until_ready(url):
    """Waits until a server has its model."""
    for _ in range(600):
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise AssertionError("the server is not ready")


def test_a_stream_that_is_heard_slowly_is_not_taken_for_dead(
    served, extra, monkeypatch
):
    """Nothing is read while audio waits, and no answer to a ping either."""
    websockets = pytest.importorskip("websockets.sync.client")
    from pretrained_interfaces.serve.app import create_app
    from pretrained_interfaces.serve.live import waiting
    from pretrained_interfaces.serve.settings import Settings
    from pretrained_interfaces.streams.chunk_stream import ChunkStream

    pings, run_chunk = threading.Semaphore(0), ChunkStream.run_chunk
    monkeypatch.setattr(waiting.Waiting.__init__, "__defaults__", (0.1,))

    def slow(self, x):
        """Waits until several pings were sent."""
        assert all(pings.acquire(timeout=30) for _ in range(3))
        return run_chunk(self, x)

    def hasten(config):
        """Pings every 50 ms, and waits as long where it waits at all."""
        config.ws_ping_interval = 0.05
        if config.ws_ping_timeout is not None:
            config.ws_ping_timeout = 0.05

    def sent(self, data=b""):
        """Counts a ping."""
        pings.release()
        return send_ping(self, data)

    from websockets.protocol import Protocol

    send_ping = Protocol.send_ping
    monkeypatch.setattr(Protocol, "send_ping", sent)
    monkeypatch.setattr(ChunkStream, "run_chunk", slow)
    threads = served.calibration.machine["threads"]
    settings = Settings(threads=threads, drain_seconds=1)
    samples = soundfile.read(SPEECH, dtype="int16")[0]
    with serving(create_app(settings, served), hasten) as url:
        wait_until_ready(url)
        with websockets.connect(url, ping_interval=None) as stream:
            stream.send(json.dumps({"sample_rate": 16000, "n_layers": 1}))
            assert json.loads(stream.recv())["type"] == "ready"
            for first in range(0, len(samples), 2560):
                stream.send(samples[first : first + 2560].tobytes())
            stream.send('{"type": "finish"}')
            last = [json.loads(message) for message in stream][-1]
    assert last["type"] == "done" and last["reason"] == "finished"
    assert last["audio_seconds"] == pytest.approx(len(samples) / 16000, 1e-3)


def test_a_server_that_drains_says_so_before_its_streams_end(
    client, monkeypatch
):
    from pretrained_interfaces.serve import run

    server, said = client.app.state.server, []

    async def drain(seconds):
        said.append(server.is_stopping)

    async def rest(self, sockets=None):
        said.append("rest")

    monkeypatch.setattr(server.streams, "drain", drain)
    monkeypatch.setattr(run.uvicorn.Server, "shutdown", rest)
    config = run.config_of(client.app, server.settings)
    assert client.get("/ready").status_code == 200
    asyncio.run(run.Draining(config, server, 1.0).shutdown())
    assert said == [True, "rest"]
    assert client.get("/ready").status_code == 503
    with SPEECH.open("rb") as file:
        response = client.post("/v1/audio/transcriptions", files={"file": file})
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert "stopping" in response.json()["error"]["message"]
    assert client.get("/health").status_code == 200


def test_streams_and_files_have_one_time_to_drain(client, monkeypatch):
    from pretrained_interfaces.serve import run

    class Stuck:
        """A stream that does not end."""

        def stop(self):
            pass

    server, left, naps = client.app.state.server, [], []
    sleep = asyncio.sleep

    async def nap(seconds):
        naps.append(seconds)
        await sleep(seconds)

    async def rest(self, sockets=None):
        left.append(self.config.timeout_graceful_shutdown)
        naps.clear()
        await server.streams.drain(1.0)

    monkeypatch.setattr(asyncio, "sleep", nap)
    monkeypatch.setattr(run.uvicorn.Server, "shutdown", rest)
    config, stuck = run.config_of(client.app, server.settings), Stuck()
    server.streams.sessions.add(stuck)
    asyncio.run(run.Draining(config, server, 0.3).shutdown())
    server.streams.sessions.remove(stuck)
    assert left == [run.LEAST_SECONDS] and not naps


def test_what_was_taken_before_is_answered_though_it_drains(client, served):
    """Its form is read, and its audio is not decoded yet."""
    server = client.app.state.server

    async def ask():
        with SPEECH.open("rb") as file:
            return await server.transcribe(file, n_layers=2)

    server.is_stopping = True
    answer = client.portal.call(ask)
    assert answer.transcription.text == served.transcribe_file(SPEECH, 2)
