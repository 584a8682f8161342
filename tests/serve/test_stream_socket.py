"""Live audio over a WebSocket: words, depths, limits, ends."""

import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from serving import heard

SPEECH = Path("tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac")
START = {"sample_rate": 16000, "n_layers": 3}


@pytest.fixture(scope="module")
def samples():
    """Speech of AN4, 16 bits, [S]."""
    return soundfile.read(SPEECH, dtype="int16")[0]


@pytest.fixture
def talk(client_of):
    """Opens a stream of a server with some settings, and says a start."""

    def opened(start=None, client=None, headers=None, **settings):
        client = client or client_of(**settings)
        socket = client.websocket_connect("/v1/stream", headers=headers or {})
        socket.__enter__()
        sockets.append(socket)
        if start is not None:
            socket.send_json({**START, **start})
        return socket

    sockets = []
    yield opened
    for socket in sockets:
        socket.__exit__(None, None, None)


def refused(socket):
    """The error and the code that a stream ends with."""
    found, code = heard(socket)
    assert found[-1]["type"] == "error"
    assert set(found[-1]["error"]) == {"message", "type", "param", "code"}
    assert "Traceback" not in found[-1]["error"]["message"]
    return found[-1]["error"], code


def expected(served, samples, **options):
    """The text of the stream that is not served."""
    stream = served.stream(0.64, **options)
    words = stream.feed(samples).words + stream.finish().words
    return " ".join(word.text for word in words)


def send(socket, samples, size=1280):
    """Frames of audio."""
    for first in range(0, len(samples), size):
        socket.send_bytes(samples[first : first + size].tobytes())


@pytest.mark.parametrize("kind", ["pcm_s16le", "f32le"])
@pytest.mark.parametrize("size", [160, 100_000])
def test_it_says_what_the_stream_says(talk, served, samples, kind, size):
    socket = talk({"format": kind})
    ready = socket.receive_json()
    assert ready["type"] == "ready" and ready["depths"] == [1, 2, 3]
    given = samples
    if kind == "f32le":
        given = (samples / 2**15).astype("<f4")
    send(socket, given, size)
    socket.send_json({"type": "finish"})
    found, code = heard(socket)
    done = found[-1]
    assert code == 1000 and done["type"] == "done"
    assert done["reason"] == "finished"
    assert done["text"] == expected(served, samples, n_layers=3) != ""
    assert abs(done["audio_seconds"] - len(samples) / 16000) < 1e-3
    words = [word for m in found[:-1] for word in m["words"]]
    assert words == done["words"]
    for word in words:
        assert 0 <= word["start"] < word["end"] <= done["audio_seconds"] + 0.04
        assert 0 < word["probability"] <= 1
    assert {m["n_layers"] for m in found[:-1] if m["n_layers"]} == {3}
    assert all(m["lag"] >= 0 for m in found[:-1])
    assert set(done["chunks_at"]) == {"3"}


def test_other_rates_are_resampled(talk, served, samples):
    import soxr

    socket = talk({"sample_rate": 48000, "format": "f32le"})
    fast = soxr.resample(samples / np.float32(2**15), 16000, 48000)
    send(socket, fast.astype("<f4"), 777)
    socket.send_json({"type": "finish"})
    done = heard(socket)[0][-1]
    assert abs(done["audio_seconds"] - len(samples) / 16000) < 0.01
    text = expected(served, samples, n_layers=3)
    assert abs(len(done["text"]) - len(text)) <= 4  # letters of noise


def test_the_depth_changes_in_mid_stream(talk, samples):
    socket = talk()
    socket.send_json({**START, "n_layers": 1})
    socket.receive_json()
    piece = np.tile(samples, 2)[:20480]
    send(socket, piece, len(piece))
    assert socket.receive_json()["n_layers"] == 1
    socket.send_json({"type": "depth", "n_layers": 3})
    send(socket, piece, len(piece))
    assert socket.receive_json()["n_layers"] == 3
    socket.send_json({"type": "depth", "n_layers": None})  # the governor
    send(socket, piece, len(piece))
    assert socket.receive_json()["n_layers"] == 1  # begins at the floor
    socket.send_json({"type": "finish"})
    done = heard(socket)[0][-1]
    assert done["n_changes"] == 2


