"""What leaves the building gives what the dynamic model gives."""

import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import (
    TensorProto,
    load as load_graph,
)

from dld_brain.audio.features import LogMel, extract
from dld_brain.encoder.quantize import quantize_linear
from dld_brain.export import transcribe_onnx
from dld_brain.export.__main__ import check_new, main
from dld_brain.files.manifest import ONNX, write_manifest
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import load_pretrained
from pretrained_interfaces import DynamicEncoderASR
from speechbrain.inference.ASR import EncoderASR

#: Each needs a trained model, by its name.
pytestmark = pytest.mark.slow

SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
ENCODERS = ["pretrained", "pretrained_wavlm"]

#: Loads a folder with SpeechBrain where this package cannot be imported.
STOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("dld_brain", "pretrained_interfaces"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from speechbrain.inference.ASR import EncoderASR
asr = EncoderASR.from_hparams(source=sys.argv[1], savedir=sys.argv[1])
print("found:", asr.transcribe_file(sys.argv[2]))
"""


@pytest.fixture(scope="module", params=ENCODERS)
def source(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def onnx(source, tmp_path_factory):
    """Depths 1 and 3, fp32 and int8."""
    folder = tmp_path_factory.mktemp("onnx") / "out"
    flags = ["--source", str(source), "--output", str(folder)]
    flags += ["--n_layers", "1", "3", "--int8", "--files", SPEECH]
    assert main(["onnx", *flags]) == 0
    return folder


def log_probs(model, layers, wavs, n_samples):
    """What the dynamic model gives at a depth."""
    for module in model.modules.values():
        module.eval()
    gates = Gates.of(layers, model.modules["model"].n_total)
    with torch.no_grad():
        feats, lengths = extract(model.modules, wavs, n_samples / wavs.shape[1])
        (out,) = model.modules["model"](feats, lengths, [gates])
    return out


@pytest.mark.parametrize("n_layers", [1, 3])
def test_onnx_equals_torch_at_every_length_and_batch(source, onnx, n_layers):
    model = load_pretrained(str(source))
    session = onnxruntime.InferenceSession(
        str(onnx / f"model_n{n_layers}.onnx")
    )
    layers = model.table.layers(n_layers)
    for batch, seconds in ((1, 0.3), (8, 1.7), (1, 60.0)):
        wavs = 0.1 * torch.randn(batch, int(16000 * seconds))
        # Every other utterance is a third shorter.
        n_samples = torch.tensor(
            [wavs.shape[1] - wavs.shape[1] // 3 * (i % 2) for i in range(batch)]
        )
        feed = {"wavs": wavs.numpy(), "n_samples": n_samples.numpy()}
        found, n_frames = session.run(None, feed)
        expected = log_probs(model, layers, wavs, n_samples)
        assert n_frames.tolist() == expected.lengths.tolist()
        for i, n in enumerate(n_frames):
            np.testing.assert_allclose(
                found[i, :n], expected.log_probs[i, :n].numpy(), atol=1e-3
            )


def test_int8_is_smaller_and_near(onnx):
    parity = json.loads((onnx / "parity.json").read_text())
    rows = {row["model"]: row for row in parity}
    assert list(rows) == [
        "model_n1.onnx",
        "model_n1.int8.onnx",
        "model_n3.onnx",
        "model_n3.int8.onnx",
    ]
    for n in (1, 3):
        whole, small = (rows[f"model_n{n}{x}.onnx"] for x in ("", ".int8"))
        assert small["bytes"] < whole["bytes"]
        assert whole["max_difference"] < 1e-3 < small["max_difference"]
        assert whole["identical"] == whole["files"] == 1


def test_int8_leaves_the_mel_filters_alone(source, onnx):
    features = load_pretrained(str(source)).modules["compute_features"]
    graph = load_graph(str(onnx / "model_n3.int8.onnx")).graph
    kinds = {tuple(w.dims): w.data_type for w in graph.initializer}
    assert TensorProto.INT8 in kinds.values()
    if isinstance(features, LogMel):
        filters = features.compute_fbanks
        assert kinds[filters.n_stft, filters.n_mels] == TensorProto.FLOAT


def test_it_runs_where_there_is_no_torch(source, onnx, tmp_path):
    """A virtual environment with what the runner says it needs alone."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    theirs = Path(
        subprocess.check_output(
            [
                python,
                "-c",
                "import sysconfig as s; print(s.get_path('purelib'))",
            ],
            text=True,
        ).strip()
    )
    ours = Path(sysconfig.get_path("purelib"))
    needed = ("numpy", "onnxruntime", "soundfile", "sentencepiece")
    needed += ("cffi", "pycparser", "typing_extensions")  # of soundfile
    for path in ours.iterdir():
        if path.name.lstrip("_").startswith(needed):
            os.symlink(path, theirs / path.name)
    command = [python, "-m", "dld_brain.export.transcribe_onnx"]
    command += ["--folder", onnx, "--n_layers", "3", SPEECH]
    environment = {**os.environ, "PYTHONPATH": ""}  # ours is where we are
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    expected = DynamicEncoderASR.from_hparams(source=source).transcribe_file(
        SPEECH, n_layers=3
    )
    assert result.stdout.rstrip("\n") == f"{SPEECH}\t{expected}"
    no_torch = subprocess.run([python, "-c", "import torch"], env=environment)
    assert no_torch.returncode != 0


