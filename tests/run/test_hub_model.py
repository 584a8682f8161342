"""A run that starts from a CTC model of the Hub."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from hub_models import (
    LETTERS,
    RECIPE,
    SPECIAL,
    answer,
    change_json,
    flags,
    parakeet_tokenizer,
    save_bert,
    save_ctc,
    save_parakeet,
)

from dld_brain.audio.features import samples_per_frame
from dld_brain.run.hub_model import convert, find_or_convert
from dld_brain.run.main import prepare, train
from pretrained_interfaces import DynamicEncoderASR

BLANK_LAST = (*SPECIAL[1:], *LETTERS, "<pad>")
#: One of each kind and layout, and each with something of its own.
MODELS = {
    "wav2vec2": {},
    "wav2vec2-large": {"is_large": True},
    "hubert": {"kind": "hubert", "tokens": BLANK_LAST},
    "hubert-large": {"kind": "hubert", "is_large": True},
    "wavlm": {"kind": "wavlm", "extractor": {"do_normalize": False}},
    "wavlm-large": {
        "kind": "wavlm",
        "is_large": True,
        "tokens": ("a", "<pad>", "|", "b", "ä", "n", "[UNK]", "'"),
    },
    "lower": {"tokenizer": {"do_lower_case": True}},
    "gap": {
        "tokens": (*SPECIAL[:4], " ", *LETTERS),
        "tokenizer": {"word_delimiter_token": " "},
    },
}


@pytest.fixture
def speech():
    generator = torch.Generator().manual_seed(1)
    return 0.3 * torch.randn(24000, generator=generator) + 0.1


@pytest.mark.parametrize("name", MODELS)
def test_it_says_what_hugging_faces_model_says(name, tmp_path, speech):
    save_ctc(tmp_path / "hf", **MODELS[name])
    expected, text = answer(tmp_path / "hf", speech)
    convert(str(tmp_path / "hf"), str(tmp_path / "ours"))
    asr = DynamicEncoderASR.from_hparams(source=tmp_path / "ours")
    found = asr.encode_batch(speech.unsqueeze(0), torch.ones(1))[0]
    tokens = MODELS[name].get("tokens", (*SPECIAL, *LETTERS))
    blank = tokens.index("<pad>")
    order = [blank, *(i for i in range(len(tokens)) if i != blank)]
    torch.testing.assert_close(found, expected[:, order], atol=1e-4, rtol=0)
    assert (
        asr.transcribe(speech.numpy(), sampling_rate=16000, vad=None).text
        == text
    )
    assert len(text) > 3 and asr.depths == (1, 2, 3, 4)


#: Of a Wav2Vec2-BERT, all that there is.
ADAPTER = {
    "num_adapter_layers": 2,
    "output_hidden_size": 24,
    "use_intermediate_ffn_before_adapter": True,
}
WIDE = {"adapter_kernel_size": 5, "adapter_stride": 4}


@pytest.mark.parametrize(
    "save, changes",
    [
        (save_bert, {"tokens": BLANK_LAST}),
        (save_bert, {"positions": "relative"}),
        (save_bert, {"positions": "rotary"}),
        (save_bert, {"positions": None}),
        (save_bert, {"add_adapter": True}),
        (save_bert, {"add_adapter": True, **ADAPTER}),
        (save_bert, {"add_adapter": True, **WIDE}),
        (save_parakeet, {}),
        (save_parakeet, {"scale_input": False, "attention_bias": False}),
    ],
    ids=str,
)
def test_a_model_on_mels_says_what_hugging_faces_says(
    save, changes, tmp_path, speech
):
    """At lengths whose last frame theirs masks, and others."""
    theirs = save(tmp_path / "hf", **changes)
    convert(str(tmp_path / "hf"), str(tmp_path / "ours"))
    asr = DynamicEncoderASR.from_hparams(source=tmp_path / "ours")
    for n_samples in (24000, 23680, 23520, 4100):
        wav = speech[:n_samples]
        expected, text = answer(tmp_path / "hf", wav)
        found = asr.encode_batch(wav.unsqueeze(0), torch.ones(1))[0]
        n_expected = n_samples / samples_per_frame(asr.mods)
        assert abs(len(found) - n_expected) < 2  # windows at both ends
        size = theirs.config.vocab_size
        is_last = save is save_parakeet or "tokens" in changes
        order = [size - 1, *range(size - 1)] if is_last else list(range(size))
        torch.testing.assert_close(found, expected[:, order], atol=1e-4, rtol=0)
        told = asr.transcribe(wav.numpy(), sampling_rate=16000, vad=None)
        assert told.text == text and len(text) > 1


@pytest.mark.parametrize("kind", ["BPE", "Unigram"])
def test_words_are_cut_as_its_tokenizer_cuts_them(kind, tmp_path):
    save_parakeet(tmp_path / "hf", parakeet_tokenizer(kind))
    convert(str(tmp_path / "hf"), str(tmp_path / "ours"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    asr = DynamicEncoderASR.from_hparams(source=tmp_path / "ours")
    for text in ("the cat sat on that mat", "no hat had ate", "zebra's thatch"):
        theirs = tokenizer.tokenize(text)
        ours = asr.task.encode(text)
        assert [asr.task.symbols[i] for i in ours] == theirs
        assert asr.task.encode(text.upper()).tolist() == ours.tolist()
        assert asr.task.vocabulary.decode(ours.tolist()) == text


def test_a_batch_norm_keeps_its_statistics_in_training(tmp_path):
    save_parakeet(tmp_path / "hf")
    brain = prepare([RECIPE, *flags(tmp_path)]).brain
    model = brain.plain_modules()["model"].train()
    before = {k: v.clone() for k, v in model.named_buffers()}
    model(torch.randn(2, 90, 32), torch.tensor([90, 40]))
    assert any("running_mean" in name for name in before)
    for name, value in model.named_buffers():
        assert torch.equal(value, before[name]), name


def test_text_is_spelled_as_its_tokenizer_does(tmp_path):
    save_ctc(tmp_path / "hf", tokens=BLANK_LAST)
    convert(str(tmp_path / "hf"), str(tmp_path / "ours"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    asr = DynamicEncoderASR.from_hparams(source=tmp_path / "ours")
    symbols = [s.replace("\u2581", "|") for s in asr.task.symbols]
    for text in ("HELLO WORLD", "DON'T  STOP"):
        theirs = tokenizer.convert_ids_to_tokens(
            tokenizer(" ".join(text.split())).input_ids
        )
        assert [symbols[i] for i in asr.task.encode(text)] == theirs
    same = (asr.task.encode(text).tolist() for text in ("stop", "STOP"))
    assert next(same) == next(same)
    assert len(asr.task.encode("ÉÀ")) == 0  # no word of it can be spelled


def test_files_of_other_tools_are_read(tmp_path, speech):
    folder = tmp_path / "hf"
    save_ctc(folder).half().save_pretrained(folder)
    change_json(  # facebook/wav2vec2-base-960h has such
        folder / "config.json",
        gradient_checkpointing=True,
        no_mask_channel_overlap=False,
        layerdrop=0.1,
        id2label={"0": "LABEL_0"},
    )
    convert(str(folder), str(tmp_path / "ours"))
    asr = DynamicEncoderASR.from_hparams(source=tmp_path / "ours")
    found = asr.encode_batch(speech.unsqueeze(0), torch.ones(1))[0]
    model = transformers.AutoModelForCTC.from_pretrained(
        folder, dtype=torch.float32
    )
    wav = (speech - speech.mean()) / speech.std()
    with torch.no_grad():
        expected = model.eval()(wav.unsqueeze(0)).logits[0].log_softmax(-1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_the_student_starts_as_its_copy(tmp_path):
    save_ctc(tmp_path / "hf", kind="wavlm")
    brain = prepare([RECIPE, *flags(tmp_path)]).brain
    state = brain.teacher.state_dict()
    for name, value in brain.plain_modules()["model"].state_dict().items():
        assert torch.equal(value, state[name]), name
    assert not any(p.requires_grad for p in brain.teacher.parameters())
    assert brain.task.vocabulary.id_to_piece(0) == "<pad>"


def test_an_hparams_file_changes_its_configuration(tmp_path):
    save_ctc(tmp_path / "hf")
    text = Path(RECIPE).read_text()
    text = text.replace("shared/", f"{Path(RECIPE).parent.resolve()}/shared/")
    text = text.replace(
        "    freeze_stem: True\n",
        "    freeze_stem: True\n    config: {hidden_dropout: 0.25}\n",
    )
    (tmp_path / "mine.yaml").write_text(text)
    run = prepare([str(tmp_path / "mine.yaml"), *flags(tmp_path)])
    assert run.modules["model"].stem.drop.p == 0.25
    config = run.settings.encoder.config
    assert config["hidden_size"] == 32 and config["model_type"] == "wav2vec2"


def test_a_folder_of_another_model_is_not_taken_for_it(tmp_path, monkeypatch):
    for name in ("hf", "other"):
        save_ctc(tmp_path / name)
    convert(str(tmp_path / "hf"), str(tmp_path / "run/teacher/pretrained"))
    monkeypatch.chdir(tmp_path)
    find_or_convert("hf", "run/teacher/pretrained")  # the same, named anew
    monkeypatch.undo()
    with pytest.raises(ValueError, match="made of .*/other, but was of .*/hf"):
        prepare([RECIPE, *flags(tmp_path, model=tmp_path / "other")])
    with pytest.raises(
        ValueError, match="`model` must be an object of the hparams file"
    ):
        prepare(["hparams/wavlm_dld.yaml", *flags(tmp_path)])


@pytest.mark.slow
def test_a_student_of_fewer_layers_trains_and_goes_on(tmp_path, capsys):
    save_ctc(tmp_path / "hf")
    options = flags(tmp_path, n_total=2, init_layers="ends")
    train([RECIPE, *options])
    assert "is converted, 4 layers" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "hf")  # it is not asked again
    train([RECIPE, *options, "--test_only"])
    assert "converted" not in capsys.readouterr().out
    folder = tmp_path / "run/pretrained"
    assert DynamicEncoderASR.from_hparams(source=folder).depths == (1, 2)
    training = json.loads((folder / "training.json").read_text())
    assert training["teacher"].endswith("run/teacher/pretrained")
