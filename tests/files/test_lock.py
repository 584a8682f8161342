"""A lock of a folder: who holds it, and what becomes of it."""

import os
import signal
import subprocess
import sys

import pytest

from dld_brain.files.lock import FILE, FolderInUse, FolderLock

#: Holds a folder, and has a child that outlives it.
HOLDER = """
import os, sys, time
from pathlib import Path
from dld_brain.files.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
if not os.fork():
    print(os.getpid(), flush=True)  # it has let go of the lock
time.sleep(60)
"""


def test_a_second_one_is_told_of_the_first(tmp_path):
    lock = FolderLock(tmp_path / "a/b")
    with pytest.raises(FolderInUse, match=f"in use by process {os.getpid()} "):
        FolderLock(tmp_path / "a/b")
    FolderLock(tmp_path / "a/c").release()
    lock.release()
    assert not (tmp_path / "a").exists()  # as it was
    FolderLock(tmp_path / "a/b").release()


def test_what_is_in_the_folder_stays(tmp_path):
    lock = FolderLock(tmp_path / "a")
    (tmp_path / "a/model").write_text("")
    lock.release()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["model"]


def test_a_file_that_a_dead_process_left_locks_nothing(tmp_path):
    (tmp_path / FILE).write_text("process 1 on moon since 1969\n")
    lock = FolderLock(tmp_path)
    with pytest.raises(FolderInUse, match=f"in use by process {os.getpid()} "):
        FolderLock(tmp_path)
    lock.release()
    assert not (tmp_path / FILE).exists()


def test_the_lock_dies_with_its_process_and_not_with_its_children(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(process.stdout.readline())
    try:
        with pytest.raises(FolderInUse, match=f"process {process.pid} on"):
            FolderLock(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(child, 0)  # it lives
        FolderLock(tmp_path).release()
    finally:
        os.kill(child, signal.SIGKILL)
