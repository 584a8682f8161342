"""The model that ships inside the package: found, small, and with its terms."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from dld_brain.files.manifest import check_manifest
from pretrained_interfaces import (
    DynamicEncoderASR,
    DynamicEncoderClassifier,
    shipped,
)
from pretrained_interfaces.__main__ import main

GOLDEN = Path("tests/samples/golden").resolve()
SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
#: Bytes that a model may have which every installation carries.
LARGEST = 45_000_000
#: What an installation is built of.
SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "hparams")
PACKAGES = ("dld_brain", "pretrained_interfaces", "recipes")


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """A small model in the place of the one that ships."""
    monkeypatch.setattr(shipped, "models", lambda: tmp_path / "models")
    return shutil.copytree(GOLDEN, tmp_path / "models" / shipped.NAME)


def test_without_a_source_it_is_the_model_that_ships(stand_in, capsys):
    asr = DynamicEncoderASR.from_hparams()
    assert asr.folder == str(stand_in)
    assert asr.transcribe_file(SPEECH, n_layers=2) == "PYTYPYP"
    assert main(["transcribe", SPEECH, "--n_layers", "2"]) == 0
    assert capsys.readouterr().out == f"{SPEECH}\tPYTYPYP\n"
    with pytest.raises(ValueError, match="use DynamicEncoderASR"):
        DynamicEncoderClassifier.from_hparams()
    with pytest.raises(FileNotFoundError, match="must hold a trained model"):
        DynamicEncoderASR.from_hparams("")


def test_a_copy_without_a_model_asks_for_a_source(stand_in, capsys):
    shutil.rmtree(stand_in)
    assert main(["transcribe", SPEECH]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "`source` must be given" in line and str(stand_in) in line


def test_what_is_installed_and_what_is_published_carry_it(tmp_path):
    clone, names = tmp_path / "clone", {p.name for p in GOLDEN.iterdir()}
    left = shutil.ignore_patterns("__pycache__", "results", "models")
    for name in SOURCES:
        copy = shutil.copytree if Path(name).is_dir() else shutil.copy
        clone.mkdir(exist_ok=True)
        copy(name, clone / name)
    for name in PACKAGES:
        shutil.copytree(name, clone / name, ignore=left)
    inside = Path("pretrained_interfaces/models", shipped.NAME)
    shutil.copytree(GOLDEN, clone / inside)
    (clone / inside / "calibration.json").write_text("{}")
    for command in (["build_py", "-d", tmp_path / "lib"], ["sdist"]):
        subprocess.run(
            [sys.executable, "setup.py", "-q", *map(str, command)],
            cwd=clone,
            check=True,
            capture_output=True,
        )
    built = {p.name for p in (tmp_path / "lib" / inside).iterdir()}
    (archive,) = (clone / "dist").iterdir()
    with tarfile.open(archive) as file:
        paths = [Path(member.name) for member in file.getmembers()]
    packed = {p.name for p in paths if p.parent.name == shipped.NAME}
    assert built == names and packed == names
    code = "from pretrained_interfaces.shipped import *; print(shipped_model())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "lib")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(tmp_path / "lib" / inside)


def test_what_ships_is_small_whole_and_with_its_terms():
    folders = list(shipped.models().glob("*/"))
    if not folders:
        pytest.skip("no model is here yet")
    sizes = [p.stat().st_size for p in shipped.models().rglob("*")]
    assert sum(sizes) <= LARGEST
    for folder in folders:
        assert {"README.md", "LICENSE"} <= set(check_manifest(folder))
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert re.search(r'^license: "[a-z0-9.-]+"$', card, re.MULTILINE)


def test_git_leaves_the_bytes_of_models_as_they_are():
    names = ("README.md", "manifest.json", "model.safetensors")
    paths = [f"pretrained_interfaces/models/x/{name}" for name in names]
    done = subprocess.run(
        ["git", "check-attr", "text", "--", *paths],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip("this is no clone")
    assert done.stdout.count(": text: unset") == len(names)
