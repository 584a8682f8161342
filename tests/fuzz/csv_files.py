"""CSV files of one's own: what a training does with mutated ones."""

import copy
import csv
import gzip
import io
import itertools
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import speechbrain.utils.logger
from dld_brain.run.command_line import parse
from dld_brain.run.main import prepare
from dld_brain.run.run import Run
from tests.fuzz.audio import GOLDEN, RATE, speech
from tests.fuzz.harness import Case

HEAD = ("ID", "duration", "wav", "spk_id", "wrd")
TEXTS = ("NINE ONE", "STOP SIX", "YES", "NINE SIX")
#: Where a message says that something is.
PLACE = ("train", r"line|column|row|\bu\d|ID|\butterance|header")
OPTIONS = (
    "--corpus=",
    "--train_splits=train",
    "--valid_splits=dev",
    "--test_splits=test",
    "--search_splits=",
    f"--init_from={GOLDEN}",
    "--n_total=3",
    "--d_model=16",
    "--d_ffn=32",
    "--n_heads=2",
    "--n_mels=20",
    "--kernel_size=7",
    "--vocab_size=13",
    "--closed=affine",
    "--per_depth=norm",
    "--number_of_epochs=1",
    "--num_workers=0",
    "--batch_size=4",
    "--device=cpu",
    "--noprogressbar",
)
# SpeechBrain asks pip for a list of packages at each start: half of the time.
speechbrain.utils.logger.get_environment_description = lambda: ""
Table = list[list[Any]]
#: What tells the audio of a case from that of others.
NUMBERS = itertools.count()


def table(folder: Path) -> Table:
    """Four utterances, whose audio is in the folder."""
    rows: Table = [list(HEAD)]
    for i, text in enumerate(TEXTS):
        path = folder / f"a{i}_{next(NUMBERS)}.wav"  # headers are kept by path
        soundfile.write(path, speech(0.5 + 0.1 * i), RATE)
        rows.append([f"u{i}", 0.5 + 0.1 * i, str(path), "s", text])
    return rows


def written(rows: Table, **options: Any) -> bytes:
    """A table as a CSV file."""
    text = io.StringIO()
    csv.writer(text, **options).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


@cache
def new_run(folder: Path) -> Run:
    """A run that was not prepared: cases share what reading settings takes."""
    return Run(*parse(command(folder)))


def command(folder: Path) -> list[str]:
    """The command line of a training on the files of a folder."""
    options = [f"--data_folder={folder}", f"--output_folder={folder}/run"]
    return ["hparams/conformer_teacher.yaml", *OPTIONS, *options]


def train(folder: Path, *more: str) -> None:
    """Trains for an epoch."""
    if more:
        prepare([*command(folder), *more]).fit()
    else:
        copy.deepcopy(new_run(folder)).prepare().fit()


def of_bytes(
    name: str,
    change: Callable[[Table], bytes],
    must: str = "",
    names: tuple[str, ...] = PLACE,
    more: tuple[str, ...] = (),
) -> Case:
    """A case of a training file whose bytes are made of the table."""

    def prepared(folder: Path, rng: random.Random) -> Callable[[], Any]:
        for split in ("dev", "test"):
            (folder / f"{split}.csv").write_bytes(written(table(folder)))
        (folder / "train.csv").write_bytes(change(table(folder)))
        new_run(folder)
        return lambda: train(folder, *more)

    return Case(name, prepared, names, must)


def of_rows(
    name: str,
    change: Callable[[Table], Any],
    must: str = "",
    names: tuple[str, ...] = PLACE,
    more: tuple[str, ...] = (),
) -> Case:
    """A case of a table that was changed in place."""

    def changed(rows: Table) -> bytes:
        change(rows)
        return written(rows)

    return of_bytes(name, changed, must, names, more)


def set_cell(column: str, value: Any, line: int = 2) -> Callable[[Table], None]:
    """Sets a cell of a table."""

    def change(rows: Table) -> None:
        rows[line][HEAD.index(column)] = value

    return change