def test_a_late_stream_gets_shallower_and_drops_nothing(
    talk, client_of, served, samples, monkeypatch
):
    from pretrained_interfaces.streams.chunk_stream import ChunkStream

    run, depths = ChunkStream.run_chunk, []

    def slow(self, x):
        depths.append(self.gates.depth)
        time.sleep(0.2 * self.gates.depth)
        return run(self, x)

    monkeypatch.setattr(ChunkStream, "run_chunk", slow)
    socket = talk({"n_layers": None, "max_lag": 0.3, "floor": 1})
    socket.receive_json()
    send(socket, np.tile(samples, 3), 1280)  # all of it at once
    socket.send_json({"type": "finish"})
    done = heard(socket)[0][-1]
    n = 3 * len(samples)
    assert abs(done["audio_seconds"] - n / 16000) < 1e-3
    assert depths[-1] == 1 and done["chunks_at"]["1"] == len(depths)


def test_what_waits_is_bounded(talk, samples, monkeypatch):
    from pretrained_interfaces.serve.live.waiting import Waiting

    most = []
    take = Waiting.take

    async def watched(self, seconds):
        most.append(self.seconds)
        return await take(self, seconds)

    monkeypatch.setattr(Waiting, "take", watched)
    monkeypatch.setattr(Waiting.__init__, "__defaults__", (1.0,))
    socket = talk({})
    send(socket, np.tile(samples, 8), 4096)
    socket.send_json({"type": "finish"})
    done = heard(socket)[0][-1]
    assert abs(done["audio_seconds"] - 8 * len(samples) / 16000) < 1e-3
    assert max(most) <= 1.0 + 4096 / 16000


def test_computing_does_not_hold_the_server_up(
    talk, client, samples, monkeypatch
):
    from pretrained_interfaces.streams.chunk_stream import ChunkStream

    begun, go_on = threading.Event(), threading.Event()
    run = ChunkStream.run_chunk

    def held(self, x):
        begun.set()
        assert go_on.wait(60)
        return run(self, x)

    monkeypatch.setattr(ChunkStream, "run_chunk", held)
    socket = talk({}, client)
    send(socket, samples)
    assert begun.wait(60)
    assert client.get("/health").status_code == 200
    assert client.get("/v1/load").json()["streams"] == 1
    go_on.set()
    socket.send_json({"type": "finish"})
    assert heard(socket)[1] == 1000


@pytest.mark.parametrize(
    "text, param",
    [
        ("{", None),
        ("[]", None),
        ("{}", "sample_rate"),
        ('{"sample_rate": 7999}', "sample_rate"),
        ('{"sample_rate": "16000"}', "sample_rate"),
        ('{"sample_rate": 16000, "format": "mp3"}', "format"),
        ('{"sample_rate": 16000, "n_layers": 4}', "n_layers"),
        ('{"sample_rate": 16000, "n_layers": 2.5}', "n_layers"),
        ('{"sample_rate": 16000, "floor": 9}', "floor"),
        ('{"sample_rate": 16000, "max_lag": 0}', "max_lag"),
        ('{"sample_rate": 16000, "max_lag": NaN}', "max_lag"),
        ('{"sample_rate": 16000, "other": 1}', "other"),
        ('{"sample_rate": 16000, "token": "\\ud800"}', None),
        ('{"sample_rate": ' + "[" * 3000, None),
        ('{"sample_rate": 16000, "n_layers": 2, "max_lag": 1}', "n_layers"),
    ],
)
def test_a_bad_start_is_refused(talk, text, param):
    socket = talk()
    socket.send_text(text)
    error, code = refused(socket)
    assert code == 1007 and error["type"] == "invalid_request_error"
    if param:
        assert error["param"] == param


def test_audio_before_the_start_is_refused(talk, samples):
    socket = talk()
    send(socket, samples[:100])
    error, code = refused(socket)
    assert code == 1007 and "first message must be JSON" in error["message"]


