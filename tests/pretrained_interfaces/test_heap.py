"""What is freed between what is kept goes back to the system."""

import platform
import subprocess
import sys

import numpy as np
import pytest
from processes import SPEECH

from pretrained_interfaces import DynamicEncoderASR, heap
from pretrained_interfaces.serve.model import listen, transcribe_jobs

#: Blocks of 8 MiB, each with a little behind it that stays; then they go.
CHURN = """
import gc, sys
from pathlib import Path
from pretrained_interfaces import heap

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(x for x in lines if x.startswith("RssAnon"))
    return int(line.split()[1]) / 1024

first = bytearray(16 << 20)
del first  # glibc takes blocks up to this size from its heap from now on
before = resident()
trimmer = heap.Trimmer(room=50 << 20)
trimmer.check()
pairs = [(bytearray(b"a") * (8 << 20), bytearray(99_000)) for _ in range(20)]
kept = [small for _, small in pairs]
del pairs
gc.collect()
if sys.argv[1] == "trimmed":
    assert trimmer.check() and not trimmer.check()
print(resident() - before)
"""


def mib_kept(how):
    found = subprocess.run(
        [sys.executable, "-c", CHURN, how],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(found.stdout)


def test_freed_blocks_go_back():
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("no glibc here")
    assert mib_kept("trimmed") < 20
    assert mib_kept("as it is") > 100  # or else there is nothing to do


@pytest.fixture
def asr():
    """A model that counts how often its process's memory was looked at."""

    class Spy(heap.Trimmer):
        checks = 0

        def check(self):
            self.checks += 1

    found = DynamicEncoderASR.from_hparams("tests/samples/golden")
    found.trimmer = Spy()
    return found


def noise(seconds):
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal(round(seconds * 16000))


def test_memory_is_looked_at_after_each_batch_of_windows(asr):
    options = {"sampling_rate": 16000, "vad": None, "window_seconds": 1.0}
    asr.transcribe(noise(10), 1, batch_seconds=1.0, **options)
    assert asr.trimmer.checks >= 10


def test_memory_is_looked_at_after_each_batch_of_a_server(asr):
    for n in range(1, 3):  # each is one batch, of which no more is asked
        transcribe_jobs(asr, [listen(asr, SPEECH, 60.0)], 1)
        assert asr.trimmer.checks == n


def test_a_process_that_has_not_grown_is_left_alone():
    trimmer = heap.Trimmer()
    trimmer.check()
    assert not trimmer.check()


def test_growth_is_from_the_least_since_memory_was_given_back(monkeypatch):
    sizes = iter([130, 100, 40, 100, 120, 60, 109, 111, 90])
    monkeypatch.setattr(heap, "_resident", lambda: next(sizes))
    monkeypatch.setattr(heap, "_glibc", lambda: Spied())
    trimmed = []

    class Spied:
        def malloc_trim(self, pad):
            trimmed.append(pad)

    trimmer = heap.Trimmer(room=50)
    assert trimmer.check()  # what loading left: 130, 100 behind it
    assert not trimmer.check()  # 40: less is no growth
    assert trimmer.check()  # 100 is, and 120 cannot be given back
    assert not trimmer.check()  # 60
    assert not trimmer.check()  # 109, from 60
    assert trimmer.check()  # 111
    assert trimmed == [0, 0, 0]