def columns(seed: int) -> Iterator[Case]:
    """Columns that are missing, more, elsewhere, or have other names."""
    yield of_rows("as it is", lambda t: None, "ok")
    for i, column in enumerate(HEAD):
        must = "clear" if column in ("ID", "duration", "wav", "wrd") else ""
        names = ("train", column)
        yield of_rows(
            f"no {column}", lambda t, i=i: [r.pop(i) for r in t], must, names
        )
        yield of_rows(
            f"{column} twice",
            lambda t, i=i: [r.append(r[i]) for r in t],
            "",
            names,
        )
        yield of_rows(
            f"{column.swapcase()} for {column}",
            lambda t, i=i, c=column: t[0].__setitem__(i, c.swapcase()),
            "",
            names,
        )
        yield of_rows(
            f"a space before {column}",
            lambda t, i=i, c=column: t[0].__setitem__(i, f" {c}"),
            "",
            names,
        )
    yield of_rows("reversed", lambda t: [r.reverse() for r in t], "ok")
    yield of_rows("a column more", lambda t: [r.append(7) for r in t], "")
    yield of_rows(
        "a column without name", lambda t: [r.append("") for r in t], ""
    )
    yield of_rows("no header", lambda t: t.pop(0), "clear", ("train",))
    yield of_rows(
        "a header alone",
        lambda t: t.__delitem__(slice(1, None)),
        "clear",
        ("train",),
    )
    yield of_rows("two headers", lambda t: t.insert(1, t[0]), "clear")
    yield of_rows("a header at the end", lambda t: t.append(t[0]), "clear")
    yield of_rows("a short row", lambda t: t[2].pop(), "clear")
    yield of_rows(
        "a very short row", lambda t: t[2].__delitem__(slice(1, None)), "clear"
    )
    yield of_rows("a long row", lambda t: t[2].append("x"), "clear")
    yield of_rows("an empty row", lambda t: t.insert(2, []))
    yield of_rows("a row of spaces", lambda t: t.insert(2, [" "]))
    yield of_rows(
        "an index of pandas",
        lambda t: [r.insert(0, i - 1 if i else "") for i, r in enumerate(t)],
    )
    yield of_rows("10000 columns", lambda t: [r.extend("x" * 9999) for r in t])


def cells(seed: int) -> Iterator[Case]:
    """Values of cells."""
    durations = (
        ("0.6", "ok"), ("", "clear"), ("0", "clear"), ("-1", "clear"),
        ("0,6", "clear"), ("0.6 s", "clear"), ("abc", "clear"), ("nan", "clear"),
        ("inf", "clear"), ("1e309", "clear"), ("1e-1", "clear"), ("600", "clear"),
        ("60", "clear"), ("00:00:01", "clear"), ("0x1", "clear"), ("1_0", "clear"),
        ("٠.٦", ""), (" 0.6 ", ""), ("0.61", ""), ("9" * 400, "clear"), ("None", "clear"),
    )  # fmt: skip
    for value, must in durations:
        yield of_rows(
            f"duration {value[:20]!r}", set_cell("duration", value), must
        )
    for value in ("", "nowhere.wav", "/", "/etc/passwd", "a\0b", "x" * 5000,
                  "$data_root/none.wav", "$nothing/a.wav", "~/none.wav", "$", "http://a.org/a.wav",
                  "hub:a/b/c.wav", "a/b/c.wav", "C:\\a.wav", "/dev/zero", "${HOME}/a.wav", "$data_root"):  # fmt: skip
        yield of_rows(f"wav {value[:20]!r}", set_cell("wav", value), "clear")
    for root, must in (("$data_root", "ok"), ("${data_root}", "")):

        def below(rows: Table, root: str = root) -> None:
            rows[2][2] = f"{root}/{Path(rows[2][2]).name}"

        yield of_rows(f"wav in {root}", below, must)
    for value, must in (
        ("$5 ONE", ""), ("$data_root", ""), ("ONE $", ""), ("${x}", ""), ("$$", ""),
        ("", "clear"), (" ", "clear"), ("nine one", ""), ("ÄÖÜ", ""), ("今天", ""), ("\u200b", ""),
        ("NINE\u2028ONE", ""), ("NINE\x0bONE", ""), ("NINE\x85ONE", ""), ("NINE\tONE", ""), ("NINE\nONE", ""),
        ("NINE\rONE", ""), ("NINE\0ONE", ""), ('"NINE"', ""), ("N" * 300, ""), ("NO " * 99999, ""), ("\udcff", ""),
        ("\U0001f600", ""), ("NINE, ONE", ""), ("'; DROP", ""), ("{x}", ""), ("%s", ""), ("!ref <x>", ""),
    ):  # fmt: skip
        yield of_rows(f"text {value[:20]!r}", set_cell("wrd", value), must)
    yield of_rows(
        "all texts in lower case",
        lambda t: [r.__setitem__(4, r[4].lower()) for r in t[1:]],
        "clear",
        ("spell|letter|charact|vocabul|token",),
    )
    for value, must in (
        ("u0", "clear"), ("", "clear"), (" ", ""), ("a/b", ""), ("a\nb", ""), ("../x", ""), ("ü", ""), ("0", ""), ("x" * 5000, ""), ("u1 ", ""), ("$id", ""), ("None", ""), ("a,b", ""), ("\0", ""),
    ):  # fmt: skip
        yield of_rows(f"ID {value[:20]!r}", set_cell("ID", value), must)
    for value in ("", "$x", "\n", "ü" * 999):
        yield of_rows(f"speaker {value[:20]!r}", set_cell("spk_id", value))


