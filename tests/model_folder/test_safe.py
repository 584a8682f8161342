"""Loading a model folder runs no code that it names, and finds any change."""

import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from common import change_text

import dld_brain
from dld_brain.export.__main__ import main as export
from dld_brain.files.manifest import write_manifest
from dld_brain.model_folder import check, load_pretrained
from dld_brain.model_folder.safe_yaml import canonical, read_yaml
from pretrained_interfaces import (
    DynamicEncoderASR,
    DynamicEncoderClassifier,
    Escalate,
)
from pretrained_interfaces.__main__ import main as shell
from speechbrain.inference.ASR import EncoderASR

GOLDEN = Path("tests/samples/golden")
SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
ALL_FILES = sorted(path.name for path in GOLDEN.iterdir())

LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20)
)
#: Each is put in front of, or in place of, a good file; SENTINEL is a path.
HOSTILE = {
    "apply": "x: !apply:os.system ['touch SENTINEL']\n",
    "new": "x: !new:subprocess.Popen {args: [touch, SENTINEL]}\n",
    "eval": "x: !apply:eval [\"open('SENTINEL', 'w')\"]\n",
    "name": "x: !name:os.system\n",
    "module": "x: !module:antigravity\n",
    "applyref": "x: !applyref:os.system ['touch SENTINEL']\n",
    "python": "x: !!python/object/apply:os.system ['touch SENTINEL']\n",
    "python name": "x: !!python/name:os.system ''\n",
    "verbatim": "x: !<!apply:os.system> ['touch SENTINEL']\n",
    "inside": "x: {y: [1, !apply:os.system ['touch SENTINEL']]}\n",
    "key": "? !apply:os.system ['touch SENTINEL']\n: 1\n",
    "deeper name": "x: !new:dld_brain.run.run.run {}\n",
    "longer name": "x: !apply:dld_brain.conformer_encoder.x {}\n",
    "swapped": "x: !new:dld_brain.importlib.import_module {name: os}\n",
    "include": "x: !include:/etc/passwd\n",
    "copy": "a: 1\nx: !copy <a>\n",
    "tuple": "x: !tuple (1, 2)\n",
    "anchor": "x: &a 1\n",
    "alias": "x: &a [1]\ny: *a\n",
    "merge": "x:\n    <<: {y: 1}\n",
    "laughs": LAUGHS,
    "computing": "a: 3\nx: !ref <a> * 2\n",
    "inner reference": "a: {b: 1}\nx: !ref <a[b]>\n",
    "below": "x: !ref <y>\ny: 1\n",
    "itself": "x: !ref <x>\n",
    "twice": "x: 1\nx: 2\n",
    "large": f"x: {10**9}\n",
    "large float": "window_ms: 1.0e9\n",
    "deep": f"x: {'[' * 1000}{']' * 1000}\n",
    "deep modules": f"{'modules: {' * 50}{'}' * 50}\n",
    "many": f"x: [{'1, ' * 6000}]\n",
    "long": f"x: '{'y' * 200_000}'\n",
    "two documents": "x: 1\n---\ny: 2\n---\n",
    "directive": "%TAG ! !apply:\n---\nx: !os.system ['touch SENTINEL']\n",
    "list": "- 1\n",
    "scalar": "hello\n",
    "empty": "",
    "open": "x: [1\n",
    "no modules": "x: 1\n",
}


