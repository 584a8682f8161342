"""What a Brain gets as its teacher."""

import logging

import pytest

from dld_brain.model_folder import load_pretrained
from dld_brain.run.config import compose
from dld_brain.run.hub_model import convert
from dld_brain.run.teaching import teaching
from dld_brain.training.kept_answers import KeptAnswers


@pytest.fixture
def folder(tmp_path):
    """A Whisper, as a teacher."""
    target = str(tmp_path / "teacher" / "pretrained")
    convert("tests/samples/whisper", target, "whole_whisper", "en")
    return target


def taught_by(folder, **given):
    """The teacher of a run of whisper_any_depth."""
    given = {"data_folder": "x", **given}
    settings = compose("hparams/whisper_any_depth.yaml", given).settings()
    return teaching(settings, load_pretrained(folder), folder)["model"]


def test_its_answers_are_kept_beside_it(folder, tmp_path):
    found = taught_by(folder)
    assert isinstance(found, KeptAnswers)
    assert found.folder == tmp_path / "teacher" / "answers"


def test_of_speech_that_changes_none_are_kept(folder, caplog):
    caplog.set_level(logging.INFO)
    found = taught_by(folder, feature_drops=True)
    assert not isinstance(found, KeptAnswers)
    assert "with `feature_drops` each epoch has other speech" in caplog.text
