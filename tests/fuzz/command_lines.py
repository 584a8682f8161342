"""The shell: transcribe, classify, calibrate, export, and their words."""

import json
import os
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import soundfile

from dld_brain.cli import main as dld
from tests.fuzz.audio import (
    GOLDEN as ORIGINAL,
    RATE,
    encoded,
    speech,
)
from tests.fuzz.console import ERROR, call, follow
from tests.fuzz.harness import N_CHARACTERS, Case, Wrong

#: What is asked for a budget measures, and writes what it has measured.
_FOLDER = tempfile.TemporaryDirectory()
GOLDEN = Path(shutil.copytree(ORIGINAL, Path(_FOLDER.name, "golden")))

Words = Callable[[Path], Sequence[str]]
#: What errors of libraries have, where they cannot be told by who raised them.
LIBRARY = re.compile(
    r"^\[Errno|object|invalid literal|codec|NoneType|HF|Repo id"
)


def case(
    name: str,
    words: Words,
    must: str = "",
    names: tuple[str, ...] = (),
    encoding: str = "utf-8",
    is_local: bool = True,
) -> Case:
    """A case of one command line, in a folder with a file a.wav."""

    def prepare(folder: Path, rng: random.Random) -> Callable[[], Any]:
        soundfile.write(folder / "a.wav", speech(0.5), RATE)
        given = words(folder)
        return lambda: follow(dld, given, encoding)

    return Case(name, prepare, names, must, is_local)


def transcribe(folder: Path, *more: str, source: Any = GOLDEN) -> list[str]:
    """The words that transcribe a.wav."""
    return ["transcribe", "--source", str(source), *more, str(folder / "a.wav")]


def depths(seed: int) -> Iterator[Case]:
    """Options of depth and budget."""
    for flags, must in (
        ("", "ok"), ("--n_layers=1", "ok"), ("--n_layers=3", "ok"), ("--n_layers=0", "clear"), ("--n_layers=4", "clear"),
        ("--n_layers=-1", "clear"), ("--n_layers=1.5", "clear"), ("--n_layers=two", "clear"), ("--n_layers=", "clear"), ("--n_layers=1e0", "clear"),
        ("--n_layers=" + "9" * 30, "clear"), ("--n_layers=" + "9" * 300, "clear"), ("--n_layers=٢", ""), ("--n_layers=0x2", "clear"), ("--n_layers=nan", "clear"), ("--n_layers=1,2", "clear"),
        ("--max_rtf=0", "clear"), ("--max_rtf=-1", "clear"), ("--max_rtf=nan", "clear"), ("--max_rtf=inf", ""), ("--max_rtf=fast", "clear"), ("--max_rtf=0.1 --n_layers=2", "clear"),
        ("--max_latency=0", "clear"), ("--max_latency=-1", "clear"), ("--max_latency=nan", "clear"), ("--max_rtf=1 --max_latency=1", ""), ("--best_effort", "clear"), ("--best_effort=1", "clear"),
        ("--max_entropy=1", "ok"), ("--max_entropy=-1", "clear"), ("--max_entropy=nan", "clear"), ("--max_entropy=inf", ""), ("--max_entropy=1 --n_layers=9", "clear"), ("--max_entropy=1 --max_rtf=1", "clear"),
        ("--open_threshold=0.5", "clear"), ("--open_threshold=1", "clear"), ("--open_threshold=nan", "clear"), ("--open_threshold=0.5 --max_entropy=1", "clear"), ("--open_threshold=0.5 --n_layers=1", "clear"),
        ("--json", "ok"), ("--json --n_layers=9", "clear"), ("--jsonn", "clear"), ("--n_layer=1", ""), ("--verbose", "clear"), ("-x", "clear"), ("--", "ok"), ("--help", "ok"),
    ):  # fmt: skip
        label = flags if len(flags) < 40 else f"{flags[:14]}... ({len(flags)})"
        names = (
            "n_layers|rtf|latency|budget|best|entropy|threshold|depth|router|arguments|unrecog",
        )
        yield case(
            f"transcribe {label}",
            lambda f, g=flags: transcribe(f, *g.split()),
            must,
            names,
        )


