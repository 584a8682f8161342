"""The benchmark of the server: arrivals, rows, what is resumed, the soak."""

import json
import sys
from collections import Counter

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import serve_load  # noqa: E402
import serve_soak  # noqa: E402
import serving_tables  # noqa: E402
from serve_client import Outcome, Utterance  # noqa: E402

SAID = Utterance(b"", "one two")


def outcome(status, latency=1.0, **answer):
    return Outcome(SAID, status, latency, answer)


def test_arrivals_are_poisson_seeded_and_bounded():
    found = serve_load.arrivals(5.0, 400.0, 10**6, seed=0)
    assert found == sorted(found) and found[-1] <= 400.0
    assert len(found) == pytest.approx(2000, rel=0.1)
    gaps = [b - a for a, b in zip(found, found[1:])]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert variance == pytest.approx(mean**2, rel=0.2)
    assert serve_load.arrivals(5.0, 400.0, 10**6, seed=0) == found
    assert len(serve_load.arrivals(5.0, 400.0, 7, seed=0)) == 7


def test_a_row_counts_what_was_answered_refused_and_lost():
    good = [outcome(200, i / 100, text="ONE", n_layers=2) for i in range(101)]
    row = serve_load.row_of([*good, outcome(503), outcome(0)])
    assert (row["requests"], row["refused"], row["failed"]) == (103, 1, 1)
    assert row["p50"] == pytest.approx(0.5, abs=0.01)
    assert row["p95"] == pytest.approx(0.95, abs=0.02)
    assert row["wer"] == 50.0 and row["mean_depth"] == 2
    assert serve_load.row_of([outcome(503)])["refused"] == 1


def test_what_was_measured_is_not_measured_again(tmp_path):
    output = str(tmp_path / "load.json")
    rows = serve_load.Rows(output, {"seconds": 1.0})
    rows.rows.append({"task": "n = 4", "input": "0.5"})
    rows.keep(rate=2.0)
    again = serve_load.Rows(output, {"seconds": 1.0})
    assert again.kept["rate"] == 2.0 and again.has("n = 4", "0.5")
    assert not again.has("controller", "0.5")
    assert serve_load.Rows(output, {"seconds": 2.0}).rows == []
    assert json.loads((tmp_path / "load.json.part").read_text())["rows"]


def measured():
    """A table of two loads; of the second, one depth answers nobody."""
    of = {"data": "test", "target_p95": 1.0, "requests": 50, "refused": 0}
    good = {"p50": 0.2, "p95": 0.4, "p99": 0.6, "wer": 12.0, "mean_depth": 3.5}
    return [
        {"task": "n = 4", "input": "0.5", **of, **good},
        {"task": "controller", "input": "0.5", **of, **good},
        {"task": "n = 4", "input": "3", **of, "refused": 50},
        {"task": "controller", "input": "3", **of, **good, "refused": 10},
    ]


def test_rows_are_drawn_also_where_one_has_no_answer(tmp_path):
    source = tmp_path / "load.json"
    source.write_text(json.dumps({"rows": measured()}))
    picture = tmp_path / "load.png"
    serving_tables.draw_refusals({"title": "load"}, source, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_published_table_has_a_line_a_load_and_depth():
    table = serving_tables.by_share({}, {"rows": measured()})
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
    ]
    full = ["0.20", "0.40", "0.60", "3.5", "12.0"]
    assert lines[2] == ["0.5", "n = 4", *full, "0", "50"]
    assert lines[3] == ["", "by the load", *full, "0", "50"]
    assert lines[4] == ["3", "n = 4", *[""] * 5, "100", "50"]
    assert lines[5] == ["", "by the load", *full, "20", "50"]


def test_a_soak_sees_wrong_answers_and_memory_that_grows():
    memory = [(t, 100 + t / 60) for t in range(0, 600, 10)]
    seen = Counter({("good", 200): 9, ("huge", 413): 2, ("cancelled", 0): 1})
    row = serve_soak.row_of(seen, memory)
    assert row["errors"] == 0
    assert row["mib_a_minute"] == pytest.approx(1.0, abs=0.01)
    for wrong in (("good", 500), ("good", 0), ("huge", 200), ("broken", 500)):
        assert serve_soak.row_of(Counter([wrong]), memory)["errors"] == 1
