"""Folders that are no Whisper of ours with its decoder: one line each."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest

from dld_brain.run.hub_model import check_layers, convert

SOURCE = "tests/samples/whisper"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(SOURCE, tmp_path / "whisper"))


def refused(folder, match):
    target = Path(folder).parent / "out"
    with pytest.raises((ValueError, FileNotFoundError), match=match) as error:
        convert(str(folder), str(target), "whole_whisper")
    assert "\n" not in str(error.value)
    assert not target.exists()


@pytest.mark.parametrize(
    "change, match",
    [
        ({"model_type": "speech_to_text"}, "must hold a Whisper.*speech_to_te"),
        ({"num_mel_bins": 128}, "do not fit its configuration"),
        ({"encoder_layers": 9}, "must be at most 3, the layers of .* is 9"),
        ({"decoder_layers": 9}, "the decoder of .* does not fit"),
    ],
)
def test_another_configuration_is_refused(folder, change, match):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    refused(folder, match)


def test_a_model_of_8_khz_is_refused(folder):
    (folder / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    refused(folder, "must be 16000, a Whisper's, but is 8000: give")


def test_a_broken_or_absent_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").write_text("{}")
    refused(folder, "must be a tokenizer")
    (folder / "tokenizer.json").unlink()
    refused(folder, "lacks that: save the tokenizer beside it")


def test_more_layers_than_there_are_is_refused():
    with pytest.raises(ValueError, match="between 1 and 3, the layers .* is 4"):
        check_layers(4, 3, "whisper")


def test_a_hub_id_without_network_is_one_line(tmp_path, monkeypatch):
    def absent(*_, **__):
        raise OSError("no network\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", absent)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="owner/whisper is no folder"):
        convert("owner/whisper", str(tmp_path / "out"), "whole_whisper")
