"""The interface: depths, strict loading, bad input, threads, shell."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from common import change_weights

from dld_brain.files.manifest import sha256, write_manifest
from dld_brain.model_folder import load_pretrained
from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.__main__ import main
from speechbrain.inference.ASR import EncoderASR

SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"


@pytest.fixture(scope="module")
def asr(pretrained):
    return DynamicEncoderASR.from_hparams(
        pretrained, run_opts={"device": "cpu"}
    )


@pytest.fixture
def copy(pretrained, tmp_path):
    """A copy of the model that a test may break."""
    return Path(shutil.copytree(pretrained, tmp_path / "model"))


def wav(tmp_path, samples, rate=16000):
    """Writes audio and gives its path."""
    path = tmp_path / "audio.wav"
    soundfile.write(path, samples, rate)
    return path


def test_it_is_an_encoder_asr(asr):
    assert isinstance(asr, EncoderASR)
    assert asr.depths == (1, 2, 3)
    words, tokens = asr.transcribe_batch(torch.randn(2, 16000), torch.ones(2))
    assert len(words) == len(tokens) == 2
    log_probs = asr.encode_batch(torch.randn(2, 16000), torch.ones(2))
    assert log_probs.shape == (2, 24, 11)
    assert torch.equal(
        asr(torch.ones(1, 8000), torch.ones(1)),
        asr.encode_batch(torch.ones(1, 8000), torch.ones(1)),
    )


def test_each_depth_runs_its_layers(asr):
    calls = []
    hooks = [
        layer.register_forward_hook(lambda *_, i=i: calls.append(i))
        for i, layer in enumerate(asr.mods.model.layers.layers)
    ]
    for n_layers in asr.depths:
        calls.clear()
        asr.transcribe_file(SPEECH, n_layers=n_layers)
        assert tuple(calls) == asr.layers(n_layers)
        assert len(calls) == n_layers
    for hook in hooks:
        hook.remove()


def test_no_depth_means_all_layers(asr):
    wavs = torch.randn(1, 16000)
    all_layers = asr.encode_batch(wavs, torch.ones(1))
    assert torch.equal(all_layers, asr.encode_batch(wavs, torch.ones(1), 3))
    assert not torch.equal(all_layers, asr.encode_batch(wavs, torch.ones(1), 1))


def test_the_weights_are_those_that_were_saved(asr, pretrained):
    saved = load_pretrained(str(pretrained)).modules["model"].state_dict()
    for name, weight in asr.mods.model.state_dict().items():
        assert torch.equal(weight, saved[name])
        assert not weight.requires_grad


def test_files_in_a_batch_get_what_they_get_alone(asr):
    torch.manual_seed(0)
    short, long = torch.randn(9000), torch.randn(16000)
    padded = torch.nn.utils.rnn.pad_sequence([long, short], batch_first=True)
    rel_lens = torch.tensor([1.0, 9000 / 16000])
    for n_layers in asr.depths:
        out = asr.encode(padded, rel_lens, n_layers)
        alone = asr.encode(short.unsqueeze(0), torch.ones(1), n_layers)
        torch.testing.assert_close(
            out.log_probs[1, : out.lengths[1]],
            alone.log_probs[0],
            atol=1e-4,
            rtol=0,
        )


def test_threads_get_what_they_would_get_alone(asr):
    torch.manual_seed(0)
    wavs = torch.randn(1, 16000)
    alone = {n: asr.encode_batch(wavs, torch.ones(1), n) for n in asr.depths}

    def ask(i):
        n_layers = asr.depths[i % 3]
        found = asr.encode_batch(wavs, torch.ones(1), n_layers)
        return torch.equal(found, alone[n_layers])

    with ThreadPoolExecutor(6) as executor:
        assert all(executor.map(ask, range(90)))


@pytest.mark.parametrize("n_layers", [0, -1, 4, 2.5, "2"])
def test_a_depth_that_is_none(asr, n_layers):
    message = "`n_layers` must be .*between 1 and 3, but is"
    with pytest.raises(ValueError, match=message):
        asr.transcribe_file("not even looked for.wav", n_layers=n_layers)
    with pytest.raises(ValueError, match=message):
        asr.encode_batch(torch.randn(1, 16000), torch.ones(1), n_layers)


def test_audio_of_any_rate_channels_and_kind_of_path(asr, tmp_path):
    samples, rate = soundfile.read(SPEECH)
    expected = asr.transcribe_file(SPEECH)
    stereo = wav(tmp_path, np.stack([samples, samples], axis=1))
    assert asr.transcribe_file(stereo) == expected
    assert asr.transcribe_file(str(stereo)) == expected
    for other in (8000, 48000):
        seconds = len(samples) / rate
        tone = np.sin(np.arange(int(seconds * other)) * 700 / other)
        audio = asr.load_audio(wav(tmp_path, tone, other))
        assert audio.shape == (pytest.approx(len(samples), abs=3),)
        # The same pitch at the model's rate: resampled, not reinterpreted.
        spectrum = torch.fft.rfft(audio).abs()
        hertz = spectrum.argmax() * 16000 / len(audio)
        assert float(hertz) == pytest.approx(700 / (2 * np.pi), rel=0.05)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "audio.wav is empty"),
        (b"The quick brown fox", "must be audio that soundfile reads"),
    ],
)
def test_a_file_that_is_no_audio(asr, tmp_path, content, message):
    path = tmp_path / "audio.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        asr.transcribe_file(path)


def test_a_file_that_is_not_there_or_a_directory(asr, tmp_path):
    with pytest.raises(FileNotFoundError, match="no.wav does not exist"):
        asr.transcribe_file(tmp_path / "no.wav")
    with pytest.raises(FileNotFoundError, match="tests/no.wav does not exist"):
        asr.transcribe_file("tests/no.wav")
    with pytest.raises(ValueError, match="but is a directory"):
        asr.transcribe_file(tmp_path)


@pytest.mark.parametrize(
    "samples, message",
    [
        (np.zeros(0), "holds no samples"),
        (np.zeros(100), r"at least 960 samples \(0.06 s\), but has 100"),
    ],
)
def test_audio_that_is_too_short(asr, tmp_path, samples, message):
    with pytest.raises(ValueError, match=message):
        asr.transcribe_file(wav(tmp_path, samples))


def test_audio_with_samples_that_are_no_numbers(asr, tmp_path):
    samples = np.zeros(16000, dtype=np.float32)
    samples[5] = np.nan
    path = tmp_path / "audio.wav"
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    with pytest.raises(
        ValueError, match="must be finite, but has nan at sample 5"
    ):
        asr.transcribe_file(path)


WAVS, LENS = torch.zeros(2, 16000), torch.ones(2)


@pytest.mark.parametrize(
    "wavs, lens, error, message",
    [
        (WAVS.numpy(), LENS, TypeError, "`wavs` must be a torch.Tensor"),
        (WAVS, [1.0, 1.0], TypeError, "`wav_lens` must be a torch.Tensor"),
        (WAVS[0], LENS, ValueError, r"must have shape \[B, S\]"),
        (WAVS[:0], LENS[:0], ValueError, r"must have shape \[B, S\]"),
        (WAVS.int(), LENS, ValueError, "and floats in"),
        (WAVS, LENS[:1], ValueError, "one entry for each of the 2 waveforms"),
        (WAVS, LENS * 16000, ValueError, r"in \(0, 1\], but is \[16000.0"),
        (WAVS, LENS * 0, ValueError, r"in \(0, 1\], but is \[0.0"),
        (WAVS, LENS * float("nan"), ValueError, r"in \(0, 1\], but is"),
        (WAVS, torch.tensor([1, 0.01]), ValueError, "at least 960 samples"),
    ],
)
def test_batches_that_are_none(asr, wavs, lens, error, message):
    with pytest.raises(error, match=message):
        asr.transcribe_batch(wavs, lens)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="lacks hyperparams.yaml"):
        DynamicEncoderASR.from_hparams(tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.pop("head.bias"), "missing: head.bias"),
        (lambda s: s.update(extra=torch.ones(1)), "surplus: extra"),
        (lambda s: s["head.bias"][3:].fill_(torch.nan), "head.bias has NaN"),
    ],
)
def test_weights_that_do_not_fit(copy, change, message):
    change_weights(copy, change)
    with pytest.raises(ValueError, match=message):
        DynamicEncoderASR.from_hparams(copy)


@pytest.mark.parametrize(
    "name, message",
    [
        ("model.safetensors", "cannot be read as weights"),
        ("normalize.safetensors", "cannot be read as weights"),
        ("tokenizer.model", "is no SentencePiece model"),
    ],
)
def test_files_that_are_corrupt(copy, name, message):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 3])
    with pytest.raises(ValueError, match=f"{name} must be as it was written"):
        DynamicEncoderASR.from_hparams(copy)
    # Of a folder whose maker says that all is well:
    if name == "model.safetensors":
        table = json.loads((copy / "depth_table.json").read_text())
        table["model"] = sha256(copy / name)
        (copy / "depth_table.json").write_text(json.dumps(table))
    write_manifest(copy)
    with pytest.raises(ValueError, match=message):
        DynamicEncoderASR.from_hparams(copy)


def test_the_folder_holds_what_inference_needs(pretrained):
    names = {path.name for path in pretrained.iterdir()}
    assert names >= {
        "hyperparams.yaml",
        "README.md",
        "depth_report.json",
        "depth_report.md",
        "depth_table.json",
        "manifest.json",
        "model.safetensors",
        "normalize.safetensors",
        "tokenizer.model",
        "training.json",
    }


def test_shell_prints_a_line_a_file_and_goes_on(pretrained, capsys):
    arguments = ["transcribe", "--source", str(pretrained), "--n_layers", "2"]
    assert main([*arguments, SPEECH, "no.wav", SPEECH]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 2 and lines[0].startswith(f"{SPEECH}\t")
    assert "error: audio file no.wav does not exist" in err


def test_shell_speaks_json(pretrained):
    result = subprocess.run(
        [
            *[sys.executable, "-m", "pretrained_interfaces", "transcribe"],
            *["--source", str(pretrained), "--json", SPEECH, "hparams"],
        ],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    good, bad = map(json.loads, result.stdout.splitlines())
    assert good["file"] == SPEECH and good["layers"] == [0, 1, 2]
    fields = {"text", "n_layers", "audio_seconds", "rtf", "confidence"}
    assert fields < set(good)
    assert "directory" in bad["error"]


def test_shell_refuses_a_wrong_depth_or_model_at_once(pretrained, capsys):
    wrong = ["--n_layers", "9", "no.wav"]
    assert main(["transcribe", "--source", str(pretrained), *wrong]) == 2
    assert "between 1 and 3, but is 9" in capsys.readouterr().err
    assert main(["transcribe", "--source", "no/where/at/all", "no.wav"]) == 2
    assert "`source` must be a folder" in capsys.readouterr().err