def test_an_onnx_folder_is_data_and_is_checked(onnx, tmp_path, capsys):
    folder = shutil.copytree(onnx, tmp_path / "onnx")
    words = ["--folder", str(folder), "--n_layers", "3"]
    endings = {path.suffix for path in folder.iterdir()}
    assert endings == {".json", ".model", ".onnx"}  # nothing that runs
    for path in folder.iterdir():
        content = path.read_bytes()
        bit = random.Random(path.name).randrange(8 * len(content))
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert transcribe_onnx.main([*words, SPEECH]) == 2
        fault = capsys.readouterr().err
        assert fault.startswith("error: ") and fault.count("\n") == 1
        assert path.name in fault or path.name == "manifest.json"
        path.write_bytes(content)
    (folder / "transcribe_onnx.py").write_text("raise SystemExit")
    assert transcribe_onnx.main([*words, SPEECH]) == 2
    assert "has 'transcribe_onnx.py'" in capsys.readouterr().err
    (folder / "transcribe_onnx.py").unlink()
    assert transcribe_onnx.main([*words, "no.wav", SPEECH, __file__]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{SPEECH}\t") and out.count("\n") == 1
    assert [line[:7] for line in err.splitlines()] == ["error: "] * 2
    assert os.path.abspath("no.wav") in err


@pytest.mark.parametrize(
    "change, message",
    [
        ("model_n3.onnx", "must be an ONNX graph, but is not"),
        ("tokenizer.model", "is no SentencePiece model"),
        ("model.json", "model.json must"),
    ],
)
def test_an_onnx_folder_whose_maker_says_that_all_is_well(
    onnx, tmp_path, capsys, change, message
):
    folder = shutil.copytree(onnx, tmp_path / "onnx")
    content = b"{}" if change == "model.json" else b"junk"
    (folder / change).write_bytes(content)
    write_manifest(folder, ONNX)
    assert transcribe_onnx.main(["--folder", str(folder), SPEECH]) == 2
    fault = capsys.readouterr().err
    assert message in fault and fault.count("\n") == 1


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_a_submodel_is_no_larger_than_its_weights(source, tmp_path, n_layers):
    """4 bytes a parameter; 50 kB of text, and the tokenizer, beside them."""
    flags = ["--source", str(source), "--output", str(tmp_path / "out")]
    flags += ["--n_layers", str(n_layers), "--files", SPEECH]
    assert main(["submodel", *flags]) == 0
    folder = tmp_path / "out"
    stock = EncoderASR.from_hparams(source=folder, savedir=folder)
    n_params = sum(p.numel() for p in stock.mods.parameters())
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(p.stat().st_size for p in files if not p.is_symlink())
    # SentencePiece's own table of characters is 240 kB of any model.
    tokenizer = (source / "tokenizer.model").stat().st_size
    assert (folder / "tokenizer.ckpt").stat().st_size == tokenizer
    assert size - tokenizer <= 1.1 * 4 * n_params + 50_000
    ours = DynamicEncoderASR.from_hparams(source=source)
    text = ours.transcribe_file(SPEECH, n_layers=n_layers, windowed=False)
    # SpeechBrain's own keeps the space behind a last word.
    assert stock.transcribe_file(os.path.abspath(SPEECH)).rstrip() == text


@pytest.mark.parametrize("n_layers", [1, 2])
def test_stock_speechbrain_loads_a_submodel(source, tmp_path, n_layers):
    folder = tmp_path / "out"
    flags = ["--source", str(source), "--output", str(folder)]
    flags += ["--n_layers", str(n_layers), "--files", SPEECH]
    assert main(["submodel", *flags]) == 0
    (parity,) = json.loads((folder / "parity.json").read_text())
    assert parity["max_difference"] < 1e-3
    assert parity["identical"] == 1
    result = subprocess.run(
        [sys.executable, "-c", STOCK, str(folder), os.path.abspath(SPEECH)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    expected = DynamicEncoderASR.from_hparams(source=source).transcribe_file(
        SPEECH, n_layers=n_layers, windowed=False
    )
    assert f"found: {expected}" in result.stdout, result.stderr


def test_a_submodel_without_layer_0_keeps_the_bias(pretrained_wavlm, tmp_path):
    from dld_brain.export.stock_speechbrain import write_submodel

    model = load_pretrained(str(pretrained_wavlm))
    write_submodel(model.hparams, Gates((1, 3), 4), str(tmp_path))
    from transformers import AutoModel

    theirs = AutoModel.from_pretrained(tmp_path / "huggingface").eval()
    wavs, n_samples = 0.1 * torch.randn(1, 8000), torch.tensor([8000])
    expected = log_probs(model, (1, 3), wavs, n_samples).log_probs
    with torch.no_grad():
        hidden = theirs(wavs).last_hidden_state
        found = model.modules["model"].head(hidden).log_softmax(-1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_submodel_takes_the_last_norm_over(pretrained, tmp_path):
    from dld_brain.export.stock_speechbrain import write_submodel

    model = load_pretrained(str(pretrained))
    norm = model.modules["model"].layers.layers[2].norm2.norm
    torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
    torch.nn.init.normal_(norm.bias)
    write_submodel(model.hparams, Gates((0, 2), 3), str(tmp_path))
    stock = EncoderASR.from_hparams(source=tmp_path, savedir=tmp_path)
    wavs, n_samples = 0.1 * torch.randn(1, 8000), torch.tensor([8000])
    expected = log_probs(model, (0, 2), wavs, n_samples).log_probs
    found = stock.encode_batch(wavs, torch.ones(1))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_int8_in_torch_is_near_and_has_its_own_times(source):
    asr = DynamicEncoderASR.from_hparams(source=source)
    wavs, lens = 0.1 * torch.randn(1, 16000), torch.ones(1)
    exact, name = asr.encode_batch(wavs, lens), asr.identity
    assert asr.quantize() is asr
    rough = asr.encode_batch(wavs, lens)
    assert 0 < float((exact - rough).abs().max()) < 2.0
    assert asr.identity != name and asr.calibration is None
    other = DynamicEncoderASR.from_hparams(source=source, int8=True)
    assert torch.equal(other.encode_batch(wavs, lens), rough)
    assert other.identity == asr.identity
    names = {type(m).__name__ for m in asr.mods.model.modules()}
    linear = torch.ao.nn.quantized.dynamic.Linear
    assert any(isinstance(m, linear) for m in asr.mods.model.modules()), names
    with pytest.raises(ValueError, match="int8 needs the model on the CPU"):
        quantize_linear(torch.nn.Linear(1, 1, device="meta"))


def test_wrong_use_has_one_line(pretrained, tmp_path, capsys, monkeypatch):
    source = ["--source", str(pretrained)]
    there = ["--output", str(tmp_path), "--n_layers", "2"]
    assert main(["submodel", *source, *there]) == 2
    assert "must be a new folder" in capsys.readouterr().err
    deep = ["--output", str(tmp_path / "new"), "--n_layers", "9"]
    assert main(["submodel", *source, *deep]) == 2
    assert "must be between 1 and 3, but is" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    new = ["--output", str(tmp_path / "new"), "--n_layers", "2"]
    assert main(["onnx", *source, *new]) == 2
    assert "pip install -e '.[export]'" in capsys.readouterr().err


def test_a_model_whose_closed_layers_keep_a_norm_has_no_submodel(tmp_path):
    from common import tiny_hparams

    from dld_brain.export.stock_speechbrain import write_submodel

    hparams = tiny_hparams(closed="norm")
    with pytest.raises(ValueError, match="must stay whole, but 2 of 4 layers"):
        write_submodel(hparams, Gates((0, 1), 4), str(tmp_path))


@pytest.mark.parametrize("name", ["", "a\0b", "file/x", "file/x/y"])
def test_an_output_that_cannot_be_is_said_before_the_model_is_read(
    name, tmp_path
):
    (tmp_path / "file").touch()
    path = f"{tmp_path}/{name}" if name else name
    with pytest.raises(ValueError, match="`--output` must be a new folder"):
        check_new(path)
    assert check_new(f"{tmp_path}/a/b") == tmp_path / "a/b"
