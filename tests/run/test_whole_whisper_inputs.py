"""Folders that are no Whisper of ours with its decoder: one line each."""

import errno
import json
import shutil
import threading
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from dld_brain.encoder.whisper import source
from dld_brain.files import hub
from dld_brain.model_folder import load_pretrained
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
        ({"decoder_attention_heads": 3}, "must divide the width of 16, .* 3"),
    ],
)
def test_another_configuration_is_refused(folder, change, match):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    refused(folder, match)


def test_weights_without_a_configuration_are_named_so(folder):
    (folder / "config.json").unlink()
    refused(folder, "has no config.json beside its weights")


def test_tables_that_were_untied_are_refused_where_they_differ(folder):
    path = folder / "config.json"
    told = {**json.loads(path.read_text()), "tie_word_embeddings": False}
    path.write_text(json.dumps(told))
    weights = load_file(folder / "model.safetensors")
    table = weights["model.decoder.embed_tokens.weight"]
    save_file(
        {**weights, "proj_out.weight": table.clone()},
        folder / "model.safetensors",
    )
    convert(str(folder), str(folder.parent / "equal"), "whole_whisper")
    save_file(
        {**weights, "proj_out.weight": table + 1},
        folder / "model.safetensors",
    )
    refused(folder, "must be true, .* by one table, but are two: give a model")


def test_a_model_of_8_khz_is_refused(folder):
    (folder / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    refused(folder, "must be 16000, a Whisper's, but is 8000: give")


def test_so_is_one_that_transformers_5_wrote(folder):
    told = {"feature_extractor": {"sampling_rate": 8000}}
    (folder / "processor_config.json").write_text(json.dumps(told))
    refused(folder, "processor_config.json must be 16000, .* but is 8000")


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "processor_config.json"]
)
@pytest.mark.parametrize(
    "text, match", [("{", "Expecting"), ("[]", "an object of JSON, .* a list")]
)
def test_what_is_no_configuration_is_named(folder, name, text, match):
    (folder / name).write_text(text)
    refused(folder, f"/{name} must be a configuration.*{match}")


def test_another_programs_tokenizer_is_refused(folder):
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<|notimestamps|>", "<|no|>"))
    refused(folder, "must be a Whisper's own, but has no .*notimestamps")


def told_of(folder, **changes):
    """What a folder's decoder becomes, its generation_config.json changed."""
    path = folder / "generation_config.json"
    told = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in told.items() if v != DROP}))
    target = str(folder.parent / "ours")
    convert(str(folder), target, "whole_whisper")
    return load_pretrained(target).modules["model"].head.config


DROP = "drop"


def test_one_that_does_not_say_so_knows_english_alone_by_its_size(folder):
    """As many that were fine-tuned: 51864 tokens are English alone."""
    assert len(told_of(folder, is_multilingual=DROP).prompt) == 2


def test_heads_of_layers_that_a_distilled_one_has_not_are_left_out(folder):
    """Kotoba-Whisper has two layers, and the heads of large-v3's 32."""
    heads = told_of(folder, alignment_heads=[[1, 0], [7, 0], [25, 6]])
    assert heads.alignment_heads == ((1, 0),)


def test_null_suppresses_nothing(folder):
    found = told_of(folder, begin_suppress_tokens=None, suppress_tokens=None)
    assert (found.begin_suppress_tokens, found.suppress_tokens) == ((), ())


def test_weights_in_parts_are_read(folder, tmp_path):
    transformers = pytest.importorskip("transformers")
    convert(str(folder), str(tmp_path / "whole"), "whole_whisper")
    kind = transformers.WhisperForConditionalGeneration
    model = kind.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    shutil.copy(f"{SOURCE}/generation_config.json", folder)
    convert(str(folder), str(tmp_path / "parts"), "whole_whisper")
    whole, parts = (
        load_pretrained(str(tmp_path / name)).modules["model"].state_dict()
        for name in ("whole", "parts")
    )
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


def test_an_index_names_files_beside_it_alone(folder):
    outside = folder.parent / "other.safetensors"
    (folder / "model.safetensors").rename(outside)
    told = {"weight_map": {"a": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(told))
    refused(folder, "`weight_map` of .* must name files beside it")


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

    monkeypatch.setattr(source, "ask", lambda *_: False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", absent)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="owner/whisper is no folder"):
        convert("owner/whisper", str(tmp_path / "out"), "whole_whisper")


def test_the_hub_is_asked_with_a_limit_before_it_sends(tmp_path, monkeypatch):
    """Its own client would wait for minutes where nobody answers."""

    def silent(*_):
        raise FileNotFoundError("no answer in 3 s")

    def fetched(*_, **__):
        raise AssertionError("it was not asked first")

    monkeypatch.setattr(source, "ask", silent)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no answer in 3 s"):
        convert("owner/whisper", str(tmp_path / "out"), "whole_whisper")


def test_where_the_hub_hangs_the_cache_answers(monkeypatch, tmp_path, caplog):
    """Asked for what is cached already, its client would wait with it."""
    hangs = threading.Event()
    given = []

    def snapshot(*_, local_files_only, **__):
        given.append(local_files_only)
        raise OSError("enough")

    monkeypatch.setattr(hub, "TIMEOUT", 0.05)
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda *_, **__: "a file"
    )
    monkeypatch.setattr(
        huggingface_hub, "get_hf_file_metadata", lambda *_, **__: hangs.wait()
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="enough"):
        convert("owner/whisper", str(tmp_path / "out"), "whole_whisper")
    assert "what the cache has of it is taken" in caplog.text
    hangs.set()
    with pytest.raises(FileNotFoundError, match="enough"):
        convert("owner/whisper", str(tmp_path / "out"), "whole_whisper")
    assert given == [True, False]


@pytest.mark.parametrize(
    "error, match",
    [
        (OSError(errno.ENOSPC, "No space left"), r"nothing: No space left$"),
        (OSError(errno.ENETDOWN, "It is down"), "nothing: no connection: It"),
        (RuntimeError("two\nlines"), "nothing: no connection: two lines$"),
    ],
)
def test_what_stops_the_fetching_is_told(tmp_path, monkeypatch, error, match):
    def snapshot(*_, **__):
        raise error

    monkeypatch.setattr(source, "ask", lambda *_: False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.chdir(tmp_path)
    refused("owner/whisper", match)