@pytest.fixture
def folder(tmp_path):
    """A copy of the golden folder that a test may break."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "model"))


def one_line(error) -> str:
    """The message, which must have one line."""
    text = str(error.value)
    assert "\n" not in text and len(text) < 700
    return text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line_and_nothing_is_made(
    name, folder, tmp_path, monkeypatch
):
    sentinel = tmp_path / "sentinel"
    text = HOSTILE[name].replace("SENTINEL", str(sentinel))
    (folder / "hyperparams.yaml").write_text(text)
    write_manifest(folder)
    monkeypatch.setattr(
        check, "load_hyperpyyaml", lambda *_: pytest.fail("something was made")
    )
    with pytest.raises(ValueError) as error:
        load_pretrained(str(folder))
    assert "hyperparams.yaml" in one_line(error)
    assert not sentinel.exists()


@pytest.mark.parametrize("content", [b"\x00\x01\xff\xfe", b"x: \x00", b"\xff"])
def test_bytes_that_are_no_text(content, folder):
    (folder / "hyperparams.yaml").write_bytes(content)
    with pytest.raises(ValueError, match="hyperparams.yaml must be") as error:
        load_pretrained(str(folder))
    one_line(error)


def test_the_error_names_the_line_the_tag_and_the_way_round(folder, caplog):
    path = folder / "hyperparams.yaml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["# 1", "# 2", "x: !apply:os.getpid", *lines]))
    write_manifest(folder)
    with pytest.raises(ValueError) as error:
        DynamicEncoderASR.from_hparams(folder)
    text = one_line(error)
    assert text.startswith(f"{path} line 3: `!apply:os.getpid` is not one of")
    assert text.endswith("if you trust who made it, give trust_code=True")


def test_code_runs_where_it_is_trusted_and_that_is_said(folder, caplog):
    path = folder / "hyperparams.yaml"
    path.write_text(path.read_text() + "x: !apply:os.getpid []\n")
    write_manifest(folder)
    model = load_pretrained(str(folder), trust_code=True)
    assert model.hparams["x"] > 0
    assert "running what" in caplog.text
    assert DynamicEncoderASR.from_hparams(folder, trust_code=True).n_total == 3


def test_every_way_in_checks(folder, capsys):
    change_text(folder, "sample_rate: 16000", "sample_rate: !name:os.system")
    source = ["--source", str(folder)]
    assert shell(["transcribe", *source, "no.wav"]) == 2
    assert "`!name:os.system` is not one of" in capsys.readouterr().err
    flags = ["--n_layers", "1", "--output", str(folder.parent / "out")]
    assert export(["submodel", *source, *flags]) == 2
    assert "`!name:os.system` is not one of" in capsys.readouterr().err


def test_a_folder_of_the_hub_is_checked_like_any_other(folder, monkeypatch):
    fetched = []

    def fetch(repository, name, *_):
        fetched.append(name)
        return folder / name

    monkeypatch.setattr("pretrained_interfaces.remote._from_hub", fetch)
    assert DynamicEncoderASR.from_hparams("owner/name").n_total == 3
    assert sorted(set(fetched)) == ALL_FILES
    change_text(folder, "sample_rate: 16000", "sample_rate: !name:os.system")
    with pytest.raises(ValueError, match="is not one of the tags"):
        DynamicEncoderASR.from_hparams("owner/name")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../../.bashrc"] = manifest["files"]["README.md"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    fetched.clear()
    with pytest.raises(ValueError, match="bashrc' is no file with a SHA-256"):
        DynamicEncoderASR.from_hparams("owner/name")
    assert fetched == ["manifest.json"]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("d_model: 16", "d_model: 100000", "its sizes make .* parameters"),
        ("d_ffn: 32", "d_ffn: 1000000", "its sizes make .* parameters"),
        ("n_total: 3", "n_total: 1000000000", "`n_total` must be at most 1000"),
        ("n_total: 3", "n_total: 3.5", "hyperparams.yaml: `model`: "),
        ("sample_rate: 16000", "sample_rate: 1", "between 4000 and 384000"),
        ("hop_ms: 10", "hop_ms: 999", "`hop_length` must be at most"),
        ("n_fft: 512", "n_fft: 1", "that at most `n_fft`"),
        ("n_heads: 2", "n_heads: 0", "`n_heads` must be a whole number"),
        ("d_ffn: 32", "d_ffn: [32]", "`d_ffn` must be a whole number"),
        ("vocab_size: 13", "vocab_size: true", "must be a whole number"),
        (
            "    normalize: !ref <normalize>\n    model",
            "    model",
            "must be a map of compute_",
        ),
        (
            "features: !ref <compute_features>",
            "features: !ref <normalize>",
            "`compute_features` of `modules` must be made by LogMel or ",
        ),
        ('task: "transcription"', "task: {a: 1}", "`task` must be a str"),
        (
            'task: "transcription"',
            'task: "classification"',
            "`task` of .* is classification, whose .* label_encoder.txt",
        ),
        ('task: "transcription"', 'task: "x"', "hyperparams.yaml cannot be"),
        ("d_model: 16", "d_model: 17", "must be a multiple of `n_heads`"),
        ("n_fft: 512", "n_fft: 99999", "`n_fft` must be at most 16384"),
        ('closed: "affine"', 'closed: "no"', "`closed` must be one of"),
        ("    dropout: !ref <dropout>\n", "    drop: 1\n", "`model`: .*'drop'"),
        ("d_model: 16", "d_model: 32", "its sizes make|does not fit the model"),
        ("vocab_size: 13", "vocab_size: 12", "does not fit the model"),
    ],
)
def test_sizes_that_cannot_be(folder, old, new, message):
    change_text(folder, old, new)
    with pytest.raises(ValueError, match=message) as error:
        load_pretrained(str(folder))
    one_line(error)


@pytest.mark.parametrize(
    "config, message",
    [
        ('source: "owner/name"\nconfig: {}', "`source` must be null"),
        ("source: null\nconfig: {auto_map: {x: y}}", "`model_type` must be"),
        (
            "source: null\nconfig: {model_type: wavlm, auto_map: {x: y}}",
            "settings of a wavlm alone, but has 'auto_map'",
        ),
        (
            "source: null\nconfig: {model_type: wavlm, "
            "attn_implementation: owner/kernel}",
            "but has 'attn_implementation'",
        ),
    ],
)
def test_a_wavlm_fetches_nothing(folder, config, message):
    text = (folder / "hyperparams.yaml").read_text()
    text = re.sub(
        r"model: !apply(.|\n)*?modules:",
        f"{config}\nmodel: !apply:dld_brain.wavlm_encoder\n"
        f"    source: !ref <source>\n    config: !ref <config>\n"
        f"    vocab_size: !ref <vocab_size>\nmodules:",
        text,
    )
    (folder / "hyperparams.yaml").write_text(text)
    write_manifest(folder)
    with pytest.raises(ValueError, match=message) as error:
        load_pretrained(str(folder))
    one_line(error)


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_flipped_bit_is_found(folder, name):
    """Wherever it lies: 40 drawn, and the first and the last."""
    path = folder / name
    content = path.read_bytes()
    n_bits = 8 * len(content)
    drawn = random.Random(name).sample(range(n_bits), 40)
    for bit in (0, *drawn, n_bits - 1):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            load_pretrained(str(folder))
        text = one_line(error)
        assert str(folder) in text
        if name != "manifest.json":  # which names the file that it misreads
            assert f"{name} must be as it was written" in text
    path.write_bytes(content)
    load_pretrained(str(folder))


def test_a_file_that_was_added_is_named(folder):
    (folder / "more.py").write_text("")
    with pytest.raises(ValueError, match="names alone, but has 'more.py'"):
        load_pretrained(str(folder))
    (folder / "more.py").unlink()
    # What is no part of any model: of a clone, of this machine, of a user.
    (folder / ".gitattributes").write_text("")
    (folder / "calibration.json").write_text("{}")
    (folder / "mine").mkdir()
    load_pretrained(str(folder))


def test_a_calibration_is_in_no_manifest(folder):
    (folder / "calibration.json").write_text("{}")
    write_manifest(folder)
    (folder / "calibration.json").write_text("[]")
    asr = DynamicEncoderASR.from_hparams(folder)
    (folder / "calibration.json").unlink()
    assert asr.n_total == DynamicEncoderASR.from_hparams(folder).n_total


def test_loading_changes_nothing_in_the_folder(folder):
    def state():
        found = {p: p.stat() for p in sorted(folder.rglob("*"))}
        times = {p: (s.st_ino, s.st_mtime_ns) for p, s in found.items()}
        return times, [p.read_bytes() for p in found]

    before = state()
    DynamicEncoderASR.from_hparams(folder, n_layers=2)
    asr = DynamicEncoderASR.from_hparams(folder)
    asr.transcribe_file(SPEECH)
    asr.mods.model.head.bias.data += 1  # not the file that is mapped
    with pytest.raises(ValueError):
        EncoderASR.from_hparams(source=str(folder))
    assert state() == before


@pytest.mark.parametrize("n_layers", [np.int64(2), torch.tensor(2), 2])
def test_a_whole_number_is_one_of_any_library(folder, n_layers):
    asr = DynamicEncoderASR.from_hparams(folder)
    expected = asr.transcribe_file(SPEECH, n_layers=2)
    assert asr.transcribe_file(SPEECH, n_layers=n_layers) == expected
    assert asr.transcribe_file(SPEECH, n_layers) == expected
    ladder = Escalate(0.0, ladder=[n_layers, np.uint8(3)])
    assert asr.transcribe(SPEECH, ladder).n_layers == 3
    start = Escalate(100.0, start=n_layers)
    assert asr.transcribe(SPEECH, start).n_layers == 2
    part = DynamicEncoderASR.from_hparams(folder, n_layers=n_layers)
    assert part.n_total == 2 and part.transcribe_file(SPEECH) == expected
    for other in (True, torch.tensor(True), np.True_, 2.0, "2", None):
        if other is not None:
            with pytest.raises(ValueError, match="must be a whole number"):
                asr.transcribe_file(SPEECH, n_layers=other)
            with pytest.raises(ValueError, match="must be a whole number"):
                DynamicEncoderASR.from_hparams(folder, n_layers=other)
        with pytest.raises(ValueError, match="`repeats` must be a whole"):
            asr.calibrate(repeats=other)


@pytest.mark.parametrize("device", ["gpu0", "cuda:99", "mps:7", "cpu:1", ""])
def test_a_device_that_is_none_is_one_line(folder, device, capsys):
    words = ["--source", str(folder), f"--device={device}", "no.wav"]
    assert shell(["transcribe", *words]) == 2
    fault = capsys.readouterr().err
    assert (
        fault.startswith("error: `device` must be") and fault.count("\n") == 1
    )


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name) as error:
        load_pretrained(str(folder))
    one_line(error)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "{}", "[" * 100_000, '{"format": 1}']
)
def test_a_manifest_that_is_none(folder, content):
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match="manifest.json") as error:
        load_pretrained(str(folder))
    one_line(error)


def test_a_tokenizer_of_another_model(folder, pretrained):
    shutil.copy(pretrained / "tokenizer.model", folder)
    with pytest.raises(ValueError, match="tokenizer.model must be as it was"):
        load_pretrained(str(folder))
    write_manifest(folder)
    with pytest.raises(ValueError, match="number of tokens of .*tokenizer"):
        load_pretrained(str(folder))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t["rows"].clear(), "has no rows"),
        (lambda t: t["rows"].reverse(), "depths must rise"),
        (lambda t: t["rows"][1].update(layers=[0]), "must be 2 numbers"),
        (lambda t: t["rows"][1].update(layers=[1, 1]), "must be 2 numbers"),
        (lambda t: t["rows"][1].update(layers=[-1, 1]), "must be 2 numbers"),
        (lambda t: t["rows"][1].update(layers=[0, 9]), "layers below 3"),
        (lambda t: t["rows"][1].update(layers=[0, "1"]), "be whole numbers"),
        (lambda t: t["rows"][0].update(params=0), "must be positive"),
        (lambda t: t["rows"][0].update(dev_rate=float("nan")), "be finite"),
        (lambda t: t["rows"][1].update(layers="01"), "be whole numbers"),
        (lambda t: t["rows"][1].update(layers=[0, True]), "be whole numbers"),
        (lambda t: t["rows"][1].update(n_layers=1), "must be 1 numbers"),
        (lambda t: t["rows"].append(t["rows"][2]), "depths must rise"),
        (lambda t: t["rows"][0].update(params=10**400), "be whole numbers"),
        (lambda t: t["rows"][0].update(dev_loss=10**400), "be finite"),
        (lambda t: t["rows"][0].update(dev_loss="1"), "be finite"),
        (lambda t: t["rows"][0].update(macs_per_second=None), "be finite"),
        (lambda t: t["rows"][0].update(macs_per_second=True), "be finite"),
        (lambda t: t["rows"][0].pop("params"), "a row must have"),
        (lambda t: t["rows"].insert(0, [1, [0]]), "a row must have"),
        (lambda t: t.update(rows={}), "`rows` must be a list"),
        (lambda t: t.pop("strategy"), "`strategy` must be a str"),
        (lambda t: t["rows"][0].update(more=1), "a row must have"),
        (lambda t: t.update(model="0" * 64), "must be of this model"),
    ],
)
def test_a_depth_table_that_is_none(folder, change, message):
    path = folder / "depth_table.json"
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))
    write_manifest(folder)
    for n_layers in (None, 1):  # also of rows that are not asked for
        with pytest.raises(ValueError, match=message) as error:
            load_pretrained(str(folder), n_layers)
        one_line(error)


def change_tensors(path, change):
    """Changes a safetensors file, and what names it."""
    state = safetensors.torch.load(path.read_bytes())
    change(state)
    path.write_bytes(safetensors.torch.save(state))
    table = json.loads((path.parent / "depth_table.json").read_text())
    model = (path.parent / "model.safetensors").read_bytes()
    table["model"] = hashlib.sha256(model).hexdigest()
    (path.parent / "depth_table.json").write_text(json.dumps(table))
    write_manifest(path.parent)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.update(glob_mean=torch.zeros(7)), "be 20 floats"),
        (lambda s: s.update(glob_std=torch.ones(1, 20)), "be 20 floats"),
        (lambda s: s.update(glob_std=s["glob_std"] > 0), "but is torch.bool"),
        (lambda s: s.update(glob_mean=s["glob_mean"] * 1j), "torch.complex64"),
        (lambda s: s["glob_std"][3:4].zero_(), "must be above 0, but has 0"),
        (lambda s: s["glob_std"][3:4].neg_(), "must be above 0, but has -"),
        (lambda s: s["glob_mean"][3:4].fill_(torch.nan), "have finite"),
        (
            lambda s: s.update(
                glob_mean=torch.full((20,), 1e300, dtype=torch.double)
            ),
            "have finite",
        ),
        (lambda s: s["count"].fill_(-1), "of utterances, but of -1"),
        (lambda s: s["count"].zero_(), "of utterances, but of 0"),
        (lambda s: s.update(count=torch.tensor(torch.nan)), "must be int64"),
        (lambda s: s.update({"a\nb" * 99: s.pop("count")}), r"has a\\nb"),
    ],
)
def test_feature_statistics_that_are_none(folder, change, message):
    change_tensors(folder / "normalize.safetensors", change)
    with pytest.raises(ValueError, match=message) as error:
        load_pretrained(str(folder))
    assert "normalize.safetensors" in one_line(error)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda w: w.to(torch.complex64), "head.bias is torch.complex64"),
        (lambda w: w.long(), "head.bias is torch.int64, must be torch.float"),
        (lambda w: w.double() + 1e300, "head.bias has NaN or infinity"),
        (lambda w: w * torch.nan, "head.bias has NaN or infinity"),
    ],
)
def test_weights_are_finite_and_of_the_models_type(folder, change, message):
    path = folder / "model.safetensors"
    change_tensors(
        path, lambda s: s.update({"head.bias": change(s["head.bias"])})
    )
    with pytest.raises(ValueError, match=message) as error:
        load_pretrained(str(folder))
    one_line(error)


def test_weights_of_another_precision_are_taken(folder):
    expected = DynamicEncoderASR.from_hparams(folder).transcribe_file(SPEECH)
    for name in ("model.safetensors", "normalize.safetensors"):
        change_tensors(
            folder / name,
            lambda s: s.update(
                {k: v.double() for k, v in s.items() if k != "count"}
            ),
        )
    asr = DynamicEncoderASR.from_hparams(folder)
    assert asr.transcribe_file(SPEECH) == expected


def test_who_is_to_be_asked_is_said(folder):
    with pytest.raises(ValueError, match="interfaces.DynamicEncoderASR"):
        EncoderASR.from_hparams(source=str(folder))
    with pytest.raises(ValueError, match="use DynamicEncoderASR"):
        DynamicEncoderClassifier.from_hparams(folder)


def test_what_is_read_is_what_is_written():
    content = (GOLDEN / "hyperparams.yaml").read_bytes()
    tree = read_yaml(content, "x")
    assert read_yaml(canonical(tree).encode(), "x") == tree
    assert tree["d_model"] == 16 and tree["stem_activation"] == "gelu"
    tags = set(re.findall(r"!(?:new|apply|name):\S+", content.decode()))
    names = {tag.partition("dld_brain.")[2] for tag in tags}
    assert names < set(dld_brain.__all__) and len(dld_brain.__all__) <= 13


def test_the_facade_is_light_and_whole():
    code = "import sys, dld_brain; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
    assert all(callable(getattr(dld_brain, n)) for n in dld_brain.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dld_brain.nothing  # noqa: B018


def test_the_card_is_one(pretrained):
    _, header, body = (pretrained / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(header)
    assert card["pipeline_tag"] == "automatic-speech-recognition"
    assert card["library_name"] == "speechbrain"
    assert "license" not in card  # that nobody stated
    report = json.loads((pretrained / "depth_report.json").read_text())
    rows = [r for r in report["sets"]["test"] if r["layers"] is not None]
    results = card["model-index"][0]["results"]
    assert len(results) == len(rows)
    assert "DynamicEncoderASR.from_hparams" in body
    training = json.loads((pretrained / "training.json").read_text())
    assert training["corpus"] == "AN4" and training["hours"] > 0
    assert training["report"] == report["sets"]
