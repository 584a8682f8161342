"""The folder of a run: whose it is, what still belongs to it, a full disk."""

import contextlib
import errno
import os
import resource
import shutil
from pathlib import Path

import pytest
from conftest import REPOSITORY, small

from dld_brain.files.lock import FolderInUse, FolderLock
from dld_brain.run.main import main, train
from dld_brain.run.run import Run

HPARAMS = "hparams/conformer_teacher.yaml"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run behind its first epoch, and its corpus: of whoever copies it."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(REPOSITORY / "tests/samples/AN4", folder / "an4")
    os.chdir(REPOSITORY)
    train(command(folder))
    return folder


@pytest.fixture
def again(trained, tmp_path):
    """The same, which is as it was behind the test."""
    kept = shutil.copytree(trained, tmp_path / "kept")
    yield trained
    shutil.rmtree(trained)
    shutil.copytree(kept, trained)


def command(folder, **changes):
    options = {
        "data_folder": folder / "an4",
        "output_folder": folder / "run/1",
        "number_of_epochs": 1,
        "layer_importance": False,
        "test_depths": "[3]",
        **changes,
    }
    return [HPARAMS, *small(**options)]


def replace(path, old, new):
    """Changes a text file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def state(path):
    """Which file it is, and when it was written."""
    return path.stat().st_ino, path.stat().st_mtime_ns


def test_a_second_run_stops_at_once_and_names_the_first(tmp_path, capsys):
    lock = FolderLock(tmp_path / "run/1")
    assert main(command(tmp_path, data_folder="tests/samples/AN4")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run/1 must be used by one run at a time, but is" in line
    assert f"in use by process {os.getpid()} on" in line and "since 20" in line
    lock.release()


def test_a_run_that_fails_gives_its_folder_back(tmp_path):
    options = command(tmp_path, data_folder=tmp_path / "nowhere")
    for _ in range(2):
        with pytest.raises(
            FileNotFoundError, match="`data_folder` must be"
        ) as e:
            train(options)
        del e
    FolderLock(tmp_path / "run/1").release()


def test_checkpoints_elsewhere_are_held_as_well(tmp_path):
    (tmp_path / "an4").mkdir()
    lock = FolderLock(tmp_path / "save")
    with pytest.raises(FolderInUse, match="save must be used by one run at"):
        train(command(tmp_path, save_folder=tmp_path / "save"))
    lock.release()


@pytest.mark.slow
def test_the_same_command_changes_no_file_that_is_there(again, monkeypatch):
    monkeypatch.setattr(Run, "finish", lambda run: None)
    kept = [again / "run/1/save/tokenizer.model"]
    kept += sorted((again / "run/1/csv").glob("*.csv"))
    before = [state(path) for path in kept]
    train(command(again, number_of_epochs=2))
    assert [state(path) for path in kept] == before
    assert not (again / "run/1/.unfinished+vocabulary").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda folder: replace(
                folder / "an4/etc/an4_train.transcription", "X", "Z"
            ),
            "train.csv must stay as it is.*the files of the corpus changed",
        ),
        ({"token_type": "bpe", "vocab_size": 12}, "tokenizer.model must stay"),
    ],
)
def test_what_checkpoints_were_trained_with_is_not_exchanged(
    again, change, message
):
    changes = change if isinstance(change, dict) else {}
    if not changes:
        change(again)
    kept = sorted((again / "run/1").rglob("*.csv")) + sorted(
        (again / "run/1/save").glob("tokenizer.model")
    )
    before = [path.read_bytes() for path in kept]
    with pytest.raises(ValueError, match=message):
        train(command(again, number_of_epochs=2, **changes))
    assert [path.read_bytes() for path in kept] == before


@pytest.mark.slow
def test_an_evaluation_asks_nothing_of_training_speech(again):
    path = again / "an4/etc/an4_train.transcription"
    replace(path, "X", "Z")
    weights = again / "run/1/pretrained/model.safetensors"
    kept = [weights, again / "run/1/csv/train.csv"]
    before = [file.read_bytes() for file in kept]
    weights.unlink()
    train([*command(again), "--test_only", "--export_only=True"])
    assert [file.read_bytes() for file in kept] == before


@pytest.mark.slow
def test_a_tokenizer_that_is_not_whole_is_found(again, monkeypatch):
    path = again / "run/1/save/tokenizer.model"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="tokenizer.model must be what trai"):
        train([*command(again), "--test_only"])
    monkeypatch.setattr(Run, "finish", lambda run: None)
    train(command(again, number_of_epochs=2))
    assert path.read_bytes() == whole
    log = (again / "run/1/log.txt").read_text()
    assert "tokenizer.model is written again as it was" in log


@pytest.mark.slow
def test_without_checkpoints_all_is_made_anew(again, monkeypatch):
    for path in (again / "run/1/save").glob("CKPT+*"):
        shutil.rmtree(path)
    replace(again / "an4/etc/an4_train.transcription", "X", "Z")
    monkeypatch.setattr(Run, "finish", lambda run: None)
    train(command(again))
    log = (again / "run/1/log.txt").read_text()
    assert "train.csv is made anew: the files of the corpus changed" in log
    assert "tokenizer.model is made anew: the training speech" in log


@pytest.mark.slow
def test_other_speech_of_ones_own_is_not_gone_on_with(trained, tmp_path):
    csv = trained / "run/1/csv"
    own = shutil.copytree(csv, tmp_path / "own")
    for path in own.glob("*.csv"):
        replace(path, "$data_root", str(trained / "an4"))
    options = {"corpus": "", "data_folder": own, "vocab_size": 11}
    options |= {"init_from": trained / "run/1/pretrained"}
    train(command(tmp_path, **options))
    replace(own / "train.csv", str(trained), f"{trained}/../{trained.name}")
    go_on = command(tmp_path, **options, number_of_epochs=2)
    train([*go_on, "--export_only=True"])
    lines = (own / "train.csv").read_text().splitlines()
    (own / "train.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(
        ValueError, match="must stay as it is, because the checkpoints"
    ):
        train(go_on)


@contextlib.contextmanager
def files_no_larger_than(size):
    """Files that would be larger cannot be written, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.slow
def test_a_disk_that_was_full_stops_nothing_for_good(tmp_path, capsys):
    shutil.copytree("tests/samples/AN4", tmp_path / "an4")
    for size in (8_000, 300_000):  # of the folder's first file; a checkpoint's
        with files_no_larger_than(size):
            assert main(command(tmp_path)) == 1
        *_, line = capsys.readouterr().err.splitlines()
        assert line.startswith("error: [Errno ") and str(tmp_path) in line
    assert main(command(tmp_path)) == 0
    names = [path.name for path in tmp_path.rglob("*")]
    assert not [n for n in names if "unfinished" in n or n == ".lock"]


@pytest.mark.parametrize(
    "number, status", [(errno.ENOSPC, 1), (errno.EACCES, 2), (errno.EROFS, 2)]
)
def test_what_the_system_refuses_is_a_line(
    number, status, tmp_path, capsys, monkeypatch
):
    # As root, permissions refuse nothing.
    def refuse(self, folder: Path):
        raise OSError(number, os.strerror(number), str(folder / ".lock"))

    monkeypatch.setattr(FolderLock, "__init__", refuse)
    assert main(command(tmp_path, data_folder="tests/samples/AN4")) == status
    (line,) = capsys.readouterr().err.splitlines()
    reason = os.strerror(number)
    assert line == f"error: [Errno {number}] {reason}: '{tmp_path}/run/1/.lock'"
