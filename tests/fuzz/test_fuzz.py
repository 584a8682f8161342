"""Mutated inputs end in what is right or in a line of ours; see harness.py."""

import importlib
import os

import pytest

from tests.fuzz import harness, selftest
from tests.fuzz.harness import SUBJECTS, Result, faults, run_cases, table


def test_the_harness_sees_every_fault(monkeypatch):
    monkeypatch.setattr(harness, "LIMIT", 0.5)
    names = [case.name for case in selftest.cases(0)]
    found = {r.name: r.outcome for r in run_cases("selftest", names)}
    assert found == {name: name.partition(",")[0] for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_case_is_ok_or_clear(subject):
    """Of all cases every sixth, which is a minute; DLD_FUZZ_EVERY=1: all."""
    module = importlib.import_module(f"tests.fuzz.{subject}")
    names = [case.name for case in module.cases(0)]
    assert len(set(names)) == len(names)
    every = int(os.environ.get("DLD_FUZZ_EVERY", "6"))
    bad = faults(run_cases(subject, names[::every]))
    assert not bad, "\n".join(map(str, bad))


def test_the_table_counts():
    results = [
        Result("audio", "a", "ok", seconds=1),
        Result("audio", "b", "raw", peak=7),
    ]
    assert (
        table(results).splitlines()[2] == "| audio | 2 | 1 | 0 | 1 | 1.0 | 7 |"
    )
