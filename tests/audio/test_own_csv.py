"""CSV files of one's own get the check that corpora get."""

import logging
import random
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from common import rows

from dld_brain.audio.csv_files import read_rows
from dld_brain.audio.dataset import (
    make_dataset,
    merged_csv,
    train_loader_options,
)
from dld_brain.audio.own_csv import prepare_own
from dld_brain.audio.preparation import Utterance, write_split
from dld_brain.audio.text import normalise
from dld_brain.audio.text_files import CorpusError
from speechbrain.dataio.dataloader import make_dataloader

HEADER = "ID,duration,wav,spk_id,wrd,start,stop"
ROW = "u{},1.0,$data_root/a.wav,s,HELLO,0,16000"


class Words:
    """What a dataset needs of a task."""

    column = "wrd"
    text = staticmethod(normalise)

    def encode(self, reference):
        return torch.ones(len(reference.split()))

    def unspelled(self, word):
        return ""

    def unknown(self, references):
        return {}


def sound(path, seconds=1.0, seed=0):
    """Writes noise."""
    samples = np.random.default_rng(seed).standard_normal(int(16000 * seconds))
    soundfile.write(path, 0.1 * samples, 16000)


@pytest.fixture
def folder(tmp_path):
    """A folder that has a.wav, of a second."""
    sound(tmp_path / "a.wav")
    (tmp_path / "a.raw").write_bytes(bytes(32000))
    return tmp_path


@pytest.fixture
def prepare(folder):
    """Writes and prepares a CSV file of some lines."""

    def call(*lines, header=HEADER, **options):
        text = "\n".join([header, *lines]) + "\n"
        (folder / "train.csv").write_text(text, "utf-8")
        csv = str(folder / "csv")
        prepare_own(str(folder), csv, ["train"], "wrd", **options)
        return rows(folder / "csv/train.csv")

    return call


def test_what_is_right_is_written_in_our_form(prepare, folder):
    found = prepare(
        "x,u0,0.5,$data_root/a.wav,HELLO,0.0,8000.0",
        f"y,u1,1,{folder}/a.wav,$5 FOR $data_root,,",
        header="note,ID,duration,wav,wrd,start,stop",
    )
    assert found == [
        {
            "ID": name,
            "duration": duration,
            "wav": "$data_root/a.wav",
            "spk_id": "",
            "wrd": text,
            "start": "0",
            "stop": stop,
        }
        for name, duration, text, stop in (
            ("u0", "0.5000", "HELLO", "8000"),
            ("u1", "1.0000", "$5 FOR $data_root", "16000"),
        )
    ]
    csv = str(folder / "csv/train.csv")
    dataset = make_dataset(csv, str(folder), Words(), 16000)
    items = {item["id"]: item for item in dataset}
    assert items["u1"]["reference"] == "$5 FOR $data_root"
    assert len(items["u0"]["sig"]) == 8000 and len(items["u1"]["sig"]) == 16000


PROBLEMS = {
    "column `duration` must be a number (with a point), but is '1,5'": (
        'u7,"1,5",$data_root/a.wav,s,HELLO,0,16000'
    ),
    "column `duration` must be a number (with a point), but is 'nan'": (
        "u7,nan,$data_root/a.wav,s,HELLO,0,16000"
    ),
    "column `duration` must be finite": (
        "u7,1e999,$data_root/a.wav,s,HELLO,0,16000"
    ),
    "column `duration` must be above 0": (
        "u7,-1,$data_root/a.wav,s,HELLO,0,16000"
    ),
    "`duration` must be 1.0000 s, as the audio is, but is 1000": (
        "u7,1000,$data_root/a.wav,s,HELLO,0,16000"
    ),
    "column `stop` must be a number": ("u7,1.0,$data_root/a.wav,s,HELLO,0,"),
    "column `start` must be a whole number of samples, but is 0.5": (
        "u7,1.0,$data_root/a.wav,s,HELLO,0.5,16000"
    ),
    "column `stop` must be above `start`": (
        "u7,1.0,$data_root/a.wav,s,HELLO,9,9"
    ),
    "`stop` must be at most 16000, the samples of a.wav, but is 16001": (
        "u7,1.0,$data_root/a.wav,s,HELLO,0,16001"
    ),
    "the segment begins at 2 s, but a.wav ends at 1.00 s": (
        "u7,1.0,$data_root/a.wav,s,HELLO,32000,48000"
    ),
    "column `wrd` must be filled": "u7,1.0,$data_root/a.wav,s, ,0,16000",
    "column `wav` must be filled": "u7,1.0,,s,HELLO,0,16000",
    "a row must have 7 cells, as the header has, but has 5": (
        "u7,1.0,$data_root/a.wav,s,HELLO"
    ),
    "a row must have 7 cells, as the header has, but has 8": (
        "u7,1.0,$data_root/a.wav,s,HELLO, WORLD,0,16000"
    ),
    "transcript without audio (b.wav)": "u7,1.0,b.wav,s,HELLO,0,16000",
    "transcript without audio ($other/a.wav)": (
        "u7,1.0,$other/a.wav,s,HELLO,0,16000"
    ),
    "audio does not open (samplerate": "u7,1.0,$data_root/a.raw,s,HELLO,,",
    "[Errno 36] File name too long": f"u7,1.0,{5000 * 'a'},s,HELLO,,",
    "its id is that of line 2, too": "u0" + ROW[3:],
}


