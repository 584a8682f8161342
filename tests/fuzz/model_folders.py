"""Model folders: changed files, and consistent ones that are odd or evil."""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Optional

import safetensors.torch
import torch

from pretrained_interfaces import DynamicEncoderASR
from tests.fuzz.audio import GOLDEN, RATE, speech
from tests.fuzz.harness import Case, Wrong

FILES = sorted(path.name for path in GOLDEN.iterdir())
YAML, TABLE, MANIFEST = "hyperparams.yaml", "depth_table.json", "manifest.json"
MODEL, NORM = "model.safetensors", "normalize.safetensors"
#: What is consistent with the manifest, and not for loading, may say of
#: itself.
ODD = "hyperparams|depth|table|model.saf|normal|tokenizer|manifest|`task`"
Change = Callable[[Path, random.Random], Any]


def load(folder: Path, expected: Optional[dict[int, str]] = None) -> None:
    """Loads a folder and asks for every depth; it must say the same.

    Raises
    ------
    Wrong
        If it says something else, changed the folder, or ran code.
    """
    before = content(folder)
    try:
        asr = DynamicEncoderASR.from_hparams(source=folder)
        found = texts(asr)
    finally:
        if content(folder) != before:
            raise Wrong("the folder was changed")
        if (folder.parent / "ran").exists():
            raise Wrong("code of the folder ran")
    if expected is not None and found != expected:
        raise Wrong(f"it says {found}, not {expected}")


def texts(asr: DynamicEncoderASR) -> dict[int, str]:
    """What a model says at each depth."""
    x = speech(0.5)
    return {
        n: asr.transcribe(x, n, sampling_rate=RATE).text for n in asr.depths
    }


def content(folder: Path) -> dict[str, Any]:
    """Names and bytes of a folder."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }


def golden() -> dict[int, str]:
    """What the golden model says."""
    return texts(DynamicEncoderASR.from_hparams(GOLDEN))


def of(
    name: str,
    change: Change,
    must: str = "",
    names: str = ODD,
    same: bool = True,
) -> Case:
    """A case of a changed copy of the golden folder."""

    def prepare(folder: Path, rng: random.Random) -> Callable[[], Any]:
        path = folder / "model"
        shutil.copytree(GOLDEN, path)
        change(path, rng)
        return lambda: load(path, golden() if same else None)

    return Case(name, prepare, (names,), must)


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(folder: Path) -> None:
    """Makes the manifest fit what is there, by no code of the project."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"] = {
        path.name: {"sha256": sha256(path), "size": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))


def consistent(
    name: str, change: Change, must: str = "", names: str = ODD
) -> Case:
    """The same, with a manifest that is of what is there."""

    def both(path: Path, rng: random.Random) -> None:
        change(path, rng)
        write_manifest(path)

    return of(name, both, must, names, same=False)


