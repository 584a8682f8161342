"""Live audio that is handed on to a replica, as the door of Ray Serve does."""

import asyncio
import threading
import time
from contextlib import contextmanager

import pytest
import soundfile
from processes import SPEECH
from serving import heard

pytest.importorskip("fastapi")
pytest.importorskip("ray.serve")

from fastapi.testclient import TestClient  # noqa: E402
from websockets.exceptions import InvalidStatus  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

from pretrained_interfaces.serve import guard, remote  # noqa: E402
from pretrained_interfaces.serve.app import assemble  # noqa: E402
from pretrained_interfaces.serve.relay import SECRET, Listener  # noqa: E402
from pretrained_interfaces.serve.server import Server  # noqa: E402
from pretrained_interfaces.serve.settings import Settings  # noqa: E402

FACTS = {"name": "golden", "depths": (1, 2, 3), "errors": None}
START = {"sample_rate": 16000, "n_layers": 3}


class Replica:
    """A replica that hears streams at a port, in a thread of its own."""

    def __init__(self, served, settings):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.server = Server(settings, served)
        self.listener = Listener(self.server, settings, "secret")
        self.does(self.server.start())
        self.address = self.does(self.listener.start("127.0.0.1"))

    def does(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def die(self):
        """Its connections end in the middle of what they say."""

        async def die():
            for each in list(self.listener._server.server_state.connections):
                each.transport.abort()

        self.does(die())


class Handle:
    """As Ray's handle of replicas; there is one."""

    def __init__(self, address):
        self.address, self.n_held = address, 0
        self.stream = self

    def options(self, stream):
        assert stream
        return self

    def remote(self):
        self.n_held += 1
        response = self._addresses()
        return Response(response, self)

    async def _addresses(self):
        if isinstance(self.address, Exception):
            raise self.address
        yield self.address
        await asyncio.Event().wait()


class Response:
    """What a call gave: addresses, until it is cancelled."""

    def __init__(self, found, handle):
        self.found, self.handle = found, handle

    def __anext__(self):
        return self.found.__anext__()

    def cancel(self):
        self.handle.n_held -= 1


@pytest.fixture
def door_of(served, extra, monkeypatch):
    """Makes a client of a door to one replica."""
    monkeypatch.setattr(
        guard, "LOCAL_NAMES", (*guard.LOCAL_NAMES, "testserver")
    )
    replicas = []

    @contextmanager
    def opened(address=None, secret="secret", **options):
        # As it was calibrated: else it is measured anew, and kept.
        threads = served.calibration.machine["threads"]
        settings = Settings(threads=threads, target_p95=60.0, **options)
        if address is None:
            replicas.append(Replica(served, settings))
        handle = Handle(address or replicas[-1].address)
        behind = remote.Remote(handle, dict(FACTS), secret)
        app = assemble(settings, behind)
        with TestClient(app) as client:
            yield client, handle, behind, replicas[-1] if replicas else None

    yield opened
    for replica in replicas:
        replica.loop.call_soon_threadsafe(replica.listener._task.cancel)
        replica.does(replica.server.stop())
        replica.loop.call_soon_threadsafe(replica.loop.stop)


def speech():
    """Frames of AN4's speech."""
    samples = soundfile.read(SPEECH, dtype="int16")[0]
    return [samples[i : i + 1280].tobytes() for i in range(0, 16000, 1280)]


def talk(client, start=START, frames=None, **options):
    """Says it all and finishes; see `heard`."""
    with client.websocket_connect("/v1/stream", **options) as socket:
        socket.send_json(start)
        for frame in speech() if frames is None else frames:
            socket.send_bytes(frame)
        socket.send_json({"type": "finish"})
        return heard(socket)


def until(is_so):
    """Waits for it."""
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_words_are_those_of_a_server_without_a_door(door_of, client_of):
    found, code = talk(client_of())
    with door_of() as (client, handle, behind, replica):
        relayed, relayed_code = talk(client)
        until(lambda: handle.n_held == 0)
        metrics = behind.metrics.text().decode()
    assert code == relayed_code == 1000 and found[-1]["text"]
    assert relayed[0] == found[0]
    assert relayed[-1]["words"] == found[-1]["words"]
    assert 'dld_streams_total{reason="finished"} 1.0' in metrics
    assert "dld_streams_open 0.0" in metrics


@pytest.mark.parametrize(
    "start, frames, code",
    [
        ({**START, "n_layers": 9}, [], 1007),
        ({"sample_rate": 1}, [], 1007),
        (START, [b"123"], 1007),
        (START, [b"\0" * 2**19], 1009),
    ],
)
def test_what_a_replica_refuses_is_refused(door_of, start, frames, code):
    with door_of() as (client, handle, behind, replica):
        found, given = talk(client, start, frames)
        assert given == code and found[-1]["type"] == "error"
        until(lambda: handle.n_held == 0)


def test_a_token_is_asked_for_behind_the_door(door_of):
    with door_of(token="abc") as (client, *_):
        assert talk(client)[1] == 3000
        assert talk(client, {**START, "token": "abc"})[1] == 1000
        bearer = {"Authorization": "Bearer abc"}
        assert talk(client, headers=bearer)[1] == 1000


def test_who_leaves_is_forgotten_by_the_replica(door_of):
    with door_of() as (client, handle, behind, replica):
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json(START)
            assert socket.receive_json()["type"] == "ready"
            assert handle.n_held == len(replica.server.streams.begun) == 1
        until(lambda: handle.n_held == len(replica.server.streams.begun) == 0)


def test_a_replica_that_dies_ends_its_streams_in_words(door_of):
    with door_of() as (client, handle, behind, replica):
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json(START)
            assert socket.receive_json()["type"] == "ready"
            replica.die()
            found, code = heard(socket)
        assert code == 1012
        assert "open another" in found[-1]["error"]["message"]
        until(lambda: handle.n_held == 0)
        assert talk(client)[1] == 1000  # the next goes on


def test_no_replica_is_said(door_of):
    from ray.exceptions import RayActorError

    with door_of(RayActorError()) as (client, handle, *_):
        found, code = talk(client, frames=[])
        assert code == 1013 and found[-1]["error"]["code"] == "server_busy"
        assert handle.n_held == 0
    with door_of("ws://127.0.0.1:9/v1/stream") as (client, *_):
        assert talk(client, frames=[])[1] == 1012


def test_replicas_hear_the_door_alone(door_of):
    with door_of() as (client, handle, behind, replica):
        for headers in ({}, {SECRET: "guess"}):
            with pytest.raises(InvalidStatus, match="403"):
                connect(replica.address, additional_headers=headers)
        with connect(replica.address, additional_headers={SECRET: "secret"}):
            pass


def test_the_door_has_the_page_and_its_origins(door_of):
    with door_of() as (client, *_):
        assert "<title>" in client.get("/").text
        from starlette.testclient import WebSocketDenialResponse

        with pytest.raises(WebSocketDenialResponse):
            talk(client, headers={"Origin": "http://elsewhere.example"})
