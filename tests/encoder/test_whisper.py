"""Whisper's encoder under gates, against Hugging Face's; where it comes from."""

import json
import struct

import pytest
import torch
import transformers
from conftest import save_whisper

from dld_brain.audio.features import extract, min_samples
from dld_brain.audio.whisper_mel import WhisperMel
from dld_brain.encoder.whisper.ctranslate2 import read_encoder
from dld_brain.encoder.whisper.layers import whisper_encoder
from dld_brain.gates.gates import Gates


def noise(n_samples, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(n_samples, generator=rng)


@pytest.mark.parametrize("n_mels", [80, 128])
def test_features_are_openais_of_the_true_length(n_mels):
    """A short one, of no whole frames; one of all the 30 s."""
    ours = WhisperMel(n_mels=n_mels)
    theirs = transformers.WhisperFeatureExtractor(feature_size=n_mels)
    for n_samples in (201, 16_079, 480_000):
        wav = noise(n_samples)
        wav[: n_samples // 2] *= 1e-6  # far below what is clipped
        found, lengths = ours(wav.unsqueeze(0), torch.ones(1))
        assert found.shape[1] == int(lengths) == n_samples // 160
        filled_up = theirs(wav.numpy(), sampling_rate=16000)["input_features"]
        expected = torch.from_numpy(filled_up)[..., : n_samples // 160]
        torch.testing.assert_close(
            found, expected.transpose(1, 2), atol=1e-4, rtol=0
        )


def test_features_of_an_utterance_do_not_see_its_batch():
    """Its own maximum, its own end; whatever stands behind it."""
    ours, samples = WhisperMel(), [480_000, 479_999, 16_079, 200, 1]
    wavs = torch.randn(len(samples), 480_000)
    for i, n in enumerate(samples):
        wavs[i, :n] *= 10.0 ** -(i + 1)
    together, lengths = ours(wavs, torch.tensor(samples) / 480_000)
    for i, n in enumerate(samples):
        alone, length = ours(wavs[i : i + 1, :n], torch.ones(1))
        assert int(length) == int(lengths[i]) == alone.shape[1]
        torch.testing.assert_close(together[i, : int(length)], alone[0])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of a small Whisper, and Hugging Face's encoder of it."""
    folder = tmp_path_factory.mktemp("whisper")
    return str(folder), save_whisper(folder).model.encoder


@torch.no_grad()
def test_30_seconds_with_all_gates_open_equal_hugging_face(source):
    folder, theirs = source
    modules = {
        "compute_features": WhisperMel(n_mels=16),
        "normalize": lambda x, *_: x,
        "model": whisper_encoder(folder, {}, 29, n_mels=16).eval(),
    }
    feats, lengths = extract(modules, noise(480_000)[None], torch.ones(1))
    x, lengths = modules["model"].stem(feats, lengths)
    assert lengths.tolist() == [1500] and min_samples(modules) == 201
    torch.testing.assert_close(
        modules["model"].run_layers(x, lengths),
        theirs(feats.transpose(1, 2)).last_hidden_state,
        atol=1e-5,
        rtol=0,
    )
    # The norm behind the last layer is there when that is closed.
    first = modules["model"].run_layers(x, lengths, Gates((0,), 3))
    expected = theirs.layer_norm(theirs.layers[0](x, None))
    torch.testing.assert_close(first, expected, atol=1e-5, rtol=0)


def write_ct2(folder, encoder, changes=None):
    """Writes what CTranslate2's converter does of an encoder, in fp16."""
    state = encoder.state_dict()
    found = {"position_encodings/encodings": state["embed_positions.weight"]}
    for name in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            found[f"{name}/{kind}"] = state[f"{name}.{kind}"]
    modules = {
        "self_attn.out_proj": "self_attention/linear_1",
        "self_attn_layer_norm": "self_attention/layer_norm",
        "fc1": "ffn/linear_0",
        "fc2": "ffn/linear_1",
        "final_layer_norm": "ffn/layer_norm",
    }
    for i in range(encoder.config.encoder_layers):
        own = {k.removeprefix(f"layers.{i}."): v for k, v in state.items()}
        for name, theirs in modules.items():
            kinds = ("gamma", "beta") if "norm" in name else ("weight", "bias")
            for kind, theirs_kind in zip(("weight", "bias"), kinds):
                key = f"layer_{i}/{theirs}/{theirs_kind}"
                found[key] = own[f"{name}.{kind}"]
        qkv = [own[f"self_attn.{x}_proj.weight"] for x in "qkv"]
        bias = [own[f"self_attn.{x}_proj.bias"] for x in "qv"]
        bias.insert(1, torch.zeros_like(bias[0]))
        joined = f"layer_{i}/self_attention/linear_0"
        found[f"{joined}/weight"] = torch.cat(qkv)
        found[f"{joined}/bias"] = torch.cat(bias)
    found["layer_norm/gamma"] = state["layer_norm.weight"]
    found["layer_norm/beta"] = state["layer_norm.bias"]
    found["num_heads"] = torch.tensor(encoder.config.encoder_attention_heads)
    found |= changes or {}

    def text(word):
        return struct.pack("<H", len(word) + 1) + word.encode() + b"\0"

    content = struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<I", 3)
    content += struct.pack("<I", len(found) + 1)
    content += (
        text("decoder/x") + struct.pack("<BIBI", 1, 2, 0, 8) + b"01234567"
    )
    for name, value in found.items():
        array = value.detach().numpy()
        code = {"f": 4, "i": 2}[array.dtype.kind]
        array = array.astype({4: "<f2", 2: "<i2"}[code])
        content += text(f"encoder/{name}")
        content += struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        content += struct.pack("<BI", code, array.nbytes) + array.tobytes()
    folder.mkdir(exist_ok=True)
    (folder / "model.bin").write_bytes(content + struct.pack("<I", 0))
    return str(folder)


@torch.no_grad()
def test_a_folder_of_faster_whisper_has_the_same_weights(source, tmp_path):
    folder, theirs = source
    ct2 = write_ct2(tmp_path / "ct2", theirs)
    found = whisper_encoder(ct2, {}, 29, n_mels=16).state_dict()
    expected = whisper_encoder(folder, {}, 29, n_mels=16).state_dict()
    assert list(found) == list(expected)
    for name in found:
        if not name.startswith("head."):
            half = expected[name].half().float()
            torch.testing.assert_close(found[name], half, atol=0, rtol=0)


def test_a_broken_or_quantised_folder_is_one_line(source, tmp_path):
    _, theirs = source
    scale = {"conv1/weight_scale": torch.ones(2)}
    ct2 = write_ct2(tmp_path / "int8", theirs, scale)
    with pytest.raises(ValueError, match="is quantised .int8.: give the model"):
        whisper_encoder(ct2, {}, 29, n_mels=16)
    path = tmp_path / "cut" / "model.bin"
    whole = write_ct2(path.parent, theirs)
    content = path.read_bytes()
    for n_bytes in (0, 3, 10, 40, 200, 3000, len(content) - 100):
        path.write_bytes(content[:n_bytes])
        with pytest.raises(
            ValueError, match="whole CTranslate2 model, but ends"
        ):
            whisper_encoder(whole, {}, 29, n_mels=16)
    for at, value, message in (
        (0, b"\x05", "of version 6, but is 'WhisperSpec' of version 5"),
        (6, b"W\xff", "a name that is no text"),
        (44, b"\xff\xff\xff\xff", "must be a whole CTranslate2 model"),
    ):
        path.write_bytes(content[:at] + value + content[at + len(value) :])
        with pytest.raises(ValueError, match=message):
            read_encoder(path)
    gone = write_ct2(
        tmp_path / "gone", theirs, {"layer_0/ffn/linear_9/bias": torch.ones(1)}
    )
    data = (tmp_path / "gone/model.bin").read_bytes()
    data = data.replace(
        b"layer_1/ffn/linear_0/bias", b"layer_1/ffn/linear_8/bias"
    )
    (tmp_path / "gone/model.bin").write_bytes(data)
    with pytest.raises(
        ValueError, match="but lacks 'layer_1/ffn/linear_0/bias'"
    ):
        whisper_encoder(gone, {}, 29, n_mels=16)


def test_fewer_layers_are_the_first_and_more_are_refused(source):
    folder, theirs = source
    two = whisper_encoder(folder, {}, 29, n_mels=16, n_total=2)
    assert two.n_total == 2
    for ours, layer in zip(two.layers.layers, theirs.layers):
        torch.testing.assert_close(ours.state_dict(), layer.state_dict())
    with pytest.raises(ValueError, match="`n_total` must be at most 3.* is 4"):
        whisper_encoder(folder, {}, 29, n_mels=16, n_total=4)


def test_the_stem_is_frozen_unless_told(source):
    folder, _ = source
    frozen, free = (
        whisper_encoder(folder, {}, 29, n_mels=16, freeze_stem=is_frozen)
        for is_frozen in (True, False)
    )
    assert {n for n, p in frozen.named_parameters() if not p.requires_grad} == {
        "stem.conv1.weight",
        "stem.conv1.bias",
        "stem.conv2.weight",
        "stem.conv2.bias",
    }
    assert all(p.requires_grad for p in free.parameters())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "bert"}, "`model_type` is 'whisper', but has 'bert'"),
        ({"activation_function": "relu"}, "is 'gelu', but has 'relu'"),
        ({"max_source_positions": 750}, "is 1500, but has 750"),
        ({"num_mel_bins": 128}, "`n_mels` must be 128, .* but is 16"),
        ({"d_model": 64}, "do not fit its configuration"),
        ({"encoder_layers": "3"}, "`config.encoder_layers` must be a whole"),
        ({"encoder_attention_heads": 5}, "`config.d_model` must be a multiple"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_another_model_is_refused(source, tmp_path, change, message):
    folder, _ = source
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(f"{folder}/{name}")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(ValueError, match=message):
        whisper_encoder(str(tmp_path), {}, 29, n_mels=16)


def test_what_is_not_there_is_said(source, tmp_path, monkeypatch):
    folder, _ = source
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="is no folder and was not"):
        whisper_encoder("nobody/nothing", {}, 29)
    for name in (str(tmp_path / "gone"), "./gone", "a/b/c"):  # never asked for
        monkeypatch.setattr("huggingface_hub.snapshot_download", None)
        with pytest.raises(FileNotFoundError, match="/.* is no folder$"):
            whisper_encoder(name, {}, 29)
    with pytest.raises(FileNotFoundError, match="but has neither"):
        whisper_encoder(str(tmp_path), {}, 29)
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "speech_to_text"}')
    with pytest.raises(ValueError, match="is 'whisper', but has 'speech_to"):
        whisper_encoder(str(tmp_path), {}, 29)
    path.write_text("{")
    (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="must be a configuration"):
        whisper_encoder(str(tmp_path), {}, 29)
    path.write_text('{"model_type": "whisper"}')
    with pytest.raises(ValueError, match="cannot be read"):
        whisper_encoder(str(tmp_path), {}, 29)
    with pytest.raises(ValueError, match="at most 30 s .* but has 30.01 s"):
        WhisperMel()(torch.zeros(1, 480_160), torch.ones(1))
    with pytest.raises(ValueError, match="`sample_rate` must be 16000"):
        WhisperMel(sample_rate=8000)
