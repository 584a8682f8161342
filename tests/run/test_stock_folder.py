"""A run that starts from a stock model of SpeechBrain."""

import shutil

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from stock_folders import YAML, save_stock, setting, stock_asr

from dld_brain.export.stock_speechbrain import write_submodel
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import load_pretrained
from dld_brain.run import stock_files
from dld_brain.run.hub_model import convert
from dld_brain.run.main import prepare
from pretrained_interfaces import DynamicEncoderASR

ENCODER, RECIPE = "transformer_asr", "hparams/speechbrain_dld.yaml"
LABELS = [*"abdegho ,nf"]
#: One of each encoder, attention, tokenizer and place of the blank.
MODELS = {
    "conformer": {},
    "conformer-absolute": {
        "attention_type": "regularMHA",
        "labels": LABELS,
        "output_neurons": 12,
    },
    "branchformer": {
        "encoder_module": "branchformer",
        "blank_index": 13,
        "output_neurons": 14,
    },
    "transformer": {
        "encoder_module": "transformer",
        "attention_type": "regularMHA",
        "labels": LABELS,
        "output_neurons": 12,
        "blank_index": 5,
    },
    "transformer-relative": {
        "encoder_module": "transformer",
        "normalize_before": False,
        "strides": "(1, 4)",
        "residuals": "(True, False)",
        "activation": "!name:speechbrain.nnet.activations.Swish",
    },
}


def speech(n_samples=24000):
    generator = torch.Generator().manual_seed(1)
    return 0.3 * torch.randn(n_samples, generator=generator) + 0.1


def ours_of(folder, place):
    """Converts a folder and loads what comes of it."""
    convert(str(folder), str(place), ENCODER)
    return DynamicEncoderASR.from_hparams(source=place)


@pytest.mark.parametrize("name", MODELS)
def test_it_says_what_speechbrains_model_says(name, tmp_path):
    """Whole; and so does a part of it, which is such a folder again."""
    blank = MODELS[name].get("blank_index", 0)
    save_stock(tmp_path / "stock", **MODELS[name])
    theirs = stock_asr(tmp_path / "stock", tmp_path / "cache")
    asr = ours_of(tmp_path / "stock", tmp_path / "ours")
    wav = speech()
    expected = theirs.encode_batch(wav[None], torch.ones(1))
    order = [blank, *(i for i in range(expected.shape[2]) if i != blank)]
    found = asr.encode_batch(wav[None], torch.ones(1))
    torch.testing.assert_close(found, expected[..., order], atol=1e-4, rtol=0)
    texts = theirs.transcribe_batch(wav[None], torch.ones(1))[0]
    said = asr.transcribe(wav.numpy(), sampling_rate=16000, vad=None)
    assert [said.text] == [" ".join(text.split()) for text in texts]

    model = load_pretrained(str(tmp_path / "ours"))
    model.modules["model"].eval()
    (tmp_path / "part").mkdir()
    write_submodel(model.hparams, Gates((0, 2), 4), str(tmp_path / "part"))
    part = stock_asr(tmp_path / "part", tmp_path / "part_cache")
    again = ours_of(tmp_path / "part", tmp_path / "again")
    assert again.depths == (1, 2)
    features = asr.mods.normalize(
        asr.mods.compute_features(wav[None], torch.ones(1))[0]
    )
    lengths = torch.tensor([features.shape[1]])
    with torch.no_grad():
        (out,) = model.modules["model"](features, lengths, [Gates((0, 2), 4)])
    for other in (part, again):
        found = other.encode_batch(wav[None], torch.ones(1))
        torch.testing.assert_close(found, out.log_probs, atol=1e-4, rtol=0)
    texts = part.transcribe_batch(wav[None], torch.ones(1))[0]
    assert [" ".join(text.split()) for text in texts] == model.task.decode(out)


@pytest.mark.parametrize("told", ["10.0", "inf", None])
def test_what_is_known_of_its_training_is_kept(told, tmp_path):
    save_stock(tmp_path / "stock")
    path = tmp_path / "stock/hyperparams.yaml"
    if told is not None:
        path.write_text(f"avoid_if_longer_than: {told}\n{path.read_text()}")
    asr = ours_of(tmp_path / "stock", tmp_path / "ours")
    expected = 10.0 if told == "10.0" else None
    assert asr.longest_utterance == expected
    assert asr.limits().whole == (expected or 20) * 16_000


def test_short_speech_that_speechbrain_cannot_reflect_is_heard(tmp_path):
    save_stock(tmp_path / "stock", encoder_module="branchformer")
    asr = ours_of(tmp_path / "stock", tmp_path / "ours")
    wavs = speech(1600)[None]  # 3 frames under a kernel of 7
    assert asr.encode_batch(wavs, torch.ones(1)).isfinite().all()
    with pytest.raises(RuntimeError, match="Padding size"):
        theirs = stock_asr(tmp_path / "stock", tmp_path / "cache")
        theirs.encode_batch(wavs, torch.ones(1))