def segments(seed: int) -> Iterator[Case]:
    """Columns start and stop, of samples."""

    def of(start: Any, stop: Any, must: str) -> Case:
        def change(rows: Table) -> None:
            rows[0] += ["start", "stop"]
            for row in rows[1:]:
                row[1] = 0.25
                row += [0, 4000]
            rows[2][5:] = [start, stop]

        return of_rows(f"segment {start!r} to {stop!r}", change, must)

    for start, stop, must in (
        (0, 4000, "ok"), ("0.0", "4000.0", "ok"), ("", "4000", "clear"), ("0", "", ""), ("", "", ""),
        (4000, 0, "clear"), (4000, 4000, "clear"), (-1, 4000, "clear"), (0, 10**9, "clear"),
        (10**9, 10**9 + 4000, "clear"), ("a", 4000, "clear"), ("0.5", "4000.5", "clear"), ("nan", "nan", "clear"),
        ("0", "inf", "clear"), ("0", 10**30, "clear"), ("1,5", "2,5", "clear"), ("0", "40", "clear"), (5600, 9600, ""),
        ("0", "-1", "clear"), ("None", "None", "clear"), ("0x0", "0x1000", "clear"), ("1e3", "5e3", ""),
    ):  # fmt: skip
        yield of(start, stop, must)
    yield of_rows(
        "start alone",
        lambda t: [r.append("0" if r[0] != "ID" else "start") for r in t],
        "",
        ("train", "stop"),
    )
    yield of_rows(
        "stop alone",
        lambda t: [r.append("8000" if r[0] != "ID" else "stop") for r in t],
        "",
        ("train", "start"),
    )


def encodings(seed: int) -> Iterator[Case]:
    """Separators, quotes, ends of lines, bytes."""
    for name, options, must in (
        ("semicolons", {"delimiter": ";"}, "ok"),
        ("tabs", {"delimiter": "\t"}, "ok"),
        ("bars", {"delimiter": "|"}, ""),
        ("LF", {"lineterminator": "\n"}, "ok"),
        ("CR", {"lineterminator": "\r"}, ""),
        ("two ends a line", {"lineterminator": "\n\n"}, ""),
        ("all quoted", {"quoting": csv.QUOTE_ALL}, "ok"),
        ("single quotes", {"quoting": csv.QUOTE_ALL, "quotechar": "'"}, ""),
    ):
        yield of_bytes(name, lambda t, o=options: written(t, **o), must)
    for name, change, must in (
        ("BOM", lambda b: b"\xef\xbb\xbf" + b, "ok"),
        ("two BOMs", lambda b: b"\xef\xbb\xbf" * 2 + b, ""),
        ("UTF-16", lambda b: b.decode().encode("utf-16"), ""),
        ("UTF-16 without BOM", lambda b: b.decode().encode("utf-16-le"), "clear"),
        ("Latin-1", lambda b: b.replace(b"YES", b"Y\xc4S"), "clear"),
        ("no last newline", lambda b: b.rstrip(), "ok"),
        ("many at the end", lambda b: b + b"\r\n" * 50, ""),
        ("some before", lambda b: b"\n\n" + b, ""),
        ("a comment before", lambda b: b"# mine\n" + b, "clear"),
        ("sep=, of Excel", lambda b: b"sep=,\r\n" + b, ""),
        ("Ctrl-Z", lambda b: b + b"\x1a", ""),
        ("a NUL", lambda b: b.replace(b"YES", b"Y\0S"), ""),
        ("a NUL at the end", lambda b: b + b"\0", ""),
        ("a quote that opens", lambda b: b.replace(b"STOP", b'"STOP'), "clear"),
        ("a quote within", lambda b: b.replace(b"STOP", b'ST"OP'), ""),
        ("a quote behind", lambda b: b.replace(b"STOP SIX", b'"STOP" SIX'), ""),
        ("cut in a row", lambda b: b[: b.index(b"STOP") - 5], "clear"),
        ("cut in the header", lambda b: b[:9], "clear"),
        ("empty", lambda b: b"", "clear"),
        ("one byte", lambda b: b"\xff", "clear"),
        ("zeros", lambda b: bytes(len(b)), "clear"),
        ("gzip", lambda b: gzip.compress(b), "clear"),
        ("a spreadsheet", lambda b: b"PK\3\4" + bytes(500), "clear"),
        ("JSON", lambda b: b'[{"ID": "u0"}]', "clear"),
        ("a cell of 1 MB", lambda b: b.replace(b"YES", b"Y" * 2**20), ""),
        ("twice", lambda b: b + b, "clear"),
        ("decomposed", lambda b: b.replace(b"YES", "A\u0308".encode()), ""),
    ):  # fmt: skip
        whole = must == "clear" and name != "Latin-1"
        place = ("train",) if whole else PLACE
        yield of_bytes(name, lambda t, c=change: c(written(t)), must, place)
    for i in range(12):

        def flipped(t: Table, i: int = i) -> bytes:
            data = bytearray(written(t))
            rng = random.Random(f"{seed}:{i}")
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            return bytes(data)

        yield of_bytes(f"a bit {i}", flipped, "", ("train",))


