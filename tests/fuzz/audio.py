"""Audio: files that are broken, odd or no audio; samples in memory."""

import io
import os
import random
import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from pretrained_interfaces import DynamicEncoderASR
from tests.fuzz.harness import REPOSITORY, Case, Wrong

GOLDEN = REPOSITORY / "tests/samples/golden"
RATE = 16000
#: Container and encoding, by suffix.
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "w64": ("W64", "PCM_24"),
    "caf": ("CAF", "FLOAT"),
}
#: Beginnings of files that are no audio, or none that soundfile reads.
OTHERS = {
    "text": b"turn on the lights\n" * 40,
    "json": b'{"array": [0, 0], "sampling_rate": 16000}',
    "m4a": b"\0\0\0 ftypM4A \0\0\0\0M4A mp42isom" + bytes(4000),
    "webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01" + bytes(4000),
    "png": b"\x89PNG\r\n\x1a\n" + bytes(4000),
    "gzip": b"\x1f\x8b\x08\0" + bytes(4000),
    "zeros": bytes(8000),
    "id3 alone": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(200),
    "a pointer of git lfs": b"version https://git-lfs.github.com/spec/v1\n",
    "html": b"<!DOCTYPE html><title>404</title>" * 9,
}
#: Fields of a WAV header, by their place: what they are made to say.
FIELDS = {
    "riff size": (4, "<I", (0, 2**32 - 1)),
    "format": (20, "<H", (0, 2, 3, 6, 0x55, 0xFFFE, 65535)),
    "channels": (22, "<H", (0, 2, 3, 1000, 65535)),
    "rate": (24, "<I", (0, 1, 3999, 384001, 2**31 - 1, 2**31, 2**32 - 1)),
    "byte rate": (28, "<I", (0, 2**32 - 1)),
    "block": (32, "<H", (0, 1, 3, 65535)),
    "bits": (34, "<H", (0, 1, 7, 8, 24, 32, 64, 65535)),
    "data size": (40, "<I", (0, 1, 31999, 2**31 - 1, 2**31, 2**32 - 1)),
}
NUMBER = "audio|samples|Hz|finite|channels|rate|seconds|s\\b"


@cache
def model() -> DynamicEncoderASR:
    """The golden model."""
    return DynamicEncoderASR.from_hparams(GOLDEN)


