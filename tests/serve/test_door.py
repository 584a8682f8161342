"""The door of Ray Serve, in front of replicas that a test makes up."""

import asyncio
import io

import pytest

pytest.importorskip("fastapi")
exceptions = pytest.importorskip("ray.exceptions")
pytest.importorskip("ray.serve")

from pretrained_interfaces.serve import on_ray, remote  # noqa: E402
from pretrained_interfaces.serve.job import Answer, Busy  # noqa: E402
from pretrained_interfaces.serve.settings import Settings  # noqa: E402
from pretrained_interfaces.transcription import Transcription  # noqa: E402

FACTS = {"name": "golden", "depths": (1, 2, 3), "errors": None}


class Replicas:
    """A handle whose calls end as a test says, one after another."""

    def __init__(self, *ends):
        self.ends, self.asked = [*ends], []
        self.transcribe = self

    def remote(self, content, wanted):
        self.asked.append((content, wanted))

        async def response():
            end = self.ends.pop(0)
            if isinstance(end, Exception):
                raise end
            return end

        return response()


def ask(monkeypatch, *ends):
    """What comes of a request, and what replicas were asked."""
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    replicas = Replicas(*ends)
    behind = remote.Remote(replicas, dict(FACTS), "")
    behind.metrics.answered = lambda answer: None
    behind.metrics.ran_elsewhere = lambda answer: None
    work = behind.transcribe(io.BytesIO(b"audio"), n_layers=2)
    try:
        return asyncio.run(work), replicas.asked
    except (Busy, ValueError) as error:
        return error, replicas.asked


def test_what_a_replica_had_that_died_goes_to_another(monkeypatch):
    died = exceptions.RayActorError()
    found, asked = ask(monkeypatch, died, died, ("answer", "text"))
    assert found == "text"
    assert asked == [(b"audio", {"n_layers": 2})] * 3
    found, asked = ask(monkeypatch, *[died] * 9)
    assert isinstance(found, Busy) and len(asked) == remote.N_TRIES


def test_refusals_of_a_replica_are_the_servers_own(monkeypatch):
    found, asked = ask(monkeypatch, ("busy", ("the server is busy", 7)))
    assert isinstance(found, Busy) and found.retry_after == 7
    found, asked = ask(monkeypatch, ("refused", "no audio"))
    assert isinstance(found, ValueError) and str(found) == "no audio"
    assert len(asked) == 1


def test_the_door_counts_what_replicas_answered():
    said = Transcription("a", 2, (1, 1), 1.5, 0.1, 1.0, 0.0, 0)
    answers = [("answer", Answer(said, 2, 0.1, 0.1, 3)) for _ in range(2)]
    behind = remote.Remote(Replicas(*answers), dict(FACTS), "")
    for _ in range(2):
        asyncio.run(behind.transcribe(io.BytesIO(b"audio")))
    lines = behind.metrics.text().decode().splitlines()
    assert 'dld_answers_total{n_layers="2"} 2.0' in lines
    assert "dld_audio_seconds_total 3.0" in lines
    assert "dld_batch_size_count 2.0" in lines
    assert "dld_batch_size_sum 6.0" in lines


def test_a_config_file_can_say_all_that_a_server_is_told():
    told = set(Settings.__dataclass_fields__) - set(
        on_ray.Arguments.model_fields
    )
    assert told == {"port", "token"}  # Ray's, the environment's
    arguments, settings = on_ray.Arguments(), Settings()
    for name in ("max_bytes", "max_seconds", "upload_seconds", "workers"):
        assert getattr(arguments, name) == getattr(settings, name)


def test_a_depth_that_is_not_there_is_refused_at_the_door():
    known = remote.Known((1, 2, 3))
    known.gates(3)
    with pytest.raises(ValueError, match="one of 1, 2, 3, but is 4"):
        known.gates(4)