@pytest.mark.parametrize("message", PROBLEMS)
def test_a_problem_is_named_by_file_line_and_id(
    message, prepare, folder, caplog
):
    line = PROBLEMS[message]
    lines = [ROW.format(0), line, ROW.format(1)]
    with pytest.raises(CorpusError, match="train: 1 problem, the first: ") as e:
        prepare(*lines)
    where = f"{folder}/train.csv:3: {line.split(',')[0]}: {message}"
    assert where in str(e.value) and where in caplog.text
    assert len(str(e.value)) < 600  # long paths are cut
    assert not (folder / "csv/train.csv").exists()
    found = prepare(*lines, allow_problems=True)
    assert [row["ID"] for row in found] == ["u0", "u1"]
    assert "1 problem left out" in caplog.text


def test_all_problems_are_in_one_list(prepare, caplog):
    with pytest.raises(CorpusError, match=f"train: {len(PROBLEMS)} problems"):
        lines = [
            line.replace("u7", f"v{i}")
            for i, line in enumerate(PROBLEMS.values())
        ]
        prepare(ROW.format(0), *lines)
    for message in PROBLEMS:
        assert message in caplog.text


@pytest.mark.parametrize("column", ["ID", "duration", "wav", "wrd", "stop"])
def test_a_column_that_is_not_there_is_named(column, prepare):
    header = HEADER.replace(column, "other")
    with pytest.raises(CorpusError, match=f"train.csv must .* `{column}`, but"):
        prepare(ROW.format(0), header=header)


def test_a_file_is_checked_again_when_it_has_changed(prepare, folder):
    prepare(ROW.format(0))
    made = (folder / "csv/train.csv").stat().st_mtime_ns
    prepare(ROW.format(0))
    assert (folder / "csv/train.csv").stat().st_mtime_ns == made
    assert len(prepare(ROW.format(0), ROW.format(1))) == 2


def test_ones_own_file_is_not_written_over(prepare, folder):
    prepare(ROW.format(0))
    before = (folder / "train.csv").read_bytes()
    with pytest.raises(ValueError, match="`csv_folder` must be another"):
        prepare_own(str(folder), str(folder), ["train"], "wrd")
    assert (folder / "train.csv").read_bytes() == before


