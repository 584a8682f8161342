"""What is no CTC model to start from, or does not fit it: one line each."""

import json
import shutil

import pytest
import transformers
from hub_models import (
    LETTERS,
    RECIPE,
    SPECIAL,
    change_json,
    flags,
    parakeet_tokenizer,
    save_bert,
    save_ctc,
    save_parakeet,
)

from dld_brain.run.hub_model import convert
from dld_brain.run.main import prepare


def without(folder, name):
    """Takes a token out of all files."""
    path = folder / "vocab.json"
    vocabulary = json.loads(path.read_text())
    del vocabulary[name]
    path.write_text(json.dumps(vocabulary))
    path = folder / "tokenizer_config.json"
    added = json.loads(path.read_text())["added_tokens_decoder"]
    kept = {i: t for i, t in added.items() if t["content"] != name}
    change_json(path, added_tokens_decoder=kept)


def of_8_khz(folder):
    """Says so."""
    save_ctc(folder, extractor={"sampling_rate": 8000})


def encoder_decoder(folder):
    """Makes a Whisper of it."""
    transformers.WhisperConfig().save_pretrained(folder)


def no_blank():
    """A tokenizer of pieces without a blank."""
    tokenizer = parakeet_tokenizer()
    tokenizer.pad_token = None
    return tokenizer


def pretrained_alone(folder):
    """Leaves the head away."""
    config = transformers.AutoConfig.from_pretrained(folder)
    transformers.AutoModel.from_config(config).save_pretrained(folder)


def head_in_words_only(folder):
    """As that, though its configuration says that it has one."""
    pretrained_alone(folder)
    change_json(folder / "config.json", architectures=["Wav2Vec2ForCTC"])


def phonemes(folder):
    """A tokenizer of another kind."""
    change_json(
        folder / "tokenizer_config.json",
        tokenizer_class="Wav2Vec2PhonemeCTCTokenizer",
    )


def cut_short(folder):
    """As a download that was broken off."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


BAD = {
    "config.json of .* must be a model's: it is a list": lambda f: (
        f / "config.json"
    ).write_text("[]"),
    "config.json of .* must be a model's: .*not a valid JSON": lambda f: (
        f / "config.json"
    ).write_text("{"),
    "must be one of a wav2vec2, .* 'num_hidden_layers' expected int": lambda f: (
        change_json(f / "config.json", num_hidden_layers="4")
    ),
    "must be one of a parakeet_ctc, .* 'hidden_size' expected int": lambda f: (
        save_parakeet(f),
        change_json(f / "config.json", encoder_config={"hidden_size": "x"}),
    ),
    "weights of .* configuration: there is no 'gelu_odd'": lambda f: (
        change_json(f / "config.json", hidden_act="gelu_odd")
    ),
    "weights of .* cannot be read or .*: Error while deser": cut_short,
    "must have a blank": lambda folder: without(folder, "<pad>"),
    "must have a word delimiter": lambda folder: without(folder, "|"),
    "audio of 16000 Hz, but .* takes 8000 Hz": of_8_khz,
    "one of Wav2Vec2ForCTC, .* is a whisper: .*whisper_dld": encoder_decoder,
    "is a parakeet_tdt: .*with a CTC head": lambda f: change_json(
        f / "config.json", architectures=None, model_type="parakeet_tdt"
    ),
    "Wav2Vec2BertForCTC, ParakeetForCTC, but .* is a SEW": lambda f: (
        change_json(
            f / "config.json", architectures=["SEWForCTC"], model_type="sew"
        )
    ),
    "`add_adapter` must not be set for a wav2vec2, .* is True": lambda f: (
        save_ctc(f, add_adapter=True)
    ),
    "`adapter_kernel_size` must be 2 or 3 with .*, but is 8": lambda f: (
        save_bert(f, add_adapter=True, adapter_kernel_size=8)
    ),
    "must be 120 wide, .* makes them 160": lambda f: save_bert(
        f, feature_projection_input_dim=120
    ),
    "takes 8000 Hz": lambda f: save_parakeet(
        f, extractor={"sampling_rate": 8000}
    ),
    "have a blank .pad_token.": lambda f: save_parakeet(f, no_blank()),
    "must have a CTC head.* --source=": pretrained_alone,
    "must have a CTC head, but": head_in_words_only,
    "by a Wav2Vec2CTCTokenizer, but has a .*Phoneme": phonemes,
    "vocab.json.* cannot be read": lambda f: (f / "vocab.json").unlink(),
    "what audio it takes": lambda f: (f / "processor_config.json").unlink(),
    "has no config.json": lambda f: (f / "config.json").unlink(),
    "do not fit": lambda f: change_json(f / "config.json", vocab_size=40),
    "is no folder": shutil.rmtree,
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_started_from_is_one_line(message, tmp_path):
    save_ctc(tmp_path / "hf")
    BAD[message](tmp_path / "hf")
    with pytest.raises((ValueError, OSError), match=message) as caught:
        convert(str(tmp_path / "hf"), str(tmp_path / "ours"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours").exists()


def test_a_hub_id_without_network_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="nobody/nothing is no folder"):
        convert("nobody/nothing", str(tmp_path))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n_total": 20}, "`n_total` must be between 1 and 4, .* but is 20"),
        ({"test_depths": "[5]"}, "`test_depths` must be between 1 and 4"),
        ({"vocab_size": 40}, "`vocab_size` must be 32, as the model"),
        ({"normalize_wav": False}, "`normalize_wav` must be True"),
        (
            {"model": None},
            "`model` must be one of wavlm, .* not given: --model=",
        ),
        ({"config": "{hiden_dropout: 0.0}"}, "'hiden_.*: try hidden_dropout"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_must_be_the_models(changes, message, tmp_path):
    save_ctc(tmp_path / "hf")
    with pytest.raises(ValueError, match=message):
        prepare([RECIPE, *flags(tmp_path, **changes)])


def test_training_speech_that_it_cannot_spell_is_said_first(tmp_path):
    save_ctc(tmp_path / "hf", tokens=(*SPECIAL, *LETTERS.replace("X", "")))
    with pytest.raises(ValueError, match=r"train.csv: .* cannot spell: 'X'"):
        prepare([RECIPE, *flags(tmp_path)])