def encoder_decoder(folder):
    """As the recipes with a decoder leave them, CTC beside; its objects."""
    text = YAML.replace("num_decoder_layers: 0", "num_decoder_layers: 1")
    for line in ("ctc_lin", "log_softmax"):
        text = text.replace(f"    {line}: !ref <{line}>\nt", "t")
        text = text.replace(f"    {line}: !ref <{line}>\n", "")
    text = text.replace(
        "<Transformer>, !ref", "<Transformer>, !ref <seq>, !ref"
    )
    text += """
seq: !new:speechbrain.nnet.linear.Linear {input_size: 16, n_neurons: 13}
lm: !new:speechbrain.lobes.models.transformer.TransformerLM.TransformerLM
    vocab: 13
decoder: !new:speechbrain.decoders.S2STransformerBeamSearcher
    modules: [!ref <Transformer>, !ref <seq>]
    scorer: !new:speechbrain.decoders.scorer.ScorerBuilder
        full_scorers: [!ref <lm>]
        weights: {transformerlm: 0.6}
"""
    text = text.replace(
        "    loadables:", "    loadables:\n        lm: !ref <lm>"
    )
    (folder / "hyperparams.yaml").write_text(text)
    kept = text[: text.index("\nlm:")] + "\n"
    kept = kept.replace("        lm: !ref <lm>\n", "")
    torch.manual_seed(0)
    made = load_hyperpyyaml(kept)
    torch.save(made["asr_model"].state_dict(), folder / "asr.ckpt")
    return made


def test_a_decoder_is_left_behind(tmp_path):
    norm = save_stock(tmp_path / "stock")["normalizer"]
    made = encoder_decoder(tmp_path / "stock")
    made["normalizer"]._load_statistics_dict(norm._statistics_dict())
    asr = ours_of(tmp_path / "stock", tmp_path / "ours")
    with torch.no_grad():
        hidden = made["encoder"].eval()(speech()[None], torch.ones(1))
        expected = made["ctc_lin"](hidden).log_softmax(-1)
    found = asr.encode_batch(speech()[None], torch.ones(1))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "tag",
    [
        "!apply:os.system [touch {0}]",
        "!new:subprocess.Popen [touch, {0}]",
        "!name:os.system",
        "!!python/object/apply:os.system [touch {0}]",
        "!include:{0}",
        "!apply:torch.save [1, {0}]",  # may be named, and is not run
    ],
)
def test_nothing_that_a_folder_names_runs(tag, tmp_path):
    save_stock(tmp_path / "stock")
    path, trace = tmp_path / "stock/hyperparams.yaml", tmp_path / "trace"
    path.write_text(f"a: {tag.format(trace)}\n{path.read_text()}")
    if "torch" in tag:
        convert(str(tmp_path / "stock"), str(tmp_path / "ours"), ENCODER)
    else:
        with pytest.raises(
            ValueError, match="line 1: .* is not one of the tags"
        ):
            convert(str(tmp_path / "stock"), str(tmp_path / "ours"), ENCODER)
    assert not trace.exists()
    objects = torch.nn.Linear(1, 1)  # a pickle that makes what it names
    torch.save(objects, tmp_path / "stock/asr.ckpt")
    path.write_text(YAML)
    with pytest.raises(ValueError, match="must hold tensors alone"):
        convert(str(tmp_path / "stock"), str(tmp_path / "other"), ENCODER)


def changed(key, value):
    """A fault that is a value of a key."""

    def change(folder):
        path = folder / "hyperparams.yaml"
        path.write_text(setting(path.read_text(), key, value))

    return change


def replaced(old, new):
    """A fault that is another line."""

    def change(folder):
        path = folder / "hyperparams.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def without_head(folder):
    """Takes the head out, of name and chain."""
    replaced("    ctc_lin: !ref <ctc_lin>\n", "")(folder)
    replaced("ctc_lin:", "seq_lin:")(folder)
    replaced("<ctc_lin>", "<seq_lin>")(folder)


def no_statistics(folder):
    """As they are before a first update."""
    torch.save(
        {"count": 0, "glob_mean": torch.tensor(0)}, folder / "normalizer.ckpt"
    )


def hub_files(folder):
    """A folder of Hugging Face's."""
    (folder / "hyperparams.yaml").rename(folder / "config.json")


