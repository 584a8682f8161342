"""Checkpoints are whole or not there; what is loaded fits."""

import errno

import pytest
import torch

from dld_brain.model_folder import load_state_strictly
from dld_brain.training.checkpoints import AtomicCheckpointer
from dld_brain.training.keeping import ORDERS, average_weights


@pytest.fixture
def model():
    return torch.nn.Linear(2, 2)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, model):
    checkpointer = AtomicCheckpointer(tmp_path, {"model": model})
    saved = checkpointer.save_checkpoint()
    weight = model.weight.detach().clone()

    def full_disk(obj, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    model.weight.data.fill_(7.0)
    checkpointer.custom_save_hooks["model"] = full_disk
    with pytest.raises(OSError, match="No space left"):
        checkpointer.save_checkpoint()
    assert [p.name for p in tmp_path.iterdir()] == [saved.path.name]
    assert checkpointer.recover_if_possible().path == saved.path
    assert torch.equal(model.weight, weight)


def test_a_run_killed_while_it_writes_resumes_from_the_one_before(
    tmp_path, model
):
    checkpointer = AtomicCheckpointer(tmp_path, {"model": model})
    saved = checkpointer.save_checkpoint()
    half = tmp_path / "unfinished+CKPT+2099-01-01+00-00-00+00"
    half.mkdir()
    (half / "CKPT.yaml").write_text("unixtime: 9e9\n")
    assert checkpointer.find_checkpoint().path == saved.path
    checkpointer.save_checkpoint()
    assert not half.exists()


def test_two_that_save_at_once_leave_each_other_alone(tmp_path, model):
    one = AtomicCheckpointer(tmp_path)
    other = AtomicCheckpointer(tmp_path, {"model": model})

    def while_the_other_saves(obj, path):
        other.save_checkpoint(meta={"saved": 2})
        torch.save(obj.state_dict(), path)

    one.add_recoverable("model", model, custom_save_hook=while_the_other_saves)
    one.save_checkpoint(meta={"saved": 1})
    found = other.list_checkpoints()
    assert sorted(c.meta["saved"] for c in found) == [1, 2]
    assert all(c.paramfiles["model"].is_file() for c in found)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {c.path.name for c in found}


def test_what_cannot_be_written_is_a_line(tmp_path, model):
    # What torch.save raises when a file may grow no further.
    def full_disk(*_):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unex")

    checkpointer = AtomicCheckpointer(tmp_path, {"model": model})
    checkpointer.custom_save_hooks["model"] = full_disk
    with pytest.raises(OSError, match=f"the disk is full.*{tmp_path}"):
        checkpointer.save_checkpoint()
    assert not list(tmp_path.iterdir())


def test_saved_files_are_where_the_checkpoint_says(tmp_path, model):
    checkpointer = AtomicCheckpointer(tmp_path, {"model": model})
    checkpoint = checkpointer.save_checkpoint(name="last", meta={"WER": 1.0})
    assert checkpoint.path == tmp_path / "CKPT+last"
    assert [p.name for p in tmp_path.iterdir()] == ["CKPT+last"]
    assert checkpoint.paramfiles["model"].is_file()
    assert checkpoint.meta["WER"] == 1.0


def test_the_best_checkpoints_are_averaged(tmp_path, model):
    checkpointer = AtomicCheckpointer(tmp_path, {"model": model})
    for value, wer in ((1.0, 9.0), (2.0, 3.0), (4.0, 5.0)):
        model.weight.data.fill_(value)
        checkpointer.save_checkpoint(meta={"error WER": wer, "steps": value})
    average = average_weights(checkpointer, "model", 2, ORDERS["best"]("WER"))
    assert torch.equal(average["weight"], torch.full((2, 2), 3.0))


def test_averaging_nothing_says_what_to_do(tmp_path, model):
    checkpointer = AtomicCheckpointer(tmp_path, {"model": model})
    with pytest.raises(ValueError, match="train first, without --test_only"):
        average_weights(checkpointer, "model", 2, ORDERS["best"]("WER"))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.pop("bias"), "missing: bias"),
        (lambda s: s.update(extra=torch.ones(1)), "surplus: extra"),
        (
            lambda s: s.update(bias=torch.ones(3)),
            r"other shape: bias is \[3\], must be \[2\]",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, model, change, message):
    state = dict(model.state_dict())
    change(state)
    torch.save(state, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match=f"does not fit the model: {message}"):
        load_state_strictly(model, tmp_path / "model.ckpt")


def test_a_corrupt_file_is_said_to_be_one(tmp_path, model):
    path = tmp_path / "model.ckpt"
    torch.save(model.state_dict(), path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"cannot be read as weights"):
        load_state_strictly(model, path)
