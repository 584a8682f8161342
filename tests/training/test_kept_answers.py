"""A frozen Whisper's answers, kept on disk: the same as asked anew."""

import pytest
import safetensors.torch
import torch

from dld_brain.run.whole_whisper import read_whole
from dld_brain.training.kept_answers import KeptAnswers

SOURCE = "tests/samples/whisper"


@pytest.fixture
def teacher():
    """A Whisper in evaluation."""
    return read_whole(SOURCE)[0].eval()


def batch(seed: int = 0, lengths: tuple[int, ...] = (90, 41)) -> dict:
    """Two utterances, padded with what must not matter."""
    rng = torch.Generator().manual_seed(seed)
    feats = torch.rand(2, max(lengths), 16, generator=rng)
    return {
        "feats": feats,
        "lengths": torch.tensor(lengths),
        "targets": torch.tensor([[5, 9, 200], [7, 0, 0]]),
        "target_lengths": torch.tensor([3, 1]),
    }


def same(a, b, given, atol):
    """Whether two answers agree where speech and tokens are."""
    for i, (n, u) in enumerate(zip(given["lengths"], given["target_lengths"])):
        n, u = (n + 1) // 2, u + 1
        torch.testing.assert_close(
            a.states[i, :n], b.states[i, :n], atol=atol, rtol=atol
        )
        torch.testing.assert_close(
            a.log_probs[i, :u], b.log_probs[i, :u], atol=1e-5, rtol=1e-5
        )
    assert a.lengths.tolist() == b.lengths.tolist()


def test_what_is_kept_is_what_the_teacher_says(teacher, tmp_path):
    given = batch()
    expected = teacher.teach(**given)
    kept = KeptAnswers(teacher, "weights", tmp_path / "answers")
    same(kept.teach(**given), expected, given, 1e-5)
    assert len(list((tmp_path / "answers").iterdir())) == 2
    teacher.heard = None  # not asked again
    again = KeptAnswers(teacher, "weights", tmp_path / "answers")
    same(again.teach(**given), expected, given, 1e-3)  # float16


def test_an_utterance_is_found_in_another_batch(teacher, tmp_path):
    kept = KeptAnswers(teacher, "weights", tmp_path)
    given = batch()
    kept.teach(**given)
    alone = {k: v[1:] for k, v in given.items()}
    alone["feats"] = alone["feats"][:, :41]
    alone["targets"] = alone["targets"][:, :1]
    expected = teacher.teach(**alone)
    teacher.heard = None
    same(kept.teach(**alone), expected, alone, 1e-3)


def test_other_speech_tokens_or_weights_are_other_answers(teacher, tmp_path):
    kept, given = KeptAnswers(teacher, "weights", tmp_path), batch()
    kept.teach(**given)
    kept.teach(**batch(seed=1))
    kept.teach(**{**given, "targets": given["targets"] + 1})
    assert len(list(tmp_path.iterdir())) == 6
    other = KeptAnswers(teacher, "other weights", tmp_path)
    same(other.teach(**given), teacher.teach(**given), given, 1e-5)
    assert len(list(tmp_path.iterdir())) == 8


def emptied(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def foreign(path):
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)


@pytest.mark.parametrize("broken", [emptied, cut, foreign])
def test_what_is_no_answer_is_asked_anew(teacher, tmp_path, caplog, broken):
    kept, given = KeptAnswers(teacher, "weights", tmp_path), batch()
    expected = kept.teach(**given)
    path = sorted(tmp_path.iterdir())[0]
    broken(path)
    same(kept.teach(**given), expected, given, 1e-3)
    assert caplog.text.count(f"{path.name} is made anew") == 1
    teacher.heard = None  # it is whole again
    same(kept.teach(**given), expected, given, 1e-3)


def test_what_another_run_is_writing_is_not_counted(teacher, tmp_path):
    (tmp_path / ".unfinished+1+a.safetensors").write_bytes(b"x" * 1000)
    kept = KeptAnswers(teacher, "weights", tmp_path, most_bytes=500)
    assert kept.left == 500


def test_a_full_folder_is_left_as_it_is(teacher, tmp_path, caplog):
    kept, given = (
        KeptAnswers(teacher, "weights", tmp_path, most_bytes=1),
        batch(),
    )
    same(kept.teach(**given), teacher.teach(**given), given, 1e-5)
    assert len(list(tmp_path.iterdir())) == 1
    assert "is full" in caplog.text
    kept.teach(**batch(seed=1))
    assert len(list(tmp_path.iterdir())) == 1