BAD = {
    "must have a CTC head .* has none": without_head,
    "encoder_module` must be one of transf.* 'zipformer'": changed(
        "encoder_module", "zipformer"
    ),
    "attention_type` must be one of .* 'hyper": changed(
        "attention_type", "hypermixing"
    ),
    "`causal` of TransformerASR must be False, but is True": changed(
        "causal", "True"
    ),
    "`causal` must be False, but is not given": replaced(
        "    causal: False\n", ""
    ),
    "one of the 13 outputs, but is 13": changed("blank_index", 13),
    "one of the 13 outputs, but is None": changed("blank_id", "null"),
    "must have a blank, but output 12": replaced(  # the last by default
        "blank_id: !ref <blank_index>", "other: 1"
    ),
    "but has a speechbrain.nnet.RNN.LSTM": replaced(
        "    ctc_lin: !ref <ctc_lin>\n",
        "    rnn: !new:speechbrain.nnet.RNN.LSTM {hidden_size: 4}\n",
    ),
    "`norm` of ConvolutionFrontEnd must be .*LayerNorm": replaced(
        "    num_blocks: 2\n",
        "    num_blocks: 2\n    norm: !name:speechbrain.nnet.normalization.BatchNorm2d\n",
    ),
    "`norm_type` of InputNorm.* must be global": changed(
        "norm_type", "sentence"
    ),
    "`deltas` of Fbank must be as it is": replaced(
        "    n_fft: !ref", "    deltas: True\n    n_fft: !ref"
    ),
    "finite statistics|must hold count": no_statistics,
    "`asr` must be what asr.ckpt holds, but size mismatch": changed(
        "d_ffn", 48
    ),
    "`config.input_size`|weights of|size mismatch": changed("input_size", 24),
    "must fill the weights": changed("num_encoder_layers", 5),
    "num_encoder_layers` must be at most 1000": changed(
        "num_encoder_layers", 999999
    ),
    "`config.d_model` must be a mul.* 16$": changed("nhead", 3),
    "must have `loadables`": replaced("    loadables:", "    others:"),
    "<nothing> is no key": changed("d_ffn", "!ref <nothing>"),
    "refers to itself": changed("d_model", "!ref <d_model>"),
    "has no asr.ckpt": lambda folder: (folder / "asr.ckpt").unlink(),
    "start with hparams/pretrained_dld.yaml": hub_files,
    "must be YAML": lambda f: (f / "hyperparams.yaml").write_text("a: [1"),
    "is no folder": shutil.rmtree,
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_started_from_is_one_line(message, tmp_path):
    save_stock(tmp_path / "stock")
    BAD[message](tmp_path / "stock")
    with pytest.raises((ValueError, OSError), match=message) as caught:
        convert(str(tmp_path / "stock"), str(tmp_path / "ours"), ENCODER)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours").exists()


def test_a_vocabulary_without_blank_or_gap_is_one_line(tmp_path):
    for labels, index, message in (
        (LABELS, 3, "must have a blank, but output 3"),
        ([*"abcdefghijk"], 0, "what parts words"),
        ([*"abdegho ,n", "th"], 0, "must be characters, but one is 'th'"),
    ):
        save_stock(tmp_path, labels=labels, output_neurons=12)
        changed("blank_index", index)(tmp_path)
        with pytest.raises(ValueError, match=message):
            convert(str(tmp_path), str(tmp_path / "ours"), ENCODER)


def test_a_model_of_the_hub_is_fetched_file_by_file(tmp_path, monkeypatch):
    save_stock(tmp_path / "stock")
    fetched = []

    def download(repository, name):
        assert repository == "speechbrain/asr"
        fetched.append(name)
        return str(tmp_path / "stock" / name)

    monkeypatch.setattr(stock_files.hub, "ask", lambda *_: True)
    monkeypatch.setattr(
        stock_files.huggingface_hub, "hf_hub_download", download
    )
    convert("speechbrain/asr", str(tmp_path / "ours"), ENCODER)
    files = {
        "hyperparams.yaml",
        "asr.ckpt",
        "normalizer.ckpt",
        "tokenizer.ckpt",
    }
    assert set(fetched) == files


def test_the_student_starts_as_its_copy(tmp_path):
    save_stock(tmp_path / "stock")
    options = {
        "corpus": "AN4",
        "data_folder": "tests/samples/AN4",
        "max_unspellable": 1,
        "model": tmp_path / "stock",
        "output_folder": tmp_path / "run",
    }
    flags = [f"--{key}={value}" for key, value in options.items()]
    brain = prepare([RECIPE, *flags, "--noprogressbar", "--device=cpu"]).brain
    state = brain.teacher.state_dict()
    ours = brain.plain_modules()["model"].state_dict()
    assert len(ours) > 100 and brain.plain_modules()["model"].n_total == 4
    for name, value in ours.items():
        assert torch.equal(value, state[name]), name
    norm = brain.plain_modules()["normalize"]
    assert norm.count == 3 and norm.glob_mean.shape == (20,)