def flip(path: Path, rng: random.Random) -> None:
    """Flips a bit of a file."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def changed_files(seed: int) -> Iterator[Case]:
    """What happens to files on their way."""
    yield of("as it is", lambda p, r: None, "ok")
    for file in FILES:
        stem = file.partition(".")[0]
        names = f"{stem}|manifest|must be as it was written"

        def bit(p: Path, r: random.Random, f: str = file) -> None:
            flip(p / f, r)

        for i in range(4):
            yield of(f"{file}, bit {i}", bit, "clear", names)
        for name, change in {
            "missing": lambda f: f.unlink(),
            "empty": lambda f: f.write_bytes(b""),
            "half": lambda f: f.write_bytes(
                f.read_bytes()[: f.stat().st_size // 2]
            ),
            "a byte more": lambda f: f.write_bytes(f.read_bytes() + b"\n"),
            "all zeros": lambda f: f.write_bytes(bytes(f.stat().st_size)),
            "CRLF": lambda f: f.write_bytes(
                f.read_bytes().replace(b"\n", b"\r\n")
            ),
            "BOM": lambda f: f.write_bytes(b"\xef\xbb\xbf" + f.read_bytes()),
            "a folder": lambda f: (f.unlink(), f.mkdir()),
            "a link to itself": lambda f: (f.unlink(), f.symlink_to(f.name)),
            "a link out": lambda f: (f.unlink(), f.symlink_to(GOLDEN / f.name)),
            "a pointer of git lfs": lambda f: f.write_text(
                "version https://git-lfs"
            ),
        }.items():
            must = "" if name == "a link out" or "training" in file else "clear"
            if file == MANIFEST and name in ("a byte more", "CRLF"):
                must = ""  # the same JSON
            yield of(
                f"{file}, {name}",
                lambda p, r, f=file, c=change: c(p / f),
                must,
                names,
            )
    for a, b in ((MODEL, NORM), (YAML, TABLE), ("tokenizer.model", MODEL)):
        yield of(f"{a} and {b} swapped", partial(swap, a, b), "clear")
    for name, make in {
        "a file more": lambda p: (p / "notes.txt").write_text("x"),
        "Python more": lambda p: (p / "custom.py").write_text(
            "open('../ran', 'w')"
        ),
        "hidden files more": lambda p: (p / "._model.safetensors").write_bytes(
            b"\0\5"
        ),
        "a folder more": lambda p: (p / "checkpoint").mkdir(),
        "an unfinished one beside it": lambda p: shutil.copytree(
            p, p.with_name("model.unfinished+999999")
        ),
    }.items():
        must = "ok" if "beside" in name else ""
        yield of(name, lambda p, r, m=make: m(p), must)
    yield of(
        "nothing in it", lambda p, r: [f.unlink() for f in p.iterdir()], "clear"
    )
    yield of("of another model", other_weights, "clear")


def swap(a: str, b: str, path: Path, rng: random.Random) -> None:
    """Swaps two files."""
    first, second = (path / a).read_bytes(), (path / b).read_bytes()
    (path / a).write_bytes(second)
    (path / b).write_bytes(first)


def other_weights(path: Path, rng: random.Random) -> None:
    """Puts other weights of the same shapes into a folder."""
    state = safetensors.torch.load_file(path / MODEL)
    safetensors.torch.save_file(
        {k: v + 0.1 for k, v in state.items()}, path / MODEL
    )


EVIL = {
    "new os.system": "x: !new:os.system\n    command: touch {ran}",
    "apply os.system": "x: !apply:os.system\n    command: touch {ran}",
    "apply of eval": 'x: !apply:builtins.eval [\'open("{ran}", "w")\']',
    "name": "x: !name:os.system",
    "module": "x: !module:os",
    "python/object": "x: !!python/object/apply:os.system ['touch {ran}']",
    "python/name": "x: !!python/name:os.system",
    "include": "x: !include:/etc/passwd",
    "copy": "x: !copy <model>",
    "ref of itself": "x: !ref <x>",
    "ref of nothing": "x: !ref <nothing>",
    "ref that counts": "x: !ref <n_total> ** 999999999",
    "placeholder": "x: !PLACEHOLDER",
    "our brain": "x: !new:dld_brain.training.brain.DLDBrain",
    "a laugh": "x: &x [1, 2]\ny: &y [*x, *x, *x, *x]\nz: [*y, *y, *y, *y]",
    "a merge": "x: &x {{a: 1}}\ny:\n    <<: *x",
    "nested": "x: " + "[" * 5000 + "]" * 5000,
    "long": "x: " + "a" * 20_000_000,
    "twice a key": "n_total: 3",
    "another document": "---\nn_total: 4",
    "a directive": "%YAML 1.1",
    "a NUL": "x: \0",
    "a tab": "\tx: 1",
    "no mapping": "- x",
    "binary": "x: !!binary aGVsbG8=",
    "set": "x: !!set {{a}}",
    "an escape": 'x: "\\e[2J"',
    "a time": "x: 2026-01-01",
    "key of a list": "? [a]\n: 1",
}
#: Sizes, and what they are made to be.
SIZES = {
    "n_total": (0, -1, 2, 4, 10**9, 10**30, 3.0, '"3"', "true", "null", "[3]"),
    "d_model": (0, -1, 10**6, 15, 2**31, '"a"', 1.5),
    "d_ffn": (0, 10**12, "null"),
    "n_heads": (0, 3, -2, 10**6),
    "kernel_size": (0, 8, 10**9, -7),
    "vocab_size": (0, 12, 14, 10**10),
    "n_mels": (0, 10**7, 21),
    "n_fft": (0, 1, 10**9, -512),
    "window_ms": (0, 10**9, ".nan", -20),
    "hop_ms": (0, 1e-9, ".inf", -10),
    "sample_rate": (0, -1, 1, 10**9, 8000, ".nan"),
    "dropout": (2, -1, ".nan"),
    "stem_activation": ('"eval"', "null", '"__import__"'),
    "task": ('"classification"', '"translation"', "null"),
    "closed": ('"identity"', '"zero"', "[]"),
    "per_depth": ('"head"', "3"),
    "router": ('{"kind": "input"}', '{"kind": "none", "x": 1}', "null", '"a"'),
}
#: Of what must not load, for others answer otherwise and do no harm.
HARMLESS = (
    "dropout",
    "stem_activation",
    "sample_rate",
    "hop_ms",
    "window_ms",
    "n_fft",
)


def texts_of_yaml(seed: int) -> Iterator[Case]:
    """hyperparams.yaml, with a manifest that fits."""
    for name, line in EVIL.items():

        def add(p: Path, r: random.Random, line: str = line) -> None:
            text = line.format(ran=p.parent / "ran")
            file = p / YAML
            file.write_text(file.read_text() + "\n" + text + "\n")

        yield consistent(f"YAML: {name}", add, "clear" if "!" in line else "")
    for key, values in SIZES.items():
        for value in values:

            def set_to(
                p: Path, r: random.Random, k: str = key, v: Any = value
            ) -> None:
                file = p / YAML
                lines = file.read_text().split("\n")
                at = next(
                    i for i, x in enumerate(lines) if x.startswith(f"{k}:")
                )
                lines[at] = f"{k}: {v}"
                file.write_text("\n".join(lines))

            must = "" if key in HARMLESS else "clear"
            if value == 3.0 or "none" in str(value):
                must = ""
            yield consistent(f"YAML: {key} {value}", set_to, must)
    for name, change in {
        "empty": lambda t: b"",
        "UTF-16": lambda t: t.decode().encode("utf-16"),
        "no UTF-8": lambda t: t + b"# \xff\xfe\n",
        "BOM": lambda t: b"\xef\xbb\xbf" + t,
        "CRLF": lambda t: t.replace(b"\n", b"\r\n"),
        "no modules": lambda t: t.replace(b"modules:", b"module:"),
        "no pretrainer": lambda t: t.partition(b"pretrainer")[0],
        "no model": lambda t: t.replace(b"model: !apply", b"modell: !apply"),
        "another class": lambda t: t.replace(b"FeatureNorm", b"LogMel"),
        "an argument more": lambda t: t.replace(
            b"norm_type", b"x: 1\n    norm_type"
        ),
        "an argument less": lambda t: t.replace(
            b"    n_total: !ref <n_total>\n", b""
        ),
        "norm by sentence": lambda t: t.replace(b": global", b": sentence"),
        "a source": lambda t: t.replace(b'task: "', b'source: "a/b"\ntask: "'),
    }.items():

        def rewrite(p: Path, r: random.Random, c: Any = change) -> None:
            (p / YAML).write_bytes(c((p / YAML).read_bytes()))

        yield consistent(f"YAML: {name}", rewrite)


def tables(seed: int) -> Iterator[Case]:
    """depth_table.json, with a manifest that fits."""
    row = {"n_layers": 2, "layers": [0, 2], "params": 9}
    costs = {"macs_per_second": 1.0, "weight_bytes": 4}
    rows: dict[str, dict[str, Any]] = {
        "an extra key": {"x": 1},
        "no layers": {"layers": []},
        "a layer twice": {"layers": [0, 0]},
        "falling": {"layers": [2, 0]},
        "negative": {"layers": [-1, 2]},
        "beyond the model": {"layers": [0, 3]},
        "far beyond": {"layers": [0, 10**30]},
        "a float": {"layers": [0, 2.0]},
        "a word": {"layers": ["0", "2"]},
        "a truth": {"layers": [True, 2]},
        "a string": {"layers": "02"},
        "a mapping": {"layers": {"0": 2}},
        "null": {"layers": None},
        "one layer": {"layers": [0]},
        "nested": {"layers": [[0], [2]]},
        "depth 0": {"n_layers": 0, "layers": []},
        "depth -1": {"n_layers": -1},
        "depth 3 twice": {"n_layers": 3, "layers": [0, 1, 2]},
        "depth a word": {"n_layers": "2"},
        "depth a float": {"n_layers": 2.0},
        "params 0": {"params": 0},
        "params a word": {"params": "9"},
        "MACs nan": {"macs_per_second": float("nan")},
        "MACs infinite": {"macs_per_second": float("inf")},
        "MACs null": {"macs_per_second": None},
        "MACs a word": {"macs_per_second": "1"},
        "MACs a truth": {"macs_per_second": True},
        "MACs huge": {"macs_per_second": 10**400},
        "bytes negative": {"weight_bytes": -4},
        "loss nan": {"dev_loss": float("nan")},
        "loss a word": {"dev_loss": "low"},
        "rate a list": {"dev_rate": [1]},
        "std negative": {"dev_loss_std": -1.0},
        "a line end in a key": {"a\nb": 1},
    }
    for name, change in rows.items():
        must = "" if name in ("std negative", "MACs a truth") else "clear"
        put = partial(replace_row, {**row, **costs, **change})
        yield consistent(f"table: {name}", put, must)
    texts: dict[str, Callable[[str], str]] = {
        "no rows": lambda t: '{"model": "", "strategy": "", "rows": []}',
        "a list": lambda t: "[]",
        "a number": lambda t: "3",
        "null": lambda t: "null",
        "nested": lambda t: "[" * 100000,
        "rows null": lambda t: '{"model": "", "strategy": "", "rows": null}',
        "rows of numbers": lambda t: (
            '{"model": "", "strategy": "", "rows": [1]}'
        ),
        "rows of lists": lambda t: (
            '{"model": "", "strategy": "", "rows": [[]]}'
        ),
        "a long number": lambda t: t.replace("6445", "9" * 5000),
        "of another model": lambda t: t.replace("6b6f", "0000"),
        "model a number": lambda t: t.replace('"6b6f', '0, "x": "6b6f'),
        "not JSON": lambda t: t.replace(",", ";"),
        "20 MB": lambda t: t + " " * 20_000_000,
    }
    for name, rewrite in texts.items():

        def write(p: Path, r: random.Random, c: Any = rewrite) -> None:
            (p / TABLE).write_text(c((p / TABLE).read_text()))

        yield consistent(
            f"table file: {name}", write, "" if "MB" in name else "clear"
        )


def replace_row(row: dict[str, Any], path: Path, rng: random.Random) -> None:
    """Puts a row in the place of the second."""
    table = json.loads((path / TABLE).read_text())
    table["rows"][1] = row
    (path / TABLE).write_text(json.dumps(table))


def weights(seed: int) -> Iterator[Case]:
    """Weights and statistics, with a table and a manifest that fit."""
    changes: dict[str, Callable[[dict[str, torch.Tensor], str], Any]] = {
        "nan": lambda s, k: s[k].view(-1)[:1].fill_(float("nan")),
        "infinite": lambda s, k: s[k].view(-1)[:1].fill_(float("inf")),
        "missing": lambda s, k: s.pop(k),
        "one more": lambda s, k: s.update(extra=torch.zeros(1)),
        "of another shape": lambda s, k: s.update({k: torch.zeros(3, 5, 7)}),
        "double": lambda s, k: s.update({k: s[k].double()}),
        "whole numbers": lambda s, k: s.update({k: s[k].long()}),
        "half": lambda s, k: s.update({k: s[k].half()}),
        "truth": lambda s, k: s.update({k: s[k] > 0}),
        "complex": lambda s, k: s.update({k: s[k].to(torch.complex64)}),
        "renamed": lambda s, k: s.update({"a\nb": s.pop(k)}),
        "none": lambda s, k: s.clear(),
    }
    may = ("double", "half", "truth", "whole numbers")
    for file in (MODEL, NORM):
        for name, change in changes.items():
            must = "" if name in may else "clear"
            yield consistent(
                f"{file}: {name}", partial(change_state, file, change), must
            )
        header = {
            "a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}
        }
        for name, data in {
            "a header of 2^63": b"\xff" * 7 + b"\x7f" + b"{}",
            "a header of 0": bytes(8),
            "a header that is no JSON": (2).to_bytes(8, "little") + b"[[",
            "a tensor of 2^40": with_header(header),
            "a type of its own": with_header(
                {"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}
            ),
            "a pickle": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
            "a zip": b"PK\3\4" + bytes(400),
        }.items():
            yield consistent(
                f"{file}: {name}", partial(change_bytes, file, data), "clear"
            )
    for name, change in {
        "deviation 0": lambda s, k: s["glob_std"].zero_(),
        "deviation negative": lambda s, k: s["glob_std"].fill_(-1.0),
        "count 0": lambda s, k: s["count"].zero_(),
        "count -1": lambda s, k: s["count"].fill_(-1),
        "another size": lambda s, k: s.update(glob_mean=torch.zeros(7)),
    }.items():
        yield consistent(
            f"{NORM}: {name}", partial(change_state, NORM, change), "clear"
        )


def with_header(header: dict[str, Any]) -> bytes:
    """A safetensors file of four bytes, with a header."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(4)


def change_state(
    file: str, change: Any, path: Path, rng: random.Random
) -> None:
    """Changes tensors of a file."""
    state = safetensors.torch.load((path / file).read_bytes())
    floats = sorted(k for k, v in state.items() if v.is_floating_point())
    change(state, rng.choice(floats))
    change_bytes(file, safetensors.torch.save(state), path, rng)


def change_bytes(
    file: str, data: bytes, path: Path, rng: random.Random
) -> None:
    """Changes a file, and of which model the table is."""
    (path / file).write_bytes(data)
    table = json.loads((path / TABLE).read_text())
    table["model"] = sha256(path / MODEL)
    (path / TABLE).write_text(json.dumps(table))


def cases(seed: int) -> list[Case]:
    """All of them."""
    from tests.fuzz import vocabularies

    kinds = (
        changed_files,
        texts_of_yaml,
        tables,
        weights,
        vocabularies.tokenizers,
        vocabularies.manifests,
        vocabularies.trainings,
    )
    return [case for kind in kinds for case in kind(seed)]
