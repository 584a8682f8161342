"""A part of a model, for Hugging Face's transformers alone."""

import json

import pytest
import torch
import transformers
from conftest import HF_SIZE
from hub_models import (
    LETTERS,
    SPECIAL,
    answer,
    parakeet_tokenizer,
    save_bert,
    save_ctc,
    save_parakeet,
)

from dld_brain.audio.features import FeatureNorm, Waveform, extract
from dld_brain.encoder.wavlm.layers import wavlm_encoder
from dld_brain.export.__main__ import main
from dld_brain.export.stock_huggingface import vocabulary_of, write_huggingface
from dld_brain.gates.gates import Gates
from dld_brain.run.hub_model import convert
from dld_brain.tasks import TranscriptionTask
from dld_brain.tasks.characters import SPACE, character_vocabulary
from pretrained_interfaces import DynamicEncoderASR

SYMBOLS = [SPACE if t == "|" else t for t in (*SPECIAL, *LETTERS)]
SPEECH = "tests/samples/AN4/wav/an4_clstk/mbbb/an3-mbbb-b.flac"


VOCABULARY = character_vocabulary(SYMBOLS)


def made(kind, is_large=False, **options):
    """Hyperparameters of a model of 4 layers whose every weight says something."""
    config = {
        **HF_SIZE,
        "model_type": kind,
        "layerdrop": 0.0,
        "do_stable_layer_norm": is_large,
        "feat_extract_norm": "layer" if is_large else "group",
    }
    torch.manual_seed(0)
    model = wavlm_encoder(None, config, len(SYMBOLS), **options)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, weight.mean().item(), 0.1)
    return {
        "model": model.eval(),
        "config": config,
        "normalize_wav": is_large,
        "sample_rate": 16000,
    }


@torch.no_grad()
@pytest.mark.parametrize(
    "layers, hparams",
    [
        ((1, 3), {"kind": "wavlm"}),
        ((2,), {"kind": "wavlm", "is_large": True}),
        ((1, 2, 3), {"kind": "wav2vec2", "per_depth": "head"}),
        ((0, 3), {"kind": "hubert", "closed": "affine", "per_depth": "norm"}),
        ((0, 1, 2, 3), {"kind": "hubert", "is_large": True}),
    ],
    ids=str,
)
def test_a_part_says_what_the_depth_says(layers, hparams, tmp_path):
    hparams, gates = made(**hparams), Gates(layers, 4)
    write_huggingface(hparams, VOCABULARY, gates, tmp_path)
    generator = torch.Generator().manual_seed(1)
    wav = 0.1 * torch.randn(16000, generator=generator)
    modules = {
        "compute_features": Waveform(),
        "normalize": FeatureNorm(
            "sentence", enabled=hparams["normalize_wav"]
        ).eval(),
    }
    feats, lengths = extract(modules, wav.unsqueeze(0), torch.ones(1))
    (out,) = hparams["model"](feats, lengths, [gates])
    found, text = answer(tmp_path, wav)
    torch.testing.assert_close(found, out.log_probs[0], atol=1e-4, rtol=0)
    task = TranscriptionTask(character_vocabulary(SYMBOLS))
    assert text == task.decode(out)[0] and text
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    assert config.num_hidden_layers == len(layers)


def test_the_pipeline_of_transformers_takes_it(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    source, output = str(tmp_path / "ours"), str(tmp_path / "part")
    save_ctc(tmp_path / "hf", "wavlm", tokens=(*SPECIAL[1:], *LETTERS, "<pad>"))
    convert(str(tmp_path / "hf"), source)
    words = ["hf", "--source", source, "--output", output, "--files", SPEECH]
    assert main([*words, "--n_layers", "2"]) == 0
    asr = DynamicEncoderASR.from_hparams(source)
    wav = asr.load_audio(SPEECH)
    pipeline = transformers.pipeline(
        "automatic-speech-recognition", model=output, device="cpu"
    )
    text = pipeline({"raw": wav.numpy(), "sampling_rate": 16000})["text"]
    assert text == asr.transcribe_file(SPEECH, n_layers=2)
    assert text != asr.transcribe_file(SPEECH, n_layers=4)
    (row,) = json.loads((tmp_path / "part/parity.json").read_text())
    assert row["max_difference"] < 1e-4 and row["identical"] == 1
    assert row["layers"] == [0, 3]


@pytest.mark.parametrize(
    "save, changes",
    [
        (save_bert, {"positions": "relative"}),
        (
            save_bert,
            {
                "add_adapter": True,
                "output_hidden_size": 24,
                "use_intermediate_ffn_before_adapter": True,
            },
        ),
        (save_parakeet, {}),
        (save_parakeet, {"tokenizer": parakeet_tokenizer("Unigram")}),
    ],
    ids=["wav2vec2-bert", "adapter", "parakeet", "parakeet-unigram"],
)
def test_a_part_on_mels_is_a_model_of_transformers(save, changes, tmp_path):
    source, output = str(tmp_path / "ours"), str(tmp_path / "part")
    save(tmp_path / "hf", **changes)
    convert(str(tmp_path / "hf"), source)
    words = ["hf", "--source", source, "--output", output, "--files", SPEECH]
    assert main([*words, "--n_layers", "2"]) == 0
    (row,) = json.loads((tmp_path / "part/parity.json").read_text())
    assert row["max_difference"] < 1e-4 and row["identical"] == 1
    asr = DynamicEncoderASR.from_hparams(source)
    # An even number of mel frames: of others it also writes what it masks.
    wav = asr.load_audio(SPEECH)[: 400 + 160 * 61]
    pipeline = transformers.pipeline(
        "automatic-speech-recognition", model=output, device="cpu"
    )
    text = pipeline({"raw": wav.numpy(), "sampling_rate": 16000})["text"]
    told = asr.transcribe(
        wav.numpy(), sampling_rate=16000, n_layers=2, vad=None
    )
    assert text == told.text and text
    words = ["submodel", "--source", source, "--output", str(tmp_path / "x")]
    assert main([*words, "--n_layers", "2"]) == 2
    tokenizer = transformers.AutoTokenizer.from_pretrained(output)
    spelled = tokenizer("that hat", add_special_tokens=False).input_ids
    if save is save_parakeet:
        assert spelled == asr.task.encode("that hat").tolist()


def test_what_transformers_cannot_have_is_refused(tmp_path, capsys):
    with pytest.raises(ValueError, match="closed=norm.* must stay whole"):
        hparams = made("wavlm", closed="norm")
        write_huggingface(hparams, VOCABULARY, Gates((0, 1), 4), tmp_path)
    with pytest.raises(ValueError, match="of characters.* has '▁THE'"):
        vocabulary_of(["<unk>", SPACE, "A", f"{SPACE}THE"])
    source = ["--source", "tests/samples/golden", "--n_layers", "2"]
    output = str(tmp_path / "part")
    assert main(["hf", *source, "--output", output]) == 2
    assert "but is a Conformer" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
