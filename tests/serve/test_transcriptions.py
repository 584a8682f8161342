"""What OpenAI's clients send, and what they get."""

import re
from pathlib import Path

import pytest

SPEECH = Path("tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac")
PATH = "/v1/audio/transcriptions"


def post(client, **fields):
    """Transcribes the speech."""
    with SPEECH.open("rb") as file:
        return client.post(PATH, files={"file": file}, data=fields)


def test_json_is_the_text_and_what_it_took(client, served):
    response = post(client, model="whisper-1", language="en", temperature="0")
    found, alone = response.json(), served.transcribe(SPEECH)
    assert response.status_code == 200
    assert found["text"] == alone.text and found["n_layers"] == served.n_total
    assert found["confidence"] == pytest.approx(alone.confidence, abs=1e-3)
    assert found["queue_seconds"] >= 0 and found["compute_seconds"] > 0
    assert response.headers["x-dld-n-layers"] == str(served.n_total)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_a_depth_that_is_named_is_run(client, served, n_layers):
    found = post(client, n_layers=n_layers).json()
    assert found["n_layers"] == n_layers
    assert found["text"] == served.transcribe_file(SPEECH, n_layers)


def test_a_request_in_a_hurry_runs_fewer_layers(client):
    assert post(client, max_latency=0.025).json()["n_layers"] == 1


def test_text_and_subtitles(client, served):
    text = served.transcribe_file(SPEECH)
    plain = post(client, response_format="text")
    assert plain.text == f"{text}\n"
    assert plain.headers["content-type"].startswith("text/plain")
    assert plain.headers["x-dld-n-layers"] == str(served.n_total)
    srt = post(client, response_format="srt").text
    assert re.match(r"1\n00:00:\d\d,\d{3} --> 00:00:\d\d,\d{3}\n\S+", srt)
    assert post(client, response_format="vtt").text.startswith("WEBVTT\n\n")


def test_verbose_json_has_the_times_that_were_asked_for(client, served):
    def ask(*granularities):
        fields = {"timestamp_granularities[]": list(granularities)}
        return post(client, response_format="verbose_json", **fields).json()

    alone = served.transcribe(SPEECH, word_times=True)
    usual, words, both = ask(), ask("word"), ask("word", "segment")
    assert "segments" in usual and "words" not in usual
    assert "segments" not in words
    assert [w["word"] for w in words["words"]] == [w.text for w in alone.words]
    starts = [round(w.start, 3) for w in alone.words]
    assert [w["start"] for w in both["words"]] == starts
    (segment,) = usual["segments"]
    assert segment["text"] == alone.segments[0].text
    assert segment["avg_logprob"] < 0 and usual["task"] == "transcribe"
    assert usual["duration"] == round(alone.audio_seconds, 3)


@pytest.mark.parametrize(
    "fields, status, param, message",
    [
        ({"model": "gpt-4o"}, 404, "model", "must be golden or whisper-1"),
        ({"n_layers": 4}, 400, "n_layers", "between 1 and 3, but is 4"),
        ({"n_layers": 0}, 400, "n_layers", "between 1 and 3"),
        ({"n_layers": "many"}, 400, "n_layers", "valid integer"),
        ({"max_latency": -1}, 400, "max_latency", "greater than 0"),
        ({"max_latency": "nan"}, 400, "max_latency", "finite"),
        ({"n_layers": 2, "max_latency": 1}, 400, "n_layers", "not both"),
        ({"temperature": 2}, 400, "temperature", "less than or equal to 1"),
        ({"response_format": "xml"}, 400, "response_format", "must be one of"),
        (
            {"timestamp_granularities[]": "word"},
            400,
            "timestamp_granularities",
            "needs response_format=verbose_json",
        ),
        (
            {
                "timestamp_granularities[]": "letter",
                "response_format": "verbose_json",
            },
            400,
            "timestamp_granularities",
            "segment or word",
        ),
    ],
)
def test_errors_have_the_form_of_openai(client, fields, status, param, message):
    response = post(client, **fields)
    error = response.json()["error"]
    assert response.status_code == status
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param and message in error["message"]
    assert error["type"] == "invalid_request_error"


def test_what_is_no_request_is_refused_the_same_way(client):
    missing = client.post(PATH, data={"model": "whisper-1"})
    assert missing.status_code == 400
    assert missing.json()["error"]["param"] == "file"
    for response, status in (
        (client.post(PATH, content=b"x"), 400),
        (client.get(PATH), 405),
        (client.get("/v1/nothing"), 404),
        (client.post("/v1/models"), 405),
    ):
        assert response.status_code == status
        assert set(response.json()["error"]) >= {"message", "code"}


def test_a_fault_inside_says_nothing_of_the_inside(client, monkeypatch):
    def fail(*_, **__):
        raise KeyError("/secret/place")

    monkeypatch.setattr("pretrained_interfaces.serve.server.listen", fail)
    response = post(client)
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text
    assert 'dld_requests_total{status="500"} 1.0' in client.get("/metrics").text


def test_the_model_and_the_state_can_be_asked_for(client):
    (model,) = client.get("/v1/models").json()["data"]
    assert model["id"] == "golden" and model["depths"] == [1, 2, 3]
    assert client.get("/health").json() == {"status": "ok"}
    post(client, n_layers=2)
    load = client.get("/v1/load").json()
    assert load["n_answers"] == 1 and load["mean_depth"] == 2
    metrics = client.get("/metrics").text
    for line in (
        'dld_requests_total{status="200"} 1.0',
        'dld_answers_total{n_layers="2"} 1.0',
        "dld_queue_requests 0.0",
        "dld_batch_size_count 1.0",
        "dld_latency_seconds_count 1.0",
    ):
        assert line in metrics


def test_the_description_is_complete(client):
    found = client.get("/openapi.json").json()
    assert {"/v1/audio/transcriptions", "/v1/models", "/ready"} <= set(
        found["paths"]
    )
    operation = found["paths"][PATH]["post"]
    assert {"200", "400", "413", "503"} <= set(operation["responses"])
    body = next(
        s
        for name, s in found["components"]["schemas"].items()
        if "Body" in name
    )
    assert {"file", "n_layers", "timestamp_granularities[]"} <= set(
        body["properties"]
    )
    assert "422" not in str(operation["responses"].keys())
    assert found["components"]["schemas"]["Transcript"]["examples"]
    assert found["components"]["schemas"]["ErrorBody"]["examples"]


def test_the_page_asks_this_server_alone(client):
    response = client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy
    assert not re.search(r"https?://|src=|@import|url\(", response.text)
    called = set(re.findall(r'"(v1/[a-z/]+)"', response.text))
    paths = client.get("/openapi.json").json()["paths"]
    asked = {"v1/models", "v1/load", "v1/audio/transcriptions"}
    assert called == asked | {"v1/stream"}  # a WebSocket: OpenAPI has none
    assert {f"/{path}" for path in asked} <= set(paths)
    ids = set(re.findall(r' id="([a-z0-9-]+)"', response.text))
    assert set(re.findall(r'at\("([a-z0-9-]+)"\)', response.text)) <= ids
