"""The numbers of the READMEs and docs are those that were measured."""

import json
import re
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import figures  # noqa: E402
import publish  # noqa: E402
from published_tables import FOOTNOTE, language_model, make_table, seeds  # noqa: E402

ROWS = sorted(REPOSITORY.glob("recipes/*/results/*.json"))
SPECS = publish.read_specs()
SPEED_KEYS = {"benchmark", "question", "source", "command", "commit"}
SPEED_KEYS |= {"machine", "load", "quiet", "rows"}


def names(text: str) -> list[str]:
    """The tables that a document marks."""
    return [match[2] for match in publish.MARKED.finditer(text)]


@pytest.fixture
def report():
    """What a run's evaluation writes, with where it comes from."""
    training = {"seconds": 120.0, "epochs": 2, "steps": 8, "device": "cpu"}
    training |= {"audio_hours": 1.0, "layer_passes": 96.0}
    score = {"n_layers": 2, "selection": "even", "layers": [0, 2]}
    return {
        **{"seed": 1, "metric": "WER", "command": "python train.py x.yaml"},
        "commit": "0123456",
        "machine": {"processor": "EPYC", "cores": 2, "device": "cpu"},
        "sets": {
            "test": [
                {**score, "rates": {"WER": 30.0}},
                {**score, "selection": "random", "rates": {"WER": 90.0}},
            ]
        },
        "training": training,
    }


@pytest.fixture
def row(report):
    """A row of one run."""
    old = {"row": "r", "title": "t", "data": "d", "runs": []}
    return figures.add_report(old, report)


@pytest.mark.parametrize("path", publish.documents(), ids=lambda p: p.stem)
def test_documents_show_what_was_measured(path):
    text = path.read_text()
    assert publish.published(text, SPECS["tables"]) == text, (
        "run python benchmarks/publish.py"
    )


def test_a_number_edited_by_hand_is_noticed():
    text = (REPOSITORY / "recipes/AN4/README.md").read_text()
    edited = text.replace("| 22.4 ± 0.5 |", "| 21.4 ± 0.5 |")
    assert edited != text
    assert publish.published(edited, SPECS["tables"]) == text


def test_every_table_and_row_is_shown_somewhere():
    shown = {n for p in publish.documents() for n in names(p.read_text())}
    assert shown == set(SPECS["tables"])
    used = {
        (spec["corpus"], row)
        for group in SPECS.values()
        for spec in group.values()
        for row in spec.get("rows", ())
    }
    assert used == {(p.parts[-3], p.stem) for p in ROWS}


def test_markers_are_balanced():
    for path in publish.documents():
        text = path.read_text()
        opened = len(re.findall("<!-- table:", text))
        assert opened == text.count("<!-- end -->") == len(names(text)), path


@pytest.mark.parametrize("path", ROWS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_rows_follow_the_schema(path):
    row = figures.read_row(path.parts[-3], path.stem)
    assert row["commits"] and row["machine"]["processor"]
    assert row["runs"] or row["summary"]


def test_speed_results_follow_the_schema():
    paths = sorted(REPOSITORY.glob("benchmarks/results/*.json"))
    assert paths
    for path in paths:
        found = json.loads(path.read_text())
        assert set(found) == SPEED_KEYS and found["benchmark"] == path.stem
        assert (found["load"] is None) == (found["source"] == "text")
        for time in found["rows"]:
            assert set(time["ms"]) == {"min", "median", "max"}


def test_figures_of_a_text_are_marked():
    table = make_table(SPECS["tables"]["an4-earlier"])
    assert "teacher, static † | 1986 | 95.2 |" in table
    assert table.endswith(FOOTNOTE)


@pytest.mark.parametrize("key", figures.ORIGIN)
def test_a_report_must_say_where_it_comes_from(key, report):
    del report[key]
    with pytest.raises(ValueError, match=f"has no {key}"):
        figures.add_report({"runs": []}, report)


def test_a_report_keeps_the_layers_that_come_first(row):
    assert figures.cell(row, 2, 1) == "30.0"
    assert row["spent"] == {"updates": 8, "layer_passes": 96, "minutes": 2}


def test_other_layers_are_published_where_asked_for(report):
    row = figures.add_report({"runs": []}, report, "random")
    assert row["runs"][0]["by_depth"]["2"]["rate"] == 90.0
    with pytest.raises(ValueError, match="must be of"):
        figures.add_report({"runs": []}, report, "greedy")


def test_a_report_is_shown_as_a_text_was(row):
    row = {**row, "source": "report"}
    spec = {**SPECS["tables"]["spoken-gpu"], "depths": [2]}
    last = seeds(spec, [row]).splitlines()[-1]
    assert last == "| t | 1 | 30.0 | 8 | 96 |"


def test_what_a_language_model_is_worth_is_shown(report):
    report["lm"] = {"file": "en.arpa", "alpha": 0.5, "beta": 1.5}
    report["sets"]["test"][0]["lm_rates"] = {"WER": 20.0}
    row = figures.add_report({"runs": [], "title": "t"}, report)
    table = language_model({"depths": [2, 4]}, [row]).splitlines()
    assert table[-2] == "| t | 30.0 |  |"
    assert table[-1] == "| with it (alpha 0.5, beta 1.5) | 20.0 |  |"


def test_seeds_give_mean_and_deviation(row, report):
    report["seed"] = 2
    report["sets"]["test"][0]["rates"]["WER"] = 32.0
    both = figures.add_report(row, report)
    assert both["seeds"] == [1, 2]
    assert figures.cell(both, 2, 1) == "31.0 ± 1.4"
    again = figures.add_report(both, report)
    assert len(again["runs"]) == 2


def test_models_of_single_depths_are_one_row(row, report):
    report["sets"]["test"][0]["n_layers"] = 4
    both = figures.add_report(row, report)
    assert both["seeds"] == [1] and list(figures.rates(both)) == [2, 4]
    assert both["spent"]["layer_passes"] == 192


def test_a_report_takes_the_place_of_a_text(report):
    old = figures.read_row("AN4", "earlier-dld")
    new = figures.add_report(old, report)
    assert new["source"] == "report" and new["seeds"] == [1]
    figures.check_row(new, Path("earlier-dld.json"))


def test_adding_a_run_by_the_command(report, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    (tmp_path / "recipes/X").mkdir(parents=True)
    (tmp_path / "depth_report.json").write_text(json.dumps(report))
    command = ["add", "--run", str(tmp_path), "--corpus", "X", "--row", "new"]
    with pytest.raises(ValueError, match="give --title"):
        publish.main(command)
    assert publish.main([*command, "--title", "a new row"]) == 0
    kept = figures.read_row("X", "new")
    assert kept["runs"][0]["report"] == report


def test_the_same_rows_give_the_same_picture(tmp_path):
    for name in ("a.png", "b.png"):
        spec = SPECS["pictures"]["recipes/SpokenCommands/methods.png"]
        publish.draw(spec, tmp_path / name)
    a, b = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert a == b