def speech(seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    """Noise that comes and goes four times a second, [S]."""
    n = int(seconds * rate)
    noise = np.random.default_rng(0).standard_normal(n)
    return (0.1 * noise * np.sin(4 * np.pi * np.arange(n) / rate) ** 2).astype(
        "float32"
    )


def encoded(suffix: str, samples: Any = None, rate: int = RATE) -> bytes:
    """A file of a format."""
    kind, subtype = FORMATS[suffix]
    file = io.BytesIO()
    samples = speech() if samples is None else samples
    soundfile.write(file, samples, rate, subtype, format=kind)
    return file.getvalue()


def hear(audio: Any, **options: Any) -> str:
    """Transcribes, and looks at what is given back."""
    found = model().transcribe(audio, **options)
    if not 0 <= found.confidence <= 1 or not found.audio_seconds > 0:
        raise Wrong(f"confidence is {found.confidence}")
    return found.text


def silent(audio: Any, **options: Any) -> None:
    """Transcribes what holds no speech."""
    text = hear(audio, **options)
    if text:
        raise Wrong(f"no speech, but the text is {text!r}")


def of_bytes(
    name: str,
    make: Callable[[random.Random], bytes],
    must: str = "",
    file: str = "clip.wav",
) -> Case:
    """A case of a file with some bytes."""

    def prepare(folder: Path, rng: random.Random) -> Callable[[], Any]:
        path = folder / file
        path.write_bytes(make(rng))
        return lambda: hear(str(path))

    return Case(name, prepare, (f"clip|{NUMBER}",), must)


def of_samples(
    name: str, samples: Callable[[], Any], must: str = "", rate: int = RATE
) -> Case:
    """A case of a file of floats with some samples."""

    def prepare(folder: Path, rng: random.Random) -> Callable[[], Any]:
        path = folder / "clip.wav"
        soundfile.write(path, samples(), rate, "FLOAT")
        is_silent = must == "empty"
        return lambda: (silent if is_silent else hear)(str(path))

    return Case(name, prepare, (NUMBER,), "" if must == "empty" else must)


def with_bytes(content: bytes, place: int, new: bytes) -> bytes:
    """Bytes some of which are others."""
    return content[:place] + new + content[place + len(new) :]


def flipped(content: bytes, rng: random.Random, first: int, last: int) -> bytes:
    """Bytes one bit of which is another."""
    place = rng.randrange(first, min(last, len(content)))
    return with_bytes(
        content, place, bytes([content[place] ^ 1 << rng.randrange(8)])
    )


def formats(seed: int) -> Iterator[Case]:
    """Every format: whole, cut, changed, under another name."""
    for suffix in FORMATS:
        file, whole = f"clip.{suffix}", encoded(suffix)
        n = len(whole)
        yield of_bytes(suffix, lambda r, w=whole: w, "ok", file)
        for part, cut in (("a third", n // 3), ("two thirds", 2 * n // 3)):
            yield of_bytes(
                f"{suffix}, cut at {part}",
                lambda r, w=whole, c=cut: w[:c],
                "said",
                file,
            )
        for cut in (1, 12, 44, 60):
            yield of_bytes(
                f"{suffix}, {cut} bytes",
                lambda r, w=whole, c=cut: w[:c],
                "",
                file,
            )
        for i in range(4):
            yield of_bytes(
                f"{suffix}, bit of the header {i}",
                lambda r, w=whole: flipped(w, r, 0, 60),
                "",
                file,
            )
            yield of_bytes(
                f"{suffix}, bit of the body {i}",
                lambda r, w=whole: flipped(w, r, 60, len(w)),
                "",
                file,
            )
        yield of_bytes(
            f"{suffix}, a hole",
            lambda r, w=whole, n=n: with_bytes(w, n // 2, bytes(n // 4)),
            "",
            file,
        )
        yield of_bytes(
            f"{suffix}, more behind it",
            lambda r, w=whole: w + r.randbytes(999),
            "",
            file,
        )
        other = "flac" if suffix != "flac" else "mp3"
        yield of_bytes(
            f"{suffix}, called {other}",
            lambda r, w=whole: w,
            "",
            f"clip.{other}",
        )


def headers(seed: int) -> Iterator[Case]:
    """Headers that say what is not so."""
    wav, flac = encoded("wav"), encoded("flac")
    for field, (place, form, values) in FIELDS.items():
        for value in values:
            new = struct.pack(form, value)
            yield of_bytes(
                f"wav, {field} {value}",
                lambda r, p=place, n=new: with_bytes(wav, p, n),
            )
    rate = int.from_bytes(flac[18:26], "big")  # rate 20, channels 3, bits 5
    for name, new in (
        ("0 Hz", rate & (1 << 44) - 1),
        ("655350 Hz", rate | ((1 << 20) - 1) << 44),
        ("2^36 samples", rate | (1 << 36) - 1),
        ("0 samples", rate >> 36 << 36),
        ("8 channels", rate | 7 << 41),
        ("4 bits", rate & ~(31 << 36) | 3 << 36),
    ):
        yield of_bytes(
            f"flac, {name}",
            lambda r, n=new: with_bytes(flac, 18, n.to_bytes(8, "big")),
            "",
            "clip.flac",
        )
    for suffix in ("wav", "mp3", "flac", "raw", "sph", "m4a", "", "tar.gz"):
        for name, content in OTHERS.items():
            if suffix in ("wav", "raw") or name in ("text", "zeros"):
                yield of_bytes(
                    f"{name}, called clip.{suffix}",
                    lambda r, c=content: c,
                    "clear",
                    f"clip.{suffix}",
                )


def values(seed: int) -> Iterator[Case]:
    """Samples that are no speech, or no numbers."""
    x, n = speech, RATE

    def one(value: float) -> np.ndarray:
        """Speech, a sample of which is something else."""
        samples = x()
        samples[n // 2] = value
        return samples

    for value in ("nan", "inf", "-inf"):
        yield of_samples(
            f"a sample is {value}", lambda v=value: one(float(v)), "clear"
        )
    yield of_samples("all are nan", lambda: np.full(n, np.nan), "clear")
    for scale, bits in ((2**15, 16), (2**31, 32)):
        yield of_samples(
            f"scale of {bits} bits", lambda s=scale: s * x(), "said"
        )
    for peak in (1e-30, 1e-4, 3.0, 1e20, 1e38):
        yield of_samples(f"times {peak:g}", lambda p=peak: p * x())
    yield of_samples("zeros", lambda: np.zeros(n), "empty")
    yield of_samples("a constant", lambda: np.full(n, 0.5), "empty")
    yield of_samples("full scale", lambda: np.ones(n), "empty")
    yield of_samples(
        "noise of -60 dB",
        lambda: 0.001 * np.random.default_rng(1).standard_normal(n),
        "empty",
    )
    yield of_samples("a click", lambda: np.eye(1, n, 999)[0])
    yield of_samples("a square", lambda: np.sign(x()))
    yield of_samples("stereo", lambda: np.stack([x(), x()], 1), "ok")
    yield of_samples(
        "channels cancel", lambda: np.stack([x(), -x()], 1), "said"
    )
    yield of_samples(
        "a silent channel", lambda: np.stack([x(), 0 * x()], 1), "ok"
    )
    yield of_samples(
        "a channel of nan", lambda: np.stack([x(), x() * np.nan], 1), "clear"
    )
    for channels in (3, 8, 255):
        yield of_samples(
            f"{channels} channels", lambda c=channels: np.stack([x()] * c, 1)
        )
    for length in (0, 1, 10, 159, 161, 959, 960, 961):
        yield of_samples(f"{length} samples", lambda n=length: x()[:n])
    for rate in (4000, 8000, 11025, 44100, 48000, 192000, 384000):
        yield of_samples(f"{rate} Hz", lambda r=rate: x(1.0, r), "ok", rate)
    for rate in (1, 100, 3999, 384001, 1000000, 2**31 - 1):
        yield of_samples(f"{rate} Hz", lambda: x(), "clear", rate)
    yield of_samples("100 s", lambda: x(100.0))


def places(seed: int) -> Iterator[Case]:
    """Paths where there is no file, or none that one can read."""

    def of(name: str, make: Callable[[Path], Any], must: str = "clear") -> Case:
        def prepare(folder: Path, rng: random.Random) -> Callable[[], Any]:
            (folder / "there.wav").write_bytes(encoded("wav"))
            path = make(folder)
            return lambda: hear(path)

        return Case(name, prepare, ("audio|clip|path|exist|file",), must)

    def touch(path: Path, make: Callable[[Path], Any]) -> str:
        """The path of something that was made there."""
        make(path)
        return str(path)

    yield of("no such file", lambda f: str(f / "clip.wav"))
    yield of("a relative path of three parts", lambda f: "dta/test/clip.wav")
    yield of("a relative path of two parts", lambda f: "test/clip.wav")
    yield of(
        "file:// to one that is there", lambda f: f"file://{f}/there.wav", ""
    )
    yield of("file:// to none", lambda f: f"file://{f}/clip.wav")
    yield of("a folder", lambda f: str(f))
    yield of("empty", lambda f: touch(f / "clip.wav", Path.touch))
    yield of("a pipe", lambda f: touch(f / "clip.wav", os.mkfifo))
    yield of("a device", lambda f: "/dev/zero")
    yield of(
        "a link to nothing",
        lambda f: touch(f / "clip.wav", lambda p: p.symlink_to("none")),
    )
    yield of(
        "a link to itself",
        lambda f: touch(f / "clip.wav", lambda p: p.symlink_to("clip.wav")),
    )
    yield of("a NUL in it", lambda f: f"{f}/a\0clip.wav")
    yield of("too long", lambda f: f"{f}/{'a' * 300}.wav")
    yield of("below a file", lambda f: f"{f}/there.wav/clip.wav")
    yield of("no name", lambda f: "")
    yield of("a line end in it", lambda f: f"{f}/a\nclip.wav")
    yield of("no UTF-8", lambda f: f"{f}/\udcff\udcfe.wav")
    for name in ("ä ö.wav", "日本.wav", "a\nb.wav", "\udcff.wav", "#%20?.wav"):
        yield of(
            f"called {name!r}",
            lambda f, n=name: str((f / "there.wav").rename(f / n)),
            "" if "\udcff" in name else "ok",  # which soundfile cannot open
        )
    yield of("a Path", lambda f: f / "there.wav", "ok")


def objects(seed: int) -> Iterator[Case]:
    """What is no path: samples, mappings, open files, anything."""
    x = speech()
    of_rate: dict[str, Any] = {"sampling_rate": RATE}
    for name, audio, options, must in (
        ("samples", x, of_rate, "ok"),
        ("double", x.astype(float), of_rate, "ok"),
        ("half", x.astype(np.float16), of_rate, "ok"),
        ("torch", torch.from_numpy(x), of_rate, "ok"),
        ("torch half", torch.from_numpy(x).half(), of_rate, ""),
        (
            "torch, with gradient",
            torch.tensor(x, requires_grad=True),
            of_rate,
            "ok",
        ),
        (
            "torch, no memory",
            torch.empty(9000, device="meta"),
            of_rate,
            "clear",
        ),
        ("torch, sparse", torch.from_numpy(x).to_sparse(), of_rate, ""),
        ("reversed view", x[::-1], of_rate, "ok"),
        ("read-only", np.frombuffer(x.tobytes(), "float32"), of_rate, "ok"),
        ("big-endian", x.astype(">f4"), of_rate, ""),
        ("int16", (x * 32767).astype("int16"), of_rate, ""),
        ("uint16", (x * 99 + 99).astype("uint16"), of_rate, ""),
        ("int64", (x * 32767).astype("int64"), of_rate, ""),
        ("bool", x > 0, of_rate, ""),
        ("complex", x.astype(complex), of_rate, "clear"),
        ("object", x.astype(object), of_rate, ""),
        ("strings", np.array(["a"] * 9000), of_rate, "clear"),
        ("empty", x[:0], of_rate, "clear"),
        ("no dimension", np.float32(1), of_rate, "clear"),
        ("three dimensions", x.reshape(10, 40, 40), of_rate, "clear"),
        ("channels first", np.stack([x, x]), of_rate, ""),
        ("no channel", np.zeros((9000, 0), "float32"), of_rate, "clear"),
        ("masked", np.ma.array(x), of_rate, ""),
        ("a list", x.tolist(), of_rate, ""),
        ("no rate", x, {}, "clear"),
        ("rate 0", x, {"sampling_rate": 0}, "clear"),
        ("rate -1", x, {"sampling_rate": -1}, "clear"),
        ("rate 1", x, {"sampling_rate": 1}, "clear"),
        ("rate 10^9", x, {"sampling_rate": 10**9}, "clear"),
        ("rate 10^30", x, {"sampling_rate": 10**30}, "clear"),
        ("rate of NumPy", x, {"sampling_rate": np.int32(RATE)}, "ok"),
        ("rate of torch", x, {"sampling_rate": torch.tensor(RATE)}, "ok"),
        ("rate a float", x, {"sampling_rate": 16000.0}, ""),
        ("rate nan", x, {"sampling_rate": float("nan")}, "clear"),
        ("rate a word", x, {"sampling_rate": "16000"}, "clear"),
        ("rate True", x, {"sampling_rate": True}, "clear"),
        ("mapping", {"array": x, **of_rate}, {}, "ok"),
        ("mapping of none", {"array": None, **of_rate}, {}, "clear"),
        ("mapping of words", {"array": ["a"], **of_rate}, {}, "clear"),
        (
            "mapping, ragged",
            {"array": [[0.0], [0.0, 1.0]], **of_rate},
            {},
            "clear",
        ),
        ("mapping without rate", {"array": x}, {}, "clear"),
        (
            "mapping, rate none",
            {"array": x, "sampling_rate": None},
            {},
            "clear",
        ),
        ("mapping of bytes", {"bytes": b"", "path": None}, {}, "clear"),
        ("an empty mapping", {}, {}, "clear"),
        ("bytes", encoded("wav"), {}, ""),
        ("None", None, {}, "clear"),
        ("a number", 3, {}, "clear"),
        ("depth 0", x, {**of_rate, "n_layers": 0}, "clear"),
        ("depth 4", x, {**of_rate, "n_layers": 4}, "clear"),
        ("depth -1", x, {**of_rate, "n_layers": -1}, "clear"),
        ("depth 1.5", x, {**of_rate, "n_layers": 1.5}, "clear"),
        ("depth True", x, {**of_rate, "n_layers": True}, "clear"),
        ("depth '2'", x, {**of_rate, "n_layers": "2"}, "clear"),
        ("depth of NumPy", x, {**of_rate, "n_layers": np.int64(2)}, "ok"),
        ("depth of torch", x, {**of_rate, "n_layers": torch.tensor(2)}, "ok"),
        ("depth a list", x, {**of_rate, "n_layers": [2]}, "clear"),
        ("depth nan", x, {**of_rate, "depth": float("nan")}, "clear"),
    ):
        yield Case(
            f"object: {name}",
            lambda f, r, a=audio, o=options: lambda: hear(a, **o),
            (f"n_layers|depth|array|path|{NUMBER}",),
            must,
        )
    for name, make, must in (
        ("open file", lambda: io.BytesIO(encoded("flac")), "ok"),
        ("open file of trash", lambda: io.BytesIO(OTHERS["text"]), "clear"),
        ("open file, empty", lambda: io.BytesIO(), "clear"),
        ("open file, cut", lambda: io.BytesIO(encoded("wav")[:9000]), "said"),
        ("open file of text", lambda: io.StringIO("RIFF"), "clear"),
        ("closed file", closed, "clear"),
    ):
        yield Case(
            f"object: {name}",
            lambda f, r, m=make: lambda: hear(m()),
            ("file|audio",),
            must,
        )


def closed() -> io.BytesIO:
    """A file that was closed."""
    file = io.BytesIO(encoded("wav"))
    file.close()
    return file


def cases(seed: int) -> list[Case]:
    """All of them."""
    kinds = (formats, headers, values, places, objects)
    return [case for kind in kinds for case in kind(seed)]
