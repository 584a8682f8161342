"""Who asks, by which name, under which path, with which token."""

import pytest
from processes import SPEECH

PATH = "/v1/audio/transcriptions"


def post(client, prefix="", content=None, **headers):
    """Transcribes the speech."""
    content = SPEECH.read_bytes() if content is None else content
    return client.post(prefix + PATH, files={"file": content}, headers=headers)


@pytest.fixture
def below(client_of):
    """Makes a client of a server that is mounted at /asr, as Ray mounts it."""

    def make(**settings):
        client = client_of(**settings)
        client._transport.root_path = "/asr"
        return client

    return make


@pytest.mark.parametrize("prefix", ["", "/asr"])
def test_a_prefix_of_paths_opens_no_door(below, prefix):
    client = below(token="right")
    for path in ("/v1/models", "/v1/load", "/metrics"):
        assert client.get(prefix + path).status_code == 401, path
    assert post(client, prefix).status_code == 401
    right = {"Authorization": "Bearer right"}
    assert client.get(f"{prefix}/v1/models", headers=right).status_code == 200
    assert post(client, prefix, **right).status_code == 200
    assert client.get(f"{prefix}/health").status_code == 200


def test_limits_below_a_prefix_are_those_of_uploads(below):
    client = below(max_bytes=100_000)
    assert post(client, "/asr", bytes(80_000)).status_code == 400  # no audio
    assert post(client, "/asr", bytes(120_000)).status_code == 413
    for _ in range(2):
        post(client, "/asr")
    assert 'dld_requests_total{status="200"} 2.0' in client.get("/metrics").text


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://testserver:81"]
)
def test_a_page_of_another_origin_may_not_post(client, origin):
    response = post(client, Origin=origin)
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "wrong_origin"
    assert client.get("/health", headers={"Origin": origin}).is_success


def test_the_own_page_and_what_is_no_page_may_post(client):
    assert post(client).status_code == 200
    assert post(client, Origin="http://testserver").status_code == 200


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://a]b"])
def test_an_origin_that_is_none_is_another(client, origin):
    from starlette.testclient import WebSocketDenialResponse

    assert post(client, Origin=origin).status_code == 403
    with pytest.raises(WebSocketDenialResponse) as denied:
        with client.websocket_connect("/v1/stream", headers={"Origin": origin}):
            pass
    assert denied.value.status_code == 403


def test_the_scheme_of_a_token_is_in_any_case(client_of):
    client = client_of(token="Right")
    for given, status in (
        ("Bearer Right", 200),
        ("bearer Right", 200),
        ("BEARER  Right ", 200),
        ("bearer right", 401),
        ("bearerRight", 401),
        ("Basic Right", 401),
    ):
        headers = {"Authorization": given}
        found = client.get("/v1/models", headers=headers)
        assert found.status_code == status, given


def test_a_token_from_a_file_ends_with_its_last_letter(monkeypatch):
    from pretrained_interfaces.serve.settings import token_of_environment

    for given, found in (("right\n", "right"), (" a b ", "a b"), (" ", "")):
        monkeypatch.setenv("DLD_SERVE_TOKEN", given)
        assert token_of_environment() == found
    monkeypatch.delenv("DLD_SERVE_TOKEN")
    assert token_of_environment() is None


@pytest.mark.parametrize(
    "host, status",
    [
        ("evil.example", 421),
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
    ],
)
def test_a_server_of_this_machine_has_its_names_alone(client, host, status):
    found = client.get("/health", headers={"Host": host})
    assert found.status_code == status


@pytest.mark.parametrize("length", ["²", "9" * 5000, "-1", "", "1_0"])
def test_a_length_that_is_no_number_is_refused(length):
    from starlette.datastructures import Headers

    from pretrained_interfaces.serve.body import announced

    assert announced(Headers({"content-length": length})) is None
