"""The rest of a model folder: tokenizer, manifest, training.json."""

import io
import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceTrainer

from tests.fuzz.harness import Case
from tests.fuzz.model_folders import MANIFEST, consistent, of

TOKENIZER, TRAINING = "tokenizer.model", "training.json"


def write(file: str, data: bytes, path: Path, rng: random.Random) -> None:
    """Writes a file."""
    (path / file).write_bytes(data)


def tokenizer(texts: list[str], size: int, **options: Any) -> bytes:
    """A tokenizer of some texts."""
    proto = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=proto,
        vocab_size=size,
        model_type="char",
        minloglevel=2,
        **options,
    )
    return proto.getvalue()


def tokenizers(seed: int) -> Iterator[Case]:
    """Other tokenizers, with a manifest that fits."""
    for name, data in {
        "of another size": tokenizer(["ABCDEFG HIJ"], 9),
        "empty": b"",
        "no model": b"tokens: 13",
        "random": random.Random(seed).randbytes(167),
        "a long field": b"\x0a\xff\xff\xff\xff\x7f",
    }.items():
        yield consistent(
            f"{TOKENIZER}: {name}", partial(write, TOKENIZER, data), "clear"
        )
    yield of(
        f"{TOKENIZER}: of another corpus",
        partial(write, TOKENIZER, tokenizer(["ABCDEFGH IJ"], 13)),
        "clear",
    )


def manifests(seed: int) -> Iterator[Case]:
    """manifest.json itself."""

    def entry(files: dict[str, Any]) -> dict[str, Any]:
        """The entry of the tokenizer."""
        return files[TOKENIZER]

    changes: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
        "version 2": lambda m, f: m.update(version=2),
        "no version": lambda m, f: m.pop("version"),
        "another format": lambda m, f: m.update(format="x\ny"),
        "no files": lambda m, f: f.clear(),
        "files a list": lambda m, f: m.update(files=list(f)),
        "files null": lambda m, f: m.update(files=None),
        "no tokenizer": lambda m, f: f.pop(TOKENIZER),
        "no size": lambda m, f: entry(f).pop("size"),
        "no hash": lambda m, f: entry(f).pop("sha256"),
        "a size of nan": lambda m, f: entry(f).update(size=float("nan")),
        "a size in words": lambda m, f: entry(f).update(size="much"),
        "an infinite size": lambda m, f: entry(f).update(size=float("inf")),
        "a negative size": lambda m, f: entry(f).update(size=-1),
        "a short hash": lambda m, f: entry(f).update(sha256="ab"),
        "a hash of nothing": lambda m, f: entry(f).update(sha256=None),
        "capitals": lambda m, f: entry(f).update(sha256="A" * 64),
        "a file above": lambda m, f: f.update({"../x": entry(f)}),
        "an absolute file": lambda m, f: f.update({"/etc/passwd": entry(f)}),
        "a file of folders": lambda m, f: f.update({"a/b": entry(f)}),
        "itself": lambda m, f: f.update({MANIFEST: entry(f)}),
        "a name with a line end": lambda m, f: f.update({"a\nb": entry(f)}),
        "a name with a NUL": lambda m, f: f.update({"a\0b": entry(f)}),
        "a name without end": lambda m, f: f.update({"a" * 10**5: entry(f)}),
        "no name": lambda m, f: f.update({"": entry(f)}),
        "a file that is not there": lambda m, f: f.update({"x.bin": entry(f)}),
        "a million files": lambda m, f: f.update(
            {f"x{i}.bin": entry(f) for i in range(10**5)}
        ),
    }
    for name, change in changes.items():
        yield of(f"manifest: {name}", partial(change_manifest, change), "clear")
    for name, data in {
        "a list": b"[]",
        "nested": b"[" * 10**5,
        "a long number": b'{"version": ' + b"9" * 5000 + b"}",
        "UTF-16": '{"version": 1}'.encode("utf-16"),
        "20 MB": b" " * 20_000_000,
    }.items():
        yield of(f"manifest: {name}", partial(write, MANIFEST, data), "clear")


def change_manifest(change: Any, path: Path, rng: random.Random) -> None:
    """Changes what a manifest says."""
    content = json.loads((path / MANIFEST).read_text())
    change(content, content["files"])
    (path / MANIFEST).write_text(json.dumps(content))


def trainings(seed: int) -> Iterator[Case]:
    """training.json, with a manifest that fits: inference has no need of it."""
    for name, data in {
        "not JSON": b"{",
        "a list": b"[]",
        "null": b"null",
        "report a number": b'{"report": 3, "text": 5}',
        "a length in words": b'{"longest_seconds": "long", "length": "x"}',
    }.items():
        yield consistent(
            f"{TRAINING}: {name}",
            partial(write, TRAINING, data),
            "",
            "training",
        )
