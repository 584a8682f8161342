"""A Whisper with its decoder: which language it is told."""

import shutil

import pytest
from tokenizers import Tokenizer

from dld_brain.model_folder import load_pretrained
from dld_brain.run.hub_model import convert, find_or_convert

SOURCE = "tests/samples/whisper"
KIND = "whole_whisper"


@pytest.fixture
def multilingual(tmp_path):
    """The sample, as one that knows English and German."""
    transformers = pytest.importorskip("transformers")
    folder = shutil.copytree(SOURCE, tmp_path / "source")
    path = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    tokenizer.add_special_tokens(["<|en|>", "<|de|>", "<|transcribe|>"])
    tokenizer.save(path)
    kind = transformers.WhisperForConditionalGeneration
    model = kind.from_pretrained(folder)
    model.resize_token_embeddings(tokenizer.get_vocab_size())
    model.generation_config.is_multilingual = True
    model.generation_config._from_model_config = False
    model.save_pretrained(folder)
    return folder


def prompt_of(folder):
    model = load_pretrained(str(folder))
    ids = model.modules["model"].head.config.prompt
    return [model.task.vocabulary.id_to_token(i) for i in ids]


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_multilingual_one_is_told_the_language(
    multilingual, tmp_path, language
):
    target = str(tmp_path / "ours")
    convert(str(multilingual), target, KIND, language)
    assert prompt_of(target)[1:3] == [f"<|{language}|>", "<|transcribe|>"]
    find_or_convert(str(multilingual), target, KIND, language)
    with pytest.raises(ValueError, match=f"must be {language}, .* is 'fr'"):
        find_or_convert(str(multilingual), target, KIND, "fr")


def test_a_language_that_it_does_not_know_is_refused(multilingual, tmp_path):
    with pytest.raises(ValueError, match=r"tokenizer has no <\|xx\|>"):
        convert(str(multilingual), str(tmp_path / "ours"), KIND, "xx")
    with pytest.raises(ValueError, match="must be en for .* but is 'de'"):
        convert(SOURCE, str(tmp_path / "ours"), KIND, "de")
    assert not (tmp_path / "ours").exists()