def devices(seed: int) -> Iterator[Case]:
    """Devices that are there, and not."""
    for device, must in (
        ("cpu", "ok"), ("auto", "ok"), ("gpu0", "clear"), ("gpu", "clear"), ("cuda:99", "clear"), ("cuda:-1", "clear"), ("cuda:" + "9" * 30, "clear"), ("cuda:x", "clear"),
        ("CPU", ""), ("", "clear"), ("cpu:7", "clear"), ("meta", "clear"), ("mps", ""), ("mps:3", ""), ("xpu", ""), ("xpu:0", ""), ("vulkan", "clear"), ("npu", "clear"), ("cpu ", ""), ("cuda:0:0", "clear"),
        ("cpu\n", "clear"), ("\0", "clear"), ("٣", "clear"), ("cuda:٣", "clear"),
    ):  # fmt: skip
        for word in ("transcribe", "calibrate"):
            if word == "calibrate" and must != "clear":
                continue
            yield case(
                f"{word} --device {device[:12]!r}",
                lambda f, d=device, w=word: [
                    w,
                    "--source",
                    str(GOLDEN),
                    f"--device={d}",
                    *[str(f / "a.wav")] * (w != "calibrate"),
                ],
                must,
                ("device|argument",),
            )


def sources(seed: int) -> Iterator[Case]:
    """Where a model is said to be."""

    def copied(folder: Path, name: str = "m") -> Path:
        """A copy of the model."""
        return Path(shutil.copytree(GOLDEN, folder / name))

    for name, source, must in (
        ("a file", lambda f: f / "a.wav", "clear"), ("a file of the model", lambda f: GOLDEN / "hyperparams.yaml", "clear"),
        ("an empty folder", lambda f: f, "clear"), ("nothing", lambda f: f / "none", "clear"), ("./x", lambda f: "./x", "clear"), ("./x/y", lambda f: "./x/y", "clear"),
        ("../x", lambda f: "../x", "clear"), ("a/b/c", lambda f: "a/b/c", "clear"), ("~/x", lambda f: "~/x/y", "clear"), ("an existing parent", lambda f: "tests/pretrained", "clear"),
        ("a name", lambda f: "conformer", "clear"), ("no name", lambda f: "", "clear"), ("a space", lambda f: " ", "clear"), ("a NUL", lambda f: "a\0b", "clear"), ("long", lambda f: "x" * 300, "clear"),
        ("a slash behind", lambda f: f"{GOLDEN}/", "ok"), ("a home folder", lambda f: "~nobody_at_all/x", "clear"), ("a wildcard", lambda f: f"{GOLDEN}*", "clear"),
        ("a name with spaces", lambda f: copied(f, "m o d"), "ok"), ("a name of its own", lambda f: copied(f, "ä#日"), "ok"), ("a name that is no UTF-8", lambda f: copied(f, "\udcff"), ""), ("a line end", lambda f: copied(f, "a\nb"), "ok"),
        ("a drive", lambda f: "C:\\model", "clear"), ("owner/", lambda f: "owner/", "clear"), ("/owner/name", lambda f: "/owner/name", "clear"), ("a link to nothing", lambda f: link(f), "clear"),
    ):  # fmt: skip
        yield case(
            f"source: {name}",
            lambda f, s=source: transcribe(f, source=s(f)),
            must,
            ("source|folder|model|manifest|must hold",),
        )
    for name, source in (
        ("owner/name", "owner/name"), ("a URL", "https://a.org/model"), ("hub:", "hub:owner/name"), ("student/pretrained", "student/pretrained"),
        ("file://", f"file://{GOLDEN}"), ("ftp://", "ftp://a.org/m"), ("a URL of words", "http://"), ("s3://", "s3://bucket/m"), ("a revision", "owner/name@main"),
    ):  # fmt: skip
        yield case(
            f"source: {name}, no network",
            lambda f, s=source: transcribe(f, source=s),
            "" if name == "file://" else "clear",
            ("network|hub|connect|reach|folder|fetch|source",),
            is_local=False,
        )


def link(folder: Path) -> Path:
    """A link to nothing."""
    (folder / "m").symlink_to("none")
    return folder / "m"


