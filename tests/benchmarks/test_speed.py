"""Times: what is kept of them, and whether the machine was quiet."""

import json
import sys

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import load  # noqa: E402
import speed  # noqa: E402
from timing import NOT_QUIET, summary, unequal, write_result  # noqa: E402

CALM = {"before": 0.02, "during": 0.05, "products": [1.0, 1.02, 1.05]}


@pytest.mark.parametrize(
    "change, quiet",
    [
        ({}, True),
        ({"before": 0.9}, False),
        ({"during": 0.9}, False),
        ({"products": [1.0, 1.4, 1.5]}, False),
        ({"before": -1.0, "during": -1.0}, True),  # /proc does not say
    ],
)
def test_a_busy_machine_is_noticed(change, quiet):
    assert load.Load(**{**CALM, **change}).quiet is quiet


def test_the_own_work_of_a_benchmark_is_not_that_of_others():
    assert load._others((10.0, 1.0), (14.0, 5.0), 4.0) == 0.0
    assert load._others((10.0, 1.0), (18.0, 5.0), 4.0) == 1.0


@pytest.mark.parametrize("busy, status", [(0.0, 0), (1.0, NOT_QUIET)])
def test_a_result_says_whether_it_can_be_judged(tmp_path, busy, status):
    path = tmp_path / "x.new.json"  # as speed.py names it
    seen = load.Load(**{**CALM, "during": busy})
    assert write_result(str(path), "why?", [], seen) == status
    found = json.loads(path.read_text())
    assert found["quiet"] is (status == 0)
    assert found["benchmark"] == "x" and found["load"]["during"] == busy


def test_lengths_are_unequal_around_their_mean():
    lengths = unequal(8, 4.0)
    assert sum(lengths) == pytest.approx(32.0)
    assert len(set(lengths)) == 8 and min(lengths) == 1.0


def test_the_range_over_rounds_is_kept():
    times = {"min": 1.0, "median": 2.0, "max": 9.0}
    assert summary([0.009, 0.001, 0.002]) == times


@pytest.mark.parametrize("status, name", [(0, "a"), (3, "a.not_quiet")])
def test_results_of_a_busy_machine_lie_beside(
    tmp_path, monkeypatch, status, name
):
    fake = tmp_path / "fake.py"
    fake.write_text(
        f"import sys; open(sys.argv[-1], 'w').write('{{}}'); sys.exit({status})"
    )
    monkeypatch.setattr(speed, "jobs", lambda tiny: {"a": [str(fake)]})
    command = ["speed.py", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    assert speed.main() == status
    assert [p.name for p in tmp_path.glob("*.json")] == [f"{name}.json"]
