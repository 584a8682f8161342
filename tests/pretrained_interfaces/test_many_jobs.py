"""Processes that transcribe: the same answers, and what one of them dies of."""

import os
from pathlib import Path

import pytest
from deadly import Deadly

from pretrained_interfaces.depths.depth import Fixed
from pretrained_interfaces.many.items import Item
from pretrained_interfaces.many.transcriber import How, Transcriber
from pretrained_interfaces.many.workers import run_jobs

pytestmark = pytest.mark.slow

GOLDEN = os.path.abspath("tests/samples/golden")
FILES = sorted(map(str, Path("tests/samples/AN4/wav").rglob("*.flac")))
ITEMS = [Item(name) for name in [*FILES, "no.wav", *FILES]]
LISTENING = {"vad": "energy", "max_audio_seconds": 60.0, "windowed": True}


def how(depth, source=GOLDEN):
    return How(source, "cpu", depth, LISTENING)


def answers(depth, items=ITEMS, size=4, n_jobs=2):
    """What processes answer, by place."""
    pairs = list(enumerate(items))
    groups = [pairs[i : i + size] for i in range(0, len(pairs), size)]
    found = {}
    for group in run_jobs(how(depth), groups, n_jobs):
        for place, answer in group:
            assert place not in found
            found[place] = answer
    return [found[place] for place in range(len(items))]


@pytest.fixture(scope="module")
def expected():
    """What this process answers, one by one."""
    transcriber = Transcriber(how(Fixed()))
    return [transcriber.answer([item])[0] for item in ITEMS]


def texts(found):
    return [a.found.text if a.found else a.error for a in found]


def test_processes_answer_as_one(expected):
    assert texts(answers(Fixed())) == texts(expected)


def test_a_process_that_is_killed_loses_nothing(expected, tmp_path):
    seconds = expected[2].found.audio_seconds
    flag = tmp_path / "died"
    found = answers(Deadly(seconds, str(flag)))
    assert flag.exists()
    assert texts(found) == texts(expected)


def test_a_file_that_processes_die_of_is_the_only_one_that_fails(expected):
    seconds = expected[2].found.audio_seconds
    found = answers(Deadly(seconds))
    for place, answer in enumerate(found):
        other = expected[place]
        if other.found and abs(other.found.audio_seconds - seconds) < 1e-6:
            assert answer.found is None
            assert "process that transcribed it died" in answer.error
            assert ITEMS[place].file in answer.error
        else:
            assert texts([answer]) == texts([other])


def test_a_model_that_cannot_be_loaded_is_one_fault():
    with pytest.raises(ValueError, match="between 1 and"):
        answers(Fixed(99))
    with pytest.raises(RuntimeError, match="that loads the model died"):
        answers(Deadly(-1.0))
