"""A folder is there whole, old or new, whenever the process dies."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dld_brain.files.whole import whole_file, whole_folder
from dld_brain.model_folder import load_pretrained

GOLDEN = Path("tests/samples/golden")
#: Writes a folder and dies at the k-th rename, before or behind it.
DYING = """
import os, pathlib, sys
from dld_brain.files.whole import whole_folder
target, k = pathlib.Path(sys.argv[1]), int(sys.argv[2])
rename, count = pathlib.Path.rename, 0
def dying(self, other):
    global count
    if count == k:
        os._exit(9)
    count += 1
    return rename(self, other)
pathlib.Path.rename = dying
if k < 0:
    os.replace = None
with whole_folder(target) as folder:
    (folder / "new.txt").write_text("new")
    if k < 0:
        os._exit(9)
os._exit(9)
"""


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("k, found", [(-1, "old"), (0, "old"), (1, "old")])
def test_a_kill_leaves_the_old_folder(tmp_path, k, found):
    target = Path(shutil.copytree(GOLDEN, tmp_path / "model"))
    command = [sys.executable, "-c", DYING, str(target), str(k)]
    assert subprocess.run(command).returncode == 9
    assert target.exists() == (k < 1)  # between the renames it is away
    assert load_pretrained(str(target)).table.depths == (1, 2, 3)
    with whole_folder(target) as folder:
        (folder / "newer.txt").write_text("newer")
    assert names(target) == ["newer.txt"]
    assert names(tmp_path) == ["model"]  # nothing is left of the dead


def test_behind_both_renames_the_new_one_is_there(tmp_path):
    target = Path(shutil.copytree(GOLDEN, tmp_path / "model"))
    command = [sys.executable, "-c", DYING, str(target), "2"]
    assert subprocess.run(command).returncode == 9
    assert names(target) == ["new.txt"]


def test_an_error_leaves_the_old_folder(tmp_path):
    target = tmp_path / "model"
    with whole_folder(target) as folder:
        (folder / "a").write_text("a")
    with pytest.raises(KeyError), whole_folder(target, keep=True) as folder:
        (folder / "a").write_text("b")
        raise KeyError
    assert (target / "a").read_text() == "a"
    assert names(tmp_path) == ["model"]


def test_what_a_living_process_writes_is_left_alone(tmp_path):
    mine = tmp_path / f"model.unfinished+{os.getppid()}"
    mine.mkdir()
    with whole_folder(tmp_path / "model") as folder:
        (folder / "a").write_text("a")
    assert mine.is_dir()


def test_a_file_whose_writing_fails_stays_as_it_was(tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    (tmp_path / ".unfinished+99999999+report.json").write_text("of the dead")
    with pytest.raises(KeyError), whole_file(target) as path:
        path.write_text("new")
        raise KeyError
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]
    assert target.read_text() == "old"
    with whole_file(target) as path:
        assert path.suffix == ".json"
        path.write_text("new")
    assert target.read_text() == "new"
