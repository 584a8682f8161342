"""Text files of other systems, in every corpus and in CSV files."""

import shutil
from pathlib import Path

import pytest
from common import rows

from dld_brain.audio.text_files import (
    CorpusError,
    read_lines,
    read_table,
    visible_files,
)
from recipes.AN4.an4_prepare import prepare_an4
from recipes.FluentSpeechCommands.fsc_prepare import prepare_fsc
from recipes.LibriSpeech.librispeech_prepare import prepare_librispeech
from recipes.TEDLIUM3.tedlium3_prepare import prepare_tedlium3

#: How other systems write what is `\n` in UTF-8 here.
SYSTEMS = {
    "mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "windows": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "old_mac": lambda text: text.replace("\n", "\r").encode(),
    "no_last_newline": lambda text: text.rstrip("\n").encode(),
    "empty_lines": lambda text: (text.replace("\n", "\n\n") + "\n").encode(),
}
SAMPLES = Path("tests/samples")
CORPORA = {
    "LibriSpeech": (prepare_librispeech, "train-clean-100", "*.trans.txt"),
    "AN4": (prepare_an4, "train-all", "an4_train.*"),
    "TEDLIUM3": (prepare_tedlium3, "train", "*.stm"),
    "FluentSpeechCommands": (prepare_fsc, "train", "*.csv"),
}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("corpus", CORPORA)
def test_a_corpus_is_the_same_from_every_system(corpus, system, tmp_path):
    prepare, split, pattern = CORPORA[corpus]
    folder = tmp_path / corpus
    shutil.copytree(SAMPLES / corpus, folder)
    found = []
    for csv in (tmp_path / "before", tmp_path / "behind"):
        prepare(str(folder), str(csv), [split])
        found.append(rows(csv / f"{split}.csv"))
        for path in list(folder.rglob(pattern)):
            text = path.read_text("utf-8")
            path.write_bytes(SYSTEMS[system](text))
            for beside in (path, *path.parent.glob("*.flac")):
                (beside.parent / f"._{beside.name}").write_bytes(b"\0\5\x16\7")
    assert found[0] and found[0] == found[1]


@pytest.mark.parametrize("corpus", CORPORA)
def test_what_is_not_utf_8_is_named_by_line(corpus, tmp_path):
    prepare, split, pattern = CORPORA[corpus]
    folder = shutil.copytree(SAMPLES / corpus, tmp_path / corpus)
    for path in folder.rglob(pattern):
        path.write_bytes(path.read_bytes() + b"caf\xe9\n")
    with pytest.raises(
        CorpusError, match=r":\d+: the line must be UTF-8, .* 0xe9"
    ):
        prepare(str(folder), str(tmp_path / "csv"), [split])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_wide_text_is_refused(encoding, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("ID,wrd\nu0,YES\n".encode(encoding))
    with pytest.raises(CorpusError, match=f"{path}:1: the line must be UTF-8"):
        read_table(path)


def test_lines_end_at_newlines_and_nowhere_else(tmp_path):
    path = tmp_path / "a.txt"
    text = "a\u2028b\x0bc\x0cd\x1ce\x85f\u2029g"
    path.write_text(f"{text}\n\nlast\r\n", "utf-8", newline="")
    assert list(read_lines(path)) == [(1, text), (3, "last")]


@pytest.mark.parametrize("delimiter", ",;\t")
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_table_is_the_same_whatever_parts_its_cells(
    delimiter, system, tmp_path
):
    path = tmp_path / "a.csv"
    lines = ["wrd,ID", '"one, two; ""3""\tx",u0', "5' $5\u2028,u1", ",,"]
    text = "\n".join(lines) + "\n"
    if delimiter != ",":
        text = text.replace(",", delimiter).replace(f"one{delimiter}", "one,")
    path.write_bytes(SYSTEMS[system](text))
    table = read_table(path)
    assert [table.cells_of(row) for row in table.rows] == [
        {"wrd": 'one, two; "3"\tx', "ID": "u0"},
        {"wrd": "5' $5", "ID": "u1"},
    ]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "must have a header, but is empty"),
        ('ID,wrd\nu0,A\nu1,"B\nu2,C\n', ":3: a quote must be closed"),
        ('ID,"wrd"x\n', ":1: a row must be CSV"),
        ("ID,wrd,wrd\n", "must have a column `wrd` once, but has it 2"),
        ("ID,text\n", "must have a column `wrd`, but has ID, text"),
        ("a,b\n", "must have the columns ID, wrd, but lacks ID, wrd"),
    ],
)
def test_what_is_no_table_is_named(text, message, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(CorpusError) as error:
        read_table(path).check(["ID", "wrd"])
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_a_row_that_others_are_swallowed_by_is_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('ID,wrd\nu0,"A\nu1,B"C\nu2,D\n')
    table = read_table(path)
    with pytest.raises(ValueError, match="must be CSV"):
        table.cells_of(table.rows[0])
    path.write_text('ID,wrd\nu0,"A\nu1,B",C\nu2,D\n')
    table = read_table(path)
    with pytest.raises(ValueError, match="open from here to line 3"):
        table.cells_of(table.rows[0])
    assert table.cells_of(table.rows[1]) == {"ID": "u2", "wrd": "D"}


def test_hidden_files_and_folders_are_not_seen(tmp_path):
    for name in ("b.csv", "a/c.csv", "._b.csv", ".git/d.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = visible_files(tmp_path, "**/*.csv")
    assert [path.name for path in found] == ["c.csv", "b.csv"]
