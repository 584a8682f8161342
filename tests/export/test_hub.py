"""What is pushed to the Hub, what stays here, and what is refused."""

import json
import shutil
import socket
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from sentencepiece import sentencepiece_model_pb2

from dld_brain.export.__main__ import main
from dld_brain.files.manifest import write_manifest
from pretrained_interfaces import DynamicEncoderASR
from speechbrain.utils.fetching import FetchConfig
from tests.fake_hub import GOOD, READ_ONLY, Repository, serve

GOLDEN = Path("tests/samples/golden").resolve()
SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
ROW = {"selection": "even", "rates": {"WER": 12.345}}
TRAINING = {
    "corpus": "AN4",
    "language": "en",
    "longest_utterance": 7.5,
    "teacher": "/home/somebody/my runs/teacher/pretrained",
    "report": {
        "test": [{"n_layers": 2, "layers": [0, 2], **ROW}],
    },
}
#: What of that folder is the model's.
MODEL = {
    "README.md",
    "depth_table.json",
    "hyperparams.yaml",
    "manifest.json",
    "model.safetensors",
    "normalize.safetensors",
    "tokenizer.model",
    "training.json",
}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty Hub; who writes there has a token."""
    monkeypatch.setenv("HF_TOKEN", GOOD)
    with serve(monkeypatch, tmp_path / "cache") as served:
        yield served


@pytest.fixture
def folder(tmp_path):
    """A model that was trained and evaluated, with what evaluation leaves."""
    path = shutil.copytree(GOLDEN, tmp_path / "pretrained")
    (path / "training.json").write_text(json.dumps(TRAINING))
    (path / "depth_report.json").write_text('{"command": "train.py /home/x"}')
    (path / "wer_vs_depth.png").write_bytes(b"a picture")
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString((path / "tokenizer.model").read_bytes())
    proto.trainer_spec.input.append("/home/somebody/train.txt")
    (path / "tokenizer.model").write_bytes(proto.SerializeToString())
    write_manifest(path)
    return path


def push(folder, *flags, repo="owner/name"):
    """Runs the command; gives its exit status."""
    return main(["hub", "--source", str(folder), "--repo", repo, *flags])


def fault(capsys) -> str:
    """The one line on stderr, progress bars of the client aside."""
    lines = [x for x in capsys.readouterr().err.splitlines() if "error: " in x]
    assert len(lines) == 1
    return lines[0]


def test_what_was_pushed_is_loaded_by_its_name(hub, folder, tmp_path):
    assert push(folder, "--license", "mit", "--push") == 0
    repository = hub.repositories["owner/name"]
    assert repository.n_commits == 1 and not repository.private
    files = repository.branches["main"]
    assert set(files) == MODEL | {".gitattributes"}
    assert not [f for f, content in files.items() if b"/home/" in content]
    weights = (folder / "model.safetensors").read_bytes()
    assert files["model.safetensors"] == weights
    asr = DynamicEncoderASR.from_hparams(
        "owner/name",
        fetch_config=FetchConfig(huggingface_cache_dir=str(tmp_path / "c")),
    )
    here = DynamicEncoderASR.from_hparams(folder)
    for n_layers in asr.depths:
        texts = [m.transcribe_file(SPEECH, n_layers) for m in (asr, here)]
        assert texts[0] == texts[1]
    card = ModelCard(files["README.md"].decode())
    data = card.data.to_dict()
    assert data["license"] == "mit" and data["language"] == "en"
    assert data["library_name"] == "speechbrain"
    assert data["pipeline_tag"] == "automatic-speech-recognition"
    (result,) = card.data.eval_results
    assert card.data.model_name == "name" and result.metric_value == 12.35
    assert "2 layers" in result.metric_name
    assert 'from_hparams("owner/name")' in card.text
    assert "7.5 s" in card.text.partition("## Limits")[2]


def test_a_dry_run_asks_nobody_and_lists_all(hub, folder, monkeypatch, capsys):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    before = sorted((p.name, p.read_bytes()) for p in folder.iterdir())
    assert push(folder) == 0
    told = capsys.readouterr().out
    listed = {line.split()[-1] for line in told.splitlines()[: len(MODEL)]}
    assert listed == MODEL and "71,900  model.safetensors" in told
    assert "stay here: depth_report.json, wer_vs_depth.png" in told
    assert "license:" not in told and "states no licence" in told
    assert "needs a token" in told
    assert hub.asked == []
    after = sorted((p.name, p.read_bytes()) for p in folder.iterdir())
    assert before == after
    assert push(folder, "--push") == 2
    assert "hf auth login" in fault(capsys) and hub.asked == []


def test_a_second_push_replaces_the_first(hub, folder):
    (folder / "LICENSE").write_text("MIT")
    write_manifest(folder)
    assert push(folder, "--push", "--revision", "trial") == 0
    repository = hub.repositories["owner/name"]
    assert "LICENSE" in repository.branches["trial"]
    assert set(repository.branches["main"]) == {".gitattributes"}
    (folder / "LICENSE").unlink()
    write_manifest(folder)
    assert push(folder, "--push", "--revision", "trial") == 0
    assert set(repository.branches["trial"]) == MODEL | {".gitattributes"}
    assert repository.n_commits == 2


@pytest.mark.parametrize("name", ["weights.bin", "manifest.json"])
def test_what_others_keep_there_is_not_written_over(hub, folder, capsys, name):
    there = hub.repositories.setdefault("owner/name", Repository())
    there.branches["main"][name] = b"{}"
    assert push(folder, "--push") == 2
    text = fault(capsys)
    assert name in text and "give another name" in text
    assert there.n_commits == 0 and there.branches["main"][name] == b"{}"


def test_what_came_meanwhile_is_not_written_over(
    hub, folder, capsys, monkeypatch
):
    preupload = hub.do_preupload

    def slow(self, name, revision):
        hub.repositories[name].branches["main"]["other.txt"] = b"theirs"
        preupload(self, name, revision)

    monkeypatch.setattr(hub, "do_preupload", slow)
    assert push(folder, "--push") == 2
    assert "A commit has happened since" in fault(capsys)
    assert hub.repositories["owner/name"].n_commits == 0


def test_a_public_repository_is_none_for_a_private_model(hub, folder, capsys):
    assert push(folder, "--push", "--private") == 0
    assert hub.repositories["owner/name"].private
    hub.repositories["owner/name"].private = False
    assert push(folder, "--push", "--private") == 2
    assert "is public" in fault(capsys)
    assert hub.repositories["owner/name"].n_commits == 1


@pytest.mark.parametrize(
    "token, said", [("hf_none", "know the token"), (READ_ONLY, "not write")]
)
def test_a_token_that_is_refused(hub, folder, monkeypatch, capsys, token, said):
    monkeypatch.setenv("HF_TOKEN", token)
    assert push(folder, "--push") == 2
    text = fault(capsys)
    assert said in text and "owner/name takes nothing" in text
    assert hub.repositories == {} and hub.stored == {}


def test_without_a_network_it_is_said_at_once(folder, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", GOOD)

    def refuse(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert push(folder, "--push") == 2
    assert "takes nothing: no connection" in fault(capsys)


def _add(folder, name):
    (folder / name).write_bytes(b"x")


def _flip(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "change, flags, said",
    [
        (lambda f: _add(f, "clip.wav"), [], "clip.wav"),
        (lambda f: _add(f, "optimizer.ckpt"), [], "optimizer.ckpt"),
        (lambda f: _flip(f, "model.safetensors"), [], "another SHA-256"),
        (lambda f: (f / "manifest.json").unlink(), [], "manifest.json"),
        (None, ["--repo", "name"], "owner/name"),
        (None, ["--repo", "a/b/c"], "owner/name"),
        (None, ["--revision", "../x"], "name of a branch"),
        (None, ["--license", "MIT License"], "as the Hub names it"),
        (None, ["--license_file", "none.txt"], "must be a file"),
        (None, ["--base_model", "./my model"], "must be owner/name, as the"),
    ],
)
def test_what_cannot_be_pushed_asks_nobody(
    hub, folder, capsys, change, flags, said
):
    if change is not None:
        change(folder)
    assert push(folder, "--push", *flags) == 2
    assert said in fault(capsys) and hub.asked == []