def sounds(seed: int) -> Iterator[Case]:
    """Audio that the file names."""
    x = speech(0.6)

    def of(
        name: str, spoil: Callable[[Path], Any], must: str = "clear"
    ) -> Case:
        def change(rows: Table) -> None:
            spoil(Path(rows[2][2]))

        return of_rows(f"audio: {name}", change, must, ("train", "u1|a1|line"))

    for name, samples in (
        ("a nan", np.where(np.arange(len(x)) == 99, np.nan, x)),
        ("infinite", np.full(len(x), np.inf)),
        ("no samples", x[:0]),
        ("ten samples", x[:10]),
        ("half as long", x[: len(x) // 2]),
    ):
        must = "clear" if np.isfinite(samples).all() else "said"
        yield of(
            name,
            lambda p, s=samples: soundfile.write(p, s, RATE, "FLOAT"),
            must,
        )
    yield of("zeros", lambda p: soundfile.write(p, 0 * x, RATE), "")
    yield of("missing", lambda p: p.unlink())
    yield of("empty", lambda p: p.write_bytes(b""))
    yield of("text", lambda p: p.write_text("NINE ONE"))
    yield of("a folder", lambda p: (p.unlink(), p.mkdir()))
    yield of("cut", lambda p: p.write_bytes(p.read_bytes()[:5000]))
    yield of("cut FLAC", lambda p: cut_flac(p, x))
    yield of("of 384001 Hz", lambda p: soundfile.write(p, x, 384001))
    yield of("of 8000 Hz", lambda p: soundfile.write(p, x[::2], 8000), "ok")


def cut_flac(path: Path, samples: np.ndarray) -> None:
    """Writes a FLAC file whose second half is missing, under any name."""
    soundfile.write(path, samples, RATE, format="FLAC")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def files(seed: int) -> Iterator[Case]:
    """Splits: which there are, and which are asked for."""
    for name, more, must, names in (
        ("no such split", ("--train_splits=trian",), "clear", "trian"),
        ("two splits", ("--train_splits=train,dev",), "", "train|ID|u0"),
        ("a split twice", ("--train_splits=train,train",), "clear", "train"),
        ("a split above", ("--train_splits=../train",), "clear", "train"),
        ("a split with suffix", ("--train_splits=train.csv",), "", "train"),
        ("no split", ("--train_splits=",), "clear", "train_splits"),
        ("all too long", ("--max_train_seconds=0.1",), "clear", "train|longer"),
        ("no such folder", ("--data_folder=/no/such",), "clear", "data_folder"),
        ("labels for words", ("--task=classification",), "clear", "intent|task|init"),
        ("a rate of its own", ("--sample_rate=8000",), "", "sample_rate"),
    ):  # fmt: skip
        yield of_rows(f"splits: {name}", lambda t: None, must, (names,), more)


def cases(seed: int) -> list[Case]:
    """All of them."""
    kinds = (columns, cells, segments, encodings, sounds, files)
    return [case for kind in kinds for case in kind(seed)]
