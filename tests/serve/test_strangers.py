"""What strangers send: too much, too slowly, under false names, broken."""

import asyncio
import json
import random
from pathlib import Path

import pytest

from tests.fuzz.files import broken_files

SPEECH = Path("tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac")
PATH = "/v1/audio/transcriptions"


def post(client, content=None, name="a.flac", **options):
    """Transcribes a file."""
    content = SPEECH.read_bytes() if content is None else content
    return client.post(PATH, files={"file": (name, content)}, **options)


def test_a_body_that_is_too_long_is_not_read(client_of):
    client = client_of(max_bytes=20_000)
    assert post(client, bytes(10_000)).status_code == 400  # no audio
    announced = post(client, bytes(30_000))
    assert announced.status_code == 413
    assert "at most 20000 bytes" in announced.json()["error"]["message"]

    def endless():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; '
        yield b'filename="a"\r\n\r\n'
        for _ in range(1000):
            yield bytes(1000)

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post(PATH, content=endless(), headers=kind).status_code == 413
    assert client.post("/health", content=bytes(100_000)).status_code == 413


def test_audio_that_is_too_long_is_refused(client_of):
    error = post(client_of(max_seconds=0.5)).json()["error"]
    assert error["param"] == "file" and "0.5 s" in error["message"]


@pytest.mark.parametrize("path", [PATH, "/v1/models", "/v1/load", "/metrics"])
def test_a_token_is_needed_where_there_is_one(client_of, path):
    client = client_of(token="right")
    for given in (None, "Bearer wrong", "right", "Bearer rig", "Bearer é"):
        sent = {} if given is None else {"Authorization": given.encode()}
        response = client.get(path, headers=sent)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "invalid_api_key"
    sent = {"Authorization": "Bearer right"}
    assert client.get(path, headers=sent).status_code in (200, 405)
    assert client.get("/health").status_code == 200


def test_tokens_are_compared_in_constant_time(client_of, monkeypatch):
    compared = []

    def compare(a, b):
        compared.append((a, b))
        return a == b

    client = client_of(token="right")
    monkeypatch.setattr(
        "pretrained_interfaces.serve.bearer.hmac.compare_digest", compare
    )
    client.get("/v1/models", headers={"Authorization": "Bearer wrong"})
    assert compared == [(b"Bearer wrong", b"Bearer right")]


def test_other_hosts_pages_cannot_pose_as_this_machine(client_of):
    client = client_of()
    for host, status in (
        ("localhost:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("[::1]", 200),
        ("rebound.example", 421),
        ("localhost.example:80", 421),
    ):
        response = client.get("/health", headers={"Host": host})
        assert response.status_code == status, host
    asked = client.get("/health", headers={"Origin": "https://a.example"})
    assert "access-control-allow-origin" not in asked.headers
    far = client_of(host="0.0.0.0")
    assert far.get("/health", headers={"Host": "me.example"}).is_success


def test_names_of_files_lead_nowhere(client, served, tmp_path):
    text = served.transcribe_file(SPEECH)
    for name in ("../../etc/passwd", "$(touch x).wav", "-", "a\0b", "x" * 999):
        assert post(client, name=name).json()["text"] == text
    for content in (b"/etc/passwd", b"hub:owner/name/a.wav", b"-"):
        error = post(client, content).json()["error"]
        assert "passwd" not in error["message"]
        assert error["param"] == "file"


@pytest.fixture
def guarded(extra):
    """Runs a request through the guard, in front of an app that reads."""
    from pretrained_interfaces.serve.errors import Refusal
    from pretrained_interfaces.serve.guard import Guard
    from pretrained_interfaces.serve.settings import Settings

    def run(receive, n_times=1, release=None, **settings):
        async def app(scope, receive, send):
            try:
                while (await receive()).get("more_body"):
                    pass
            except Refusal as error:
                statuses.append(error.status_code)
                return
            if release is not None:
                await release.wait()
            statuses.append(200)

        async def send(message):
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                if release is not None:
                    release.set()

        async def all_of_them():
            guard = Guard(app, Settings(**settings))
            scope = {"type": "http", "path": PATH, "headers": []}
            scope["method"] = "POST"
            await asyncio.gather(
                *(guard(scope, receive, send) for _ in range(n_times))
            )
            assert guard.n_uploads == 0

        statuses = []
        asyncio.run(all_of_them())
        return statuses

    return run


def test_who_sends_too_slowly_is_let_go(guarded):
    async def never():
        await asyncio.Event().wait()

    assert guarded(never, upload_seconds=0.01) == [408]


def test_no_more_requests_than_were_agreed_on(guarded):
    async def whole():
        return {"type": "http.request", "body": b"", "more_body": False}

    found = guarded(whole, n_times=3, release=asyncio.Event(), max_requests=2)
    assert found == [503, 200, 200]


def test_work_is_given_up_when_its_client_leaves(extra):
    from pretrained_interfaces.serve.routes import _unless_gone

    class Gone:
        async def receive(self):
            return {"type": "http.disconnect"}

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def run():
        assert await _unless_gone(Gone(), work()) is None
        await asyncio.sleep(0)
        return list(ended)

    ended = []
    assert asyncio.run(run()) == [True]


@pytest.mark.filterwarnings("ignore")
def test_no_broken_file_is_a_fault_of_ours(client, tmp_path):
    files = broken_files(tmp_path)
    assert len(files) > 200
    statuses = {}
    for case, content in files.items():
        response = post(client, content, data={"n_layers": 1})
        statuses[case] = response.status_code
        assert response.status_code in (200, 400), (case, response.text)
        if response.status_code == 400:
            error = response.json()["error"]
            assert error["param"] == "file" and "\n" not in error["message"]
            assert "/tmp" not in error["message"], case
    assert {200, 400} <= set(statuses.values())
    assert client.get("/ready").status_code == 200


def test_broken_forms_are_refused(client):
    rng = random.Random(0)
    whole = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
        b"\r\n" + SPEECH.read_bytes()[:2000] + b"\r\n--x--\r\n"
    )
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for _ in range(100):
        place = rng.randrange(120)
        broken = whole[:place] + rng.randbytes(2) + whole[place + 2 :]
        response = client.post(PATH, content=broken, headers=kind)
        assert 400 <= response.status_code < 500, broken[:130]
        json.loads(response.text)["error"]["message"]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"workers": 0}, "`workers` must be at least 1"),
        ({"target_p95": 0}, "`target_p95` must be more than 0"),
        ({"port": 70000}, "`port` must be between"),
        ({"token": " "}, "DLD_SERVE_TOKEN must be a token, but is empty"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, message):
    from pretrained_interfaces.serve.settings import Settings

    with pytest.raises(ValueError, match=message):
        Settings(**given)
