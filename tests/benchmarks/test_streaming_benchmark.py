"""benchmarks/streaming.py: when depths are drawn, what its tables say."""

import sys
from argparse import Namespace

import numpy as np
import pytest
from conftest import REPOSITORY

from pretrained_interfaces import DynamicEncoderASR

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import streaming  # noqa: E402
import streaming_depths  # noqa: E402
import streaming_load  # noqa: E402
from streaming_tables import by_chunk, by_load, by_period  # noqa: E402

OPTIONS = Namespace(chunk=0.32, left=0.64, max_lag=0.3)


@pytest.fixture(scope="module")
def asr():
    """A small model, of three depths."""
    return DynamicEncoderASR.from_hparams("tests/samples/golden")


@pytest.fixture(scope="module")
def speech():
    """4.8 s that is none: 15 chunks."""
    rng = np.random.default_rng(1)
    samples = (0.1 * rng.standard_normal(76_800)).astype(np.float32)
    return streaming.Speech([samples], ["A"], samples, "A")


def test_a_depth_holds_for_its_period_and_draws_come_again(asr, speech):
    def played(every, draw):
        return streaming.play(asr, speech, OPTIONS, [1, 3], every, True, draw)

    fixed = played(None, 0)
    assert fixed["changes"] == 0 and fixed["mean_depth"] == 1
    assert 1 < played(0.0, 0)["mean_depth"] < 3
    for draw in range(3):
        often, seldom = played(0.0, draw), played(2.0, draw)
        assert seldom["changes"] <= 2 < often["changes"]
        assert often["wer"] == played(0.0, draw)["wer"]
    assert len({played(0.0, draw)["mean_depth"] for draw in range(4)}) > 1


def test_lags_are_told_apart_by_the_load():
    rows = [(0.0, 0.1, 3, 0), (1.0, 0.5, 2, 1), (2.0, 0.7, 1, 1)]
    rows += [(3.0, 0.3, 3, 2)]
    found = streaming_load.by_part(rows)
    assert found["quiet"]["max"] == 0.3 and found["load"]["max"] == 0.7
    assert found["load"]["p50"] == pytest.approx(0.6)
    assert found["all"]["p50"] == pytest.approx(0.4)


def test_a_stream_is_played_whole_and_the_load_ends(asr, speech):
    class Load:
        def __init__(self):
            self.told = []

        def set(self):
            self.told.append(True)

        def clear(self):
            self.told.append(False)

    load = Load()
    found = streaming_load.listen(
        asr, speech, OPTIONS, 50.0, {"n_layers": 2}, load
    )
    assert found["dropped"] == 0 and found["mean_depth"] == 2
    third = len(load.told) // 3
    assert load.told == [False] * third + [True] * third + [False] * third
    assert [row[0] for row in found["chunks"]] == sorted(
        row[0] for row in found["chunks"]
    )


def test_tables_say_what_was_measured():
    row = {"source": "m", "wer": 12.34, "task": "0.32 s", "input": "n=2"}
    assert "| m | 0.32 s | 12.3 |" in by_chunk({}, {"rows": [row]})
    row |= {"wers": [11.0, 13.0], "mean_depth": 5.0, "input": "2 s"}
    fixed = {**row, "task": "fixed", "input": "n=5", "wers": [9.0], "wer": 9.0}
    rows = [fixed, {**row, "task": "refilled"}]
    rows += [{**row, "task": "without refill", "wer": 20.0}]
    table = by_period({}, {"rows": rows})
    assert "| n = 5 | 5.0 | 9.0 | 9.0 |" in table
    wers = "12.3 (11.0 to 13.0) | 20.0 (11.0 to 13.0)"
    assert f"| drawn anew, 2 s | 5.0 | {wers} |" in table
    lag = {"p50": 0.1, "p95": 0.25, "max": 1.0}
    row |= {"lags": {"quiet": lag, "load": lag}, "dropped": 0}
    row |= {"task": "governor", "mean_depth_under_load": 3.0}
    table = by_load({}, {"rows": [row]})
    assert "| governor | 0.10 | 0.25 | 1.00 | 0.10 | 0.25 | 1.00 |" in table


def test_a_model_that_hears_whole_utterances_streams_each(monkeypatch, speech):
    asr = DynamicEncoderASR.from_hparams()  # the Whisper that ships
    options = Namespace(depths=[2, 4])
    long = speech._replace(waves=[np.zeros(8000, np.float32), speech.waves[0]])
    for chunk in (None, 1.28):
        found = streaming_depths.played(asr, long, options, chunk)
        assert list(found) == [2, 4]
        assert all(len(texts) == 2 for texts in found.values())
        assert found[2][0] == ""
    told = []
    monkeypatch.setattr(asr, "stream", lambda *a, **k: told.append((a, k)))
    with pytest.raises(AttributeError):
        streaming_depths.played(asr, long, options, 0.32)
    assert told == [((0.32,), {"n_layers": 2})]
