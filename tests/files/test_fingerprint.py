"""Files that are made of others: made anew, or refused."""

import pytest

from dld_brain.files.fingerprint import (
    add_user,
    digest_of_folder,
    read_record,
    remade,
    state_of,
)

ONE, TWO = {"the settings": "1"}, {"the settings": "2"}


def make(path, text, made_of=ONE):
    """Writes a file as one that is made of others."""
    with remade(path, made_of) as unfinished:
        unfinished.write_text(text)


def test_what_a_file_is_to_its_record(tmp_path):
    path = tmp_path / "a.txt"
    assert state_of(path, ONE) == "missing"
    path.write_text("a")
    assert state_of(path, ONE) == "unknown"
    make(path, "a")  # as somebody else had it: taken over
    assert state_of(path, ONE) == "current"
    assert state_of(path, TWO) == "stale"
    path.write_text("")
    assert state_of(path, ONE) == "changed"


def test_a_death_before_the_rename_leaves_a_stale_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    make(path, "a")
    replace = "dld_brain.files.whole.os.replace"
    names = []

    def die_at_the_second(source, target):
        names.append(target)
        if len(names) == 2:
            raise KeyboardInterrupt
        source.rename(target)

    monkeypatch.setattr(replace, die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        make(path, "b", TWO)
    assert path.read_text() == "a" and names[1] == path
    assert state_of(path, TWO) == "stale"
    monkeypatch.undo()
    make(path, "b", TWO)
    assert state_of(path, TWO) == "current"


def test_what_is_not_whole_is_written_again_even_where_it_is_in_use(
    tmp_path, caplog
):
    path = tmp_path / "a.txt"
    make(path, "abc")
    add_user(path, tmp_path / "save")
    (tmp_path / "save/CKPT+1").mkdir(parents=True)
    path.write_text("ab")
    make(path, "abc")
    assert path.read_text() == "abc"
    assert "a.txt is written again as it was: it is not what" in caplog.text
    with pytest.raises(ValueError, match="trained with it, but the settings"):
        make(path, "abcd", TWO)
    assert path.read_text() == "abc"
    assert read_record(path).users == ("save",)


def test_a_folder_moves_with_what_was_made_in_it(tmp_path):
    make(tmp_path / "run/a.txt", "a")
    (tmp_path / "run/save/CKPT+1").mkdir(parents=True)
    add_user(tmp_path / "run/a.txt", tmp_path / "run/save")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert state_of(tmp_path / "moved/a.txt", ONE) == "current"
    with pytest.raises(ValueError, match="moved/save were trained with it"):
        make(tmp_path / "moved/a.txt", "b", TWO)


def test_the_listing_of_a_corpus(tmp_path):
    corpus = tmp_path / "corpus"
    (corpus / "a").mkdir(parents=True)
    (corpus / "a/a.wav").write_bytes(b"12")
    (corpus / "a.txt").write_text("YES")
    (corpus / "b").symlink_to(corpus)  # round and round
    first = digest_of_folder(corpus)
    (corpus / "a/a.wav").write_bytes(b"21")  # audio is not read
    (corpus / "a/._a.wav").write_bytes(b"of a system")
    make(corpus / "made/a.csv", "made of the corpus")
    assert digest_of_folder(corpus) == first
    corpus.rename(tmp_path / "moved")
    (tmp_path / "moved/b").unlink()
    (tmp_path / "moved/b").symlink_to(tmp_path / "moved")
    assert digest_of_folder(tmp_path / "moved") == first
    (tmp_path / "moved/a.txt").write_text("NOT")
    assert digest_of_folder(tmp_path / "moved") != first
