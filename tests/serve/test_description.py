"""What the server says of itself, and what it does."""

import re

import pytest
from processes import SPEECH

from tests.fuzz import api


@pytest.mark.slow
def test_every_answer_is_as_described(start, calibrated_folder, monkeypatch):
    pytest.importorskip("schemathesis")
    monkeypatch.setenv("DLD_SERVE_TOKEN", "right")
    process = start("--source", calibrated_folder, "--target_p95", "60").ready()
    before = process.transcribe(token="right")
    done = api.check(process.url, "right", "--max-examples", "60")
    assert done.returncode == 0, done.stdout
    assert re.search(r"(\d+) generated, \1 passed", done.stdout)
    assert process.transcribe(token="right")[1]["text"] == before[1]["text"]
    status, said = process.stop()
    assert status == 0 and "Traceback" not in said
    answered = re.findall(r"POST /v1/audio/\S+ \S+ (\d+)", said)
    assert answered.count("200") > 10


def test_the_description_says_what_the_guard_asks_for(client_of):
    for settings, needed in (({"token": "right"}, True), ({}, False)):
        found = client_of(**settings).get("/openapi.json").json()
        for path, operations in found["paths"].items():
            guarded = needed and path.startswith(("/v1/", "/metrics"))
            for operation in operations.values():
                assert ("401" in operation["responses"]) == guarded, path
                assert bool(operation.get("security")) == guarded, path
        assert ("securitySchemes" in found["components"]) == needed


def test_every_word_of_the_form_is_one_that_is_taken(client):
    found = client.get("/openapi.json").json()
    (form,) = (
        schema
        for name, schema in found["components"]["schemas"].items()
        if name.startswith("Body_")
    )
    assert "null" not in str(form)
    for word in form["properties"]["response_format"]["enum"]:
        with SPEECH.open("rb") as file:
            response = client.post(
                "/v1/audio/transcriptions",
                files={"file": file},
                data={"response_format": word},
            )
        assert response.status_code == 200, word
        described = found["paths"]["/v1/audio/transcriptions"]["post"]
        kind = response.headers["content-type"].partition(";")[0]
        assert kind in described["responses"]["200"]["content"]


def test_examples_are_what_their_schemas_say(client):
    from pretrained_interfaces.serve import schemas

    for name in (
        *("Transcript", "VerboseTranscript", "TimedWord", "TimedSegment"),
        *("ErrorBody", "Model", "Models", "LoadNow"),
    ):
        kind = getattr(schemas, name)
        (example,) = kind.model_json_schema()["examples"]
        found = kind.model_validate(example).model_dump(exclude_none=True)
        assert found == example, name
    described = client.get("/openapi.json").json()["components"]["schemas"]
    (form,) = (described[name] for name in described if name[:5] == "Body_")
    fields = set(form["properties"]) - {"file", "prompt", "temperature"}
    for name in fields:
        assert form["properties"][name]["examples"], name


def test_a_model_is_told_by_its_id(client):
    (listed,) = client.get("/v1/models").json()["data"]
    assert client.get(f"/v1/models/{listed['id']}").json() == listed
    assert client.get("/v1/models/whisper-1").json() == listed
    for name in ("other", "owner/name"):
        response = client.get(f"/v1/models/{name}")
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "model_not_found"


def test_posts_alone_are_refused_to_other_pages(client):
    paths = client.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            is_told = "403" in operation["responses"]
            assert is_told == (method == "post"), path