@pytest.mark.parametrize(
    "later, code, message",
    [
        ("{", 1007, "JSON"),
        ('{"type": "stop"}', 1007, "finish"),
        ('{"type": "depth", "n_layers": "3"}', 1007, "`n_layers`"),
        ("x" * 5000, 1009, "at most 4096 characters"),
        (b"123", 1007, "whole samples of 4 bytes"),
        (np.float32([0, np.nan]).tobytes(), 1007, "reach nan"),
        (np.float32([0, 1e30]).tobytes(), 1007, r"reach 1e\+30"),
        (bytes(2**18 + 4), 1009, "at most 262144 bytes"),
    ],
)
def test_what_comes_later_and_is_bad_is_refused(talk, later, code, message):
    socket = talk({"format": "f32le"})
    if isinstance(later, str):
        socket.send_text(later)
    else:
        socket.send_bytes(later)
    error, closed = refused(socket)
    assert closed == code
    assert re.search(message, error["message"])


def test_a_depth_that_is_none_is_refused_in_mid_stream(talk, samples):
    socket = talk({})
    socket.send_json({"type": "depth", "n_layers": 13})
    send(socket, samples)
    error, code = refused(socket)
    assert code == 1007 and error["param"] == "n_layers"
    assert "but is 13" in error["message"]


def test_no_more_streams_than_were_agreed_on(talk, client_of):
    client = client_of(max_streams=2)
    first, second = talk({}, client), talk({}, client)
    assert first.receive_json()["type"] == "ready"
    assert second.receive_json()["type"] == "ready"
    error, code = refused(talk({}, client))
    assert code == 1013 and "2 streams" in error["message"]
    first.send_json({"type": "finish"})
    heard(first)
    assert talk({}, client).receive_json()["type"] == "ready"


def test_a_stranger_holds_no_place(talk, client_of, monkeypatch):
    from pretrained_interfaces.serve.live import session

    client = client_of(max_streams=1, token="right")
    monkeypatch.setattr(session, "START_SECONDS", 0.5)
    silent = [talk(None, client) for _ in range(3)]
    socket = talk({"token": "right"}, client)
    assert socket.receive_json()["type"] == "ready"
    error, code = refused(talk({"token": "right"}, client))
    assert code == 1013
    for each in silent:
        error, code = refused(each)
        assert code == 3008 and "first message" in error["message"]


def test_silence_on_the_line_ends_it(talk, samples):
    socket = talk({}, idle_seconds=0.3)
    send(socket, samples)
    found, code = heard(socket)
    assert code == 3008
    done, error = found[-2:]
    assert done["type"] == "done" and done["reason"] == "idle"
    assert done["text"] and error["error"]["code"] == "timeout"


def test_a_stream_that_is_too_long_ends_with_what_was_said(
    talk, served, samples
):
    socket = talk({}, max_stream_seconds=1.0)
    send(socket, samples, 4000)
    found, code = heard(socket)
    assert code == 1008
    done, error = found[-2:]
    assert done["reason"] == "too_long" and 1.0 < done["audio_seconds"] < 1.5
    assert error["error"]["code"] == "too_large"


@pytest.mark.parametrize("given", [None, "wrong", "rights", "é"])
def test_a_stream_needs_the_token(talk, given, monkeypatch):
    import hmac

    compared = []
    compare = hmac.compare_digest
    monkeypatch.setattr(
        hmac, "compare_digest", lambda *a: compared.append(a) or compare(*a)
    )
    error, code = refused(talk({"token": given}, token="right"))
    assert code == 3000 and error["code"] == "invalid_api_key"
    assert len(compared) == 1


def test_the_right_token_is_taken_from_message_or_header(talk, client_of):
    client = client_of(token="right")
    assert talk({"token": "right"}, client).receive_json()["type"] == "ready"
    headers = {"Authorization": "Bearer right"}
    assert talk({}, client, headers).receive_json()["type"] == "ready"


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://testserver:81"}, 403),
        ({"Host": "rebound.example"}, 421),
    ],
)
def test_other_pages_may_not_open_a_stream(client, headers, status):
    from starlette.testclient import WebSocketDenialResponse

    with pytest.raises(WebSocketDenialResponse) as denied:
        with client.websocket_connect("/v1/stream", headers=headers):
            pass
    assert denied.value.status_code == status
    assert set(denied.value.json()["error"]) >= {"message", "code"}


def test_the_own_page_may(talk, client):
    for origin in ("http://testserver", "http://testserver:80"):
        socket = talk({}, client, {"Origin": origin})
        assert socket.receive_json()["type"] == "ready"