def answered(
    words: Sequence[str], n_bad: tuple[int, ...] = (1,), encoding: str = "utf-8"
) -> None:
    """Looks whether each file was answered, in a line.

    Arguments
    ---------
    words : sequence of str
        The files, behind what is to be done with them.
    n_bad : tuple of int
        How many of them may fail.
    """
    n_files = len(words) - 3 - ("--json" in words)
    status, out, err = call(dld, words, encoding)
    lines = [line for line in re.split("[\r\n]+", out) if line]
    found = ERROR.findall(err.text())
    if "--json" in words:
        said = [json.loads(line) for line in lines]
        found = [each["error"] for each in said if "error" in each]
        lines = [each["text"] for each in said if "text" in each]
    is_whole = len(lines) + len(found) == n_files and len(found) in n_bad
    if not is_whole or status != int(bool(found)):
        raise Wrong(
            f"status {status}, {len(lines)} answers and {len(found)} errors "
            f"to {n_files} files: {out[-200:]} {err.text()[-200:]}"
        )
    for line in found:
        if LIBRARY.search(line) or not 0 < len(line) < N_CHARACTERS:
            raise Wrong(f"an error of a library: {line[:300]}")


def among(
    folder: Path, make: Callable[[Path], Any], name: str = "b.wav"
) -> list[str]:
    """Words that transcribe a good file, another, and the good one again."""
    good, other = folder / "a.wav", folder / name
    soundfile.write(good, speech(0.5), RATE)
    make(other)
    return [
        "transcribe",
        "--source",
        str(GOLDEN),
        *map(str, (good, other, good)),
    ]


def named(
    name: str, encoding: str, more: Sequence[str] = ()
) -> Callable[[Path, random.Random], Callable[[], Any]]:
    """Prepares a file of a name, and one that is not there."""

    def make(path: Path) -> None:
        shutil.copy(path.parent / "a.wav", path)

    def prepare(folder: Path, rng: random.Random) -> Callable[[], Any]:
        words = [*among(folder, make, name), str(folder / f"none {name}")]
        words[3:3] = more
        # No name for soundfile is one that is not UTF-8.
        n_bad = (1, 2) if "\udcff" in name else (1,)
        return lambda: answered(words, n_bad, encoding)

    return prepare


def names(seed: int) -> Iterator[Case]:
    """Names that a console cannot say, or that are more than a line."""
    odd = (
        "ä.wav", "日本語.wav", "😀.wav", "\udcff\udcfe.wav", "a b.wav", "a\tb.wav",
        "a\nb.wav", "\x1b[31m.wav", "\u202ea.wav", "%s.wav", "$HOME.wav", "{}.wav",
        "'.wav", "-x.wav", "a\rb.wav", "\u2028.wav", "\x85.wav",
    )  # fmt: skip
    for name in odd:
        for encoding in ("utf-8", "ascii", "latin-1", "cp1252"):
            yield Case(f"file {name!r} on {encoding}", named(name, encoding))
        yield Case(f"file {name!r} as JSON", named(name, "ascii", ["--json"]))


def files(seed: int) -> Iterator[Case]:
    """Files that fail between two that do not."""
    x = speech()
    for name, make in {
        "missing": lambda p: None,
        "a folder": Path.mkdir,
        "empty": Path.touch,
        "text": lambda p: p.write_text("x"),
        "cut": lambda p: p.write_bytes(encoded("flac")[:5000]),
        "a pipe": os.mkfifo,
        "a sample": lambda p: soundfile.write(p, x[:1], RATE),
        "nan": lambda p: soundfile.write(p, x * float("nan"), RATE, "FLOAT"),
        "of 384001 Hz": lambda p: soundfile.write(p, x, 384001),
    }.items():

        def prepare(
            folder: Path, rng: random.Random, make: Any = make
        ) -> Callable[[], Any]:
            words = among(folder, make)
            return lambda: answered(words)

        yield Case(f"between two files: {name}", prepare)
    for path in (
        "x/y/z.wav", "hub:a/b/c.wav", "https://a.org/a.wav", "file:///etc/passwd",
        "", "~", "/dev/null", "-", "s3://a/b.wav", "a\0b",
    ):  # fmt: skip

        def elsewhere(
            folder: Path, rng: random.Random, path: str = path
        ) -> Callable[[], Any]:
            words = among(folder, lambda p: None)
            words[-2] = path
            return lambda: answered(words)

        is_local = "hub:" not in path and "://" not in path
        yield Case(f"between two files: {path!r}", elsewhere, is_local=is_local)