def break_body(path):
    """Leaves the header of a file, and a third of what is behind it."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])


def test_audio_is_decoded_to_its_end(folder, caplog):
    sound(folder / "cut.flac", 10)
    break_body(folder / "cut.flac")
    samples = np.zeros(16000, np.float32)
    samples[9000] = np.nan
    soundfile.write(folder / "nan.wav", samples, 16000, subtype="FLOAT")
    utterances = [
        Utterance(name, folder / name, "s", "HELLO")
        for name in ("cut.flac", "nan.wav", "a.wav")
    ]
    made = folder / "csv/train.csv"
    with pytest.raises(CorpusError, match="train: 2 problems"):
        write_split(made, utterances, str(folder))
    assert "cut.flac: " in caplog.text and "nan.wav: " in caplog.text
    write_split(made, utterances, str(folder), allow_problems=True)
    assert [row["ID"] for row in rows(made)] == ["a.wav"]
    write_split(made, utterances, str(folder), decode_audio=False)
    assert len(rows(made)) == 3
    talk = folder / "cut.flac"
    parts = [
        Utterance(str(i), talk, "s", "HELLO", segment=(i, i + 1))
        for i in range(10)
    ]
    write_split(made, parts, str(folder), allow_problems=True)
    assert 1 <= len(rows(made)) < 5  # what lies before the cut


@pytest.fixture
def broken(folder):
    """Four utterances, the longest of which is cut."""
    lines = []
    for i in range(4):
        sound(folder / f"{i}.flac", 2 - 0.1 * i, seed=i)
        lines.append(f"u{i},{2 - 0.1 * i},$data_root/{i}.flac,HELLO\n")
    break_body(folder / "0.flac")
    path = folder / "train.csv"
    path.write_text("ID,duration,wav,wrd\n" + "".join(lines))
    return str(path)


def test_training_leaves_out_what_cannot_be_read(broken, folder, caplog):
    dataset = make_dataset(broken, str(folder), Words(), 16000)
    with pytest.raises(ValueError, match=f"{broken}: u0: "):
        dataset[0]
    dataset.leaves_out = True
    for _ in range(2):  # an epoch
        batch = dataset.collate([dataset[i] for i in range(4)])
        assert batch.id == ["u1", "u2", "u3"]
    assert dataset.n_left_out == 1
    (record,) = [r for r in caplog.records if "left out" in r.message]
    assert record.message.startswith(f"{broken}: u0 is left out (1 of 4 ")
    assert dataset.collate([dataset[0]]).id == ["u3"]  # no batch is empty
    for path in folder.glob("*.flac"):
        path.unlink()
    with pytest.raises(ValueError, match="4 of 4 utterances cannot"):
        dataset.collate([dataset[0]])


def test_processes_that_load_count_as_one(broken, folder):
    dataset = make_dataset(broken, str(folder), Words(), 16000)
    options = train_loader_options(
        dataset,
        batch_size=2,
        max_batch_seconds=0,
        num_buckets=1,
        num_workers=2,
        seed=0,
    )
    for _ in range(2):
        batches = list(make_dataloader(dataset, **options))
        found = sorted(name for batch in batches for name in batch.id)
        assert len(batches) == 2 and set(found) == {"u1", "u2", "u3"}
    assert dataset.n_left_out == 1


def test_what_is_scored_is_read_first_where_it_was_not(broken, folder, caplog):
    dataset = make_dataset(
        broken, str(folder), Words(), 16000, only_readable=True
    )
    assert [item["id"] for item in dataset] == ["u1", "u2", "u3"]
    assert "train: 1 problem left out" in caplog.text


def test_several_splits_are_one_file(folder):
    files = {
        "a": "ID,duration,wav,wrd\nu0,1.0,$data_root/a.wav,$5",
        "b": "\ufeffwav;wrd;ID;duration;start;stop\r\n"
        "$data_root/a.wav;B;u1;0.5;0;8000\r\n",
    }
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, "utf-8", newline="")
    path = merged_csv(str(folder), ["a", "b"], str(folder / "save"))
    dataset = make_dataset(path, str(folder), Words(), 16000)
    found = {i["id"]: (i["reference"], len(i["sig"])) for i in dataset}
    assert found == {"u0": ("$5", 16000), "u1": ("B", 8000)}
    assert merged_csv(str(folder), "b", "") == str(folder / "b.csv")
    with pytest.raises(FileNotFoundError, match="split 'c' .* there: a, b$"):
        merged_csv(str(folder), "c", "")


BAD_CELLS = [
    *("nan", "inf", "-1", "1e300", 31 * "9", "0x10", "1_0", "\u0661", ""),
    *("/", "~", "$x", ".", '"x"y', '"', 5000 * "a"),
]


def mutated(rng):
    """A CSV file with something wrong, which may do no harm."""
    lines = [HEADER, *(ROW.format(i) for i in range(4))]
    cells = [line.split(",") for line in lines]
    row, column = rng.randrange(5), rng.randrange(7)
    kind = rng.randrange(6)
    if kind == 0:
        cells[row][column] = rng.choice(BAD_CELLS)
    elif kind == 1:
        del cells[row][column]
    elif kind == 2:
        cells = [[*line[:column], *line[column + 1 :]] for line in cells]
    text = "\n".join(map(",".join, cells)) + "\n"
    content = bytearray(text.encode("utf-16" if kind == 3 else "utf-8"))
    at = rng.randrange(len(content))
    if kind == 4:
        content[at] = rng.randrange(256)
    elif kind == 5:
        content[at : at + rng.randrange(30)] = rng.choice(
            [b'"', b"\r", b"\n", b"\0", b";", b"", "\u2028".encode()]
        )
    return bytes(content)


def outcome(call):
    """ok, or clear: one line that names the file."""
    try:
        call()
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
        assert "\n" not in message and len(message) < 500
        assert "train" in message, message
        return "clear"
    return "ok"


def test_no_mutated_file_ends_in_an_error_of_a_library(folder):
    logging.disable(logging.CRITICAL)
    found = Counter()
    path = folder / "train.csv"
    for seed in range(80):
        path.write_bytes(mutated(random.Random(seed)))

        def read(csv=path):
            list(make_dataset(str(csv), str(folder), Words(), 16000))

        def check(allow, csv=folder / f"csv{seed}"):
            prepare_own(
                str(folder), str(csv), ["train"], "wrd", allow, workers=1
            )
            read(csv / "train.csv")

        found[outcome(read)] += 1
        found[outcome(lambda: check(False))] += 1
        found["allowed", outcome(lambda: check(True))] += 1
    logging.disable(logging.NOTSET)
    assert found["ok"] > 10 and found["clear"] > 80
    assert found["allowed", "ok"] > 20


def test_rows_of_a_file_that_was_read_have_their_types(prepare, folder):
    prepare(ROW.format(0))
    found = read_rows(folder / "csv/train.csv", str(folder), "wrd")
    item = found.items["u0"]
    assert (item["duration"], item["start"], item["stop"]) == (1.0, 0, 16000)
    assert item["wav"] == f"{folder}/a.wav"