def wait_for(check):
    """Waits until something holds."""
    end = time.monotonic() + 30
    while not check():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_who_leaves_is_forgotten(talk, client, samples):
    streams = client.app.state.server.streams
    for _ in range(3):
        socket = talk({}, client)
        socket.receive_json()
        send(socket, samples)
        socket.close(1001)
    wait_for(lambda: not streams.sessions)
    text = client.get("/metrics").text
    assert 'dld_streams_total{reason="gone"} 3.0' in text
    assert "dld_streams_open 0.0" in text


def test_a_fault_of_ours_is_no_traceback(talk, samples, monkeypatch):
    from pretrained_interfaces.streams.chunk_stream import ChunkStream

    def broken(self, x):
        raise KeyError("secret")

    monkeypatch.setattr(ChunkStream, "run_chunk", broken)
    socket = talk({})
    send(socket, samples)
    error, code = refused(socket)
    assert code == 1011 and "secret" not in error["message"]


def test_metrics_tell_of_streams(talk, client, samples):
    socket = talk({}, client)
    socket.receive_json()
    assert "dld_streams_open 1.0" in client.get("/metrics").text
    send(socket, samples)
    socket.send_json({"type": "finish"})
    done = heard(socket)[0][-1]
    wait_for(lambda: "dld_streams_open 0.0" in client.get("/metrics").text)
    text = client.get("/metrics").text
    seconds = len(samples) / 16000
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith("dld_stream_audio_seconds_total")
    ]
    assert float(line.split()[1]) == pytest.approx(seconds)
    assert 'dld_streams_total{reason="finished"} 1.0' in text
    assert 'dld_stream_chunks_total{n_layers="3"}' in text
    assert "dld_stream_lag_seconds_count" in text and done["text"]


def test_a_server_that_stops_says_what_was_said(talk, client, samples, served):
    socket = talk({}, client)
    socket.receive_json()
    waiting = talk(None, client)  # has said nothing yet
    send(socket, samples, 1280)
    server = client.app.state.server
    none = b"dld_stream_audio_seconds_total 0.0"
    wait_for(lambda: none not in server.metrics.text())
    client.portal.call(server.streams.drain, 30.0)
    found, code = heard(socket)
    assert code == 1001
    done, error = found[-2:]
    assert done["reason"] == "stopped" and error["type"] == "error"
    assert done["text"]
    error, code = refused(waiting)
    assert code == 1013 and "stopping" in error["message"]
    assert refused(talk({}, client))[1] == 1013
    assert not server.streams.sessions


def test_a_model_of_whole_utterances_streams_by_a_window(
    talk, client_of, served, samples, monkeypatch
):
    from pretrained_interfaces.streams.window_stream import WindowStream

    def check_chunks():
        raise ValueError("its layers know no chunks")

    monkeypatch.setattr(served.mods.model, "check_chunks", check_chunks)
    made = []
    init = WindowStream.__init__
    monkeypatch.setattr(
        WindowStream,
        "__init__",
        lambda self, *a, **k: made.append(a[1:3]) or init(self, *a, **k),
    )
    socket = talk({})
    assert socket.receive_json()["chunk"] == 1.0
    send(socket, samples)
    socket.send_json({"type": "finish"})
    assert heard(socket)[0][-1]["text"]
    assert set(made) == {(1.0, 10.0)}


def test_a_model_of_whole_utterances_is_heard_by_a_window(
    served, extra, monkeypatch
):
    from pretrained_interfaces.serve.live.streams import maker
    from pretrained_interfaces.serve.settings import Settings

    for is_chunked, way in (
        (None, {"chunk": 0.64}),
        (True, {"chunk": 0.64}),
        (False, {"chunk": 1.0, "window": 10.0}),
    ):
        monkeypatch.setattr(served, "trained_in_chunks", is_chunked)
        assert maker(served, Settings()).keywords == way


def test_a_window_that_cannot_be_is_told_when_the_server_starts(served, extra):
    from pretrained_interfaces.serve.live.streams import maker
    from pretrained_interfaces.serve.settings import Settings

    with pytest.raises(ValueError, match="`window` must be above 0"):
        maker(served, Settings(stream_window=99.0))
    with pytest.raises(ValueError, match="`idle_seconds` must be more than 0"):
        Settings(idle_seconds=0)