def words(seed: int) -> Iterator[Case]:
    """Words that there are not; exports that cannot be."""
    source, out = str(GOLDEN), "out"

    def calibrate(*options: str) -> Words:
        """Calibrates a copy: what is found is written into the folder."""
        return lambda f: [
            "calibrate",
            f"--source={shutil.copytree(GOLDEN, f / 'm')}",
            *options,
        ]

    for name, line, must in (
        ("no word", lambda f: [], ""), ("--help", lambda f: ["--help"], "ok"), ("--version", lambda f: ["--version"], "ok"), ("an unknown word", lambda f: ["transcrib"], "clear"),
        ("an empty word", lambda f: [""], ""), ("a NUL", lambda f: ["\0"], "clear"), ("a line end", lambda f: ["a\nb"], "clear"), ("a long word", lambda f: ["x" * 300], "clear"), ("no UTF-8", lambda f: ["\udcff"], "clear"),
        ("no source", lambda f: ["transcribe", "a.wav"], "clear"), ("no files", lambda f: ["transcribe", "--source", source], "clear"), ("a word alone", lambda f: ["transcribe"], "clear"),
        ("classify a transcriber", lambda f: ["classify", "--source", source, "a.wav"], "clear"), ("calibrate, seconds 0", calibrate("--seconds=0"), "clear"),
        ("calibrate, seconds nan", calibrate("--seconds=nan"), "clear"), ("calibrate, seconds -1", calibrate("--seconds=-1"), "clear"),
        ("calibrate, seconds inf", calibrate("--seconds=inf"), "clear"), ("calibrate, seconds 1e12", calibrate("--seconds=1e12"), "clear"),
        ("calibrate, threads 0", calibrate("--threads=0", "--seconds=0.1"), "clear"), ("calibrate, threads -1", calibrate("--threads=-1", "--seconds=0.1"), "clear"),
        ("calibrate, threads 10^9", calibrate("--threads=1000000000", "--seconds=0.1"), ""),
        ("export alone", lambda f: ["export"], "clear"), ("export, no output", lambda f: ["export", "submodel", "--source", source, "--n_layers=2"], "clear"),
        ("export, output there", lambda f: ["export", "submodel", "--source", source, "--n_layers=2", f"--output={f}"], "clear"), ("export, below a file", lambda f: ["export", "submodel", "--source", source, "--n_layers=2", f"--output={f}/a.wav/x"], "clear"),
        ("export, depth 9", lambda f: ["export", "submodel", "--source", source, "--n_layers=9", f"--output={f}/{out}"], "clear"), ("export, depth x", lambda f: ["export", "onnx", "--source", source, "--n_layers", "x", f"--output={f}/{out}"], "clear"),
        ("export, no source", lambda f: ["export", "submodel", "--source", f"{f}/none", "--n_layers=2", f"--output={f}/{out}"], "clear"), ("export, owner/name", lambda f: ["export", "submodel", "--source", "owner/name", "--n_layers=2", f"--output={f}/{out}"], "clear"),
        ("export, files that are none", lambda f: ["export", "submodel", "--source", source, "--n_layers=2", f"--output={f}/{out}", "--files", "none.wav"], "clear"), ("export, a NUL", lambda f: ["export", "submodel", "--source", source, "--n_layers=2", f"--output={f}/a\0b"], "clear"),
        ("export, no name", lambda f: ["export", "submodel", "--source", source, "--n_layers=2", "--output="], "clear"), ("export into the model", lambda f: ["export", "submodel", "--source", str(shutil.copytree(GOLDEN, f / "m")), "--n_layers=2", f"--output={f}/m/out"], ""),
        ("train alone", lambda f: ["train"], ""), ("train, no such file", lambda f: ["train", "no_such"], "clear"), ("train, help of none", lambda f: ["train", "no_such", "--help"], "clear"), ("train, a word", lambda f: ["train", "conformer_teacher", "x"], "clear"),
        ("paper alone", lambda f: ["paper"], "clear"), ("paper, no runs", lambda f: ["paper", "table1", "--runs", f"{f}/none"], "clear"), ("paper, a file", lambda f: ["paper", "table1", "--runs", f"{f}/a.wav"], "clear"), ("paper, no such table", lambda f: ["paper", "table99", "--runs", str(f)], "clear"),
    ):  # fmt: skip
        yield case(f"dld: {name}", line, must)


def cases(seed: int) -> list[Case]:
    """All of them."""
    kinds = (depths, devices, sources, names, files, words)
    return [each for kind in kinds for each in kind(seed)]
