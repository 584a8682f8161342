"""What the command line of a server says."""

import pytest
from serving import made_up

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.__main__ import parser
from pretrained_interfaces.serve.command import settings_of
from pretrained_interfaces.serve.server import Server
from pretrained_interfaces.serve.settings import Settings


def told(*words):
    """Settings of a command line."""
    return settings_of(parser().parse_args(["serve", *words]))


def test_what_runs_together_and_how_is_told():
    assert told().batch_seconds == 60 and not told().int8
    found = told("--batch_seconds", "30", "--int8")
    assert found.batch_seconds == 30 and found.int8
    with pytest.raises(ValueError, match="`batch_seconds` must be at least 1"):
        Settings(batch_seconds=0)


def test_a_server_computes_in_int8_where_it_is_told_to(monkeypatch):
    golden = "tests/samples/golden"
    monkeypatch.setattr(DynamicEncoderASR, "costs", made_up)
    for int8 in (False, True):
        server = Server(Settings(golden, device="cpu", int8=int8))
        server._load()
        assert ("int8" in server._asr.identity) == int8
