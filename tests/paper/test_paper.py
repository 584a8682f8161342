"""The paper's tables and figures, of made-up reports."""

import json
from pathlib import Path

import pytest

from dld_brain.paper.__main__ import main
from dld_brain.paper.finished_runs import read_runs
from dld_brain.paper.published import read_paper

SPENT = {"seconds": 7200.0, "epochs": 4, "steps": 9, "audio_hours": 5.0}
SPENT |= {"layer_passes": 1.0, "device": "cpu"}
#: What the paper trained on, by corpus.
SPEECH = {
    "LibriSpeech": (
        ["train-clean-100", "train-clean-360", "train-other-500"],
        960.9,
    ),
    "FluentSpeechCommands": (["train"], 14.7),
    "AN4": (["train"], 0.6),
}
HUNDRED = {"train_splits": ["train-clean-100"], "train_hours": 100.6}


def rows(metric, rates, selection="even"):
    """Rows of a report, of a rate for each depth."""
    return [
        {
            "n_layers": n,
            "selection": selection,
            "params": n * 10**6,
            "macs_per_second": n * 1e8,
            "rates": {metric: rate},
        }
        for n, rate in rates.items()
    ]


@pytest.fixture
def make_run(tmp_path):
    """Writes the report of a run; returns its folder."""

    def make(recipe, seed, rates, corpus="LibriSpeech", **changes):
        metric = "accuracy" if "slu" in recipe else "WER"
        name = "test-clean" if corpus == "LibriSpeech" else "test"
        report = {
            "recipe": recipe,
            "seed": seed,
            "corpus": corpus,
            "train_splits": SPEECH[corpus][0],
            "train_hours": SPEECH[corpus][1],
            "gates": "bernoulli",
            "starts_from_model": recipe.endswith("dld"),
            "metric": metric,
            "sets": {
                name: rows(metric, rates) + rows(metric, {2: 99.0}, "random")
            },
            "training": {**SPENT, "before": SPENT},
            **changes,
        }
        recipe = report["recipe"] = recipe.rpartition("/")[2]
        folder = tmp_path / recipe / str(seed)
        folder.mkdir(parents=True)
        (folder / "depth_report.json").write_text(json.dumps(report))
        return str(folder)

    return make


def table(path, method, heading=""):
    """Cells of a method's row, below a heading."""
    text = (
        path.read_text().split(heading, 1)[1] if heading else path.read_text()
    )
    line = next(r for r in text.splitlines() if r.startswith(f"| {method} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_table_1_has_ours_and_the_papers_in_every_cell(
    make_run, tmp_path, capsys
):
    runs = [
        make_run("conformer_dld", 1, {2: 40.0, 12: 6.0}),
        make_run("conformer_dld", 2, {2: 42.0, 12: 6.0}),
        make_run("conformer_teacher", 1, {2: 90.0, 12: 5.0}, gates="full"),
        make_run("wavlm_dld", 1, {2: 1.0}),
    ]
    assert main(["table1", "--runs", *runs, "--output", str(tmp_path)]) == 0
    path = tmp_path / "table1.md"
    assert capsys.readouterr().out.strip() == path.read_text().strip()
    dld = table(path, "DLD")
    assert dld[0] == "41.00 ± 1.41 (38.30)" and dld[-1] == "6.00 ± 0.00 (5.82)"
    assert dld[1] == "- (11.81)"  # not measured here
    assert table(path, "RDLD")[0] == "- (43.62)"
    # A teacher is of one depth: what it scores at others is no result.
    assert table(path, "M_ref") == [""] * 5 + ["5.00 (5.29)"]
    ted = table(path, "DLD", "## TEDLIUM3")
    assert ted == ["- (not published)"] * 6
    assert table(path, "M_ref", "## TEDLIUM3")[-1] == "- (11.83)"
    costs = table(path, "DLD, seed 1")
    assert costs == [
        "2.00, 12.00",
        "6.00x, 1.00x",
        *("2.00", "4.00"),  # hours, alone and with the teacher's
        *("4", "8"),
        *("5.0", "10.0"),
    ]


def test_other_gates_and_starts_are_methods_of_their_own(make_run):
    runs = [
        make_run("conformer_dld", 1, {2: 1.0}, gates="uniform"),
        make_run("conformer_rd", 1, {2: 1.0}),
        make_run("conformer_rd", 2, {2: 1.0}, starts_from_model=True),
        make_run("baselines/conformer_rdld", 1, {2: 1.0}),
        make_run("conformer_slu_rd", 1, {2: 1.0}),
        make_run("wavlm_rd", 1, {2: 1.0}),
        make_run("conformer_dld_plus", 1, {2: 1.0}, gates="every_depth"),
        make_run("conformer_early_exit", 1, {2: 1.0}, gates="every_depth"),
    ]
    methods = [run.method for run in read_runs(runs)]
    assert methods == [
        "DLD, uniform gates",
        "RDsc",
        "RD from M_ref",
        "RDLD",
        "RDsc",
        "RDw-sc",
        "DLD plus",
        "early exit",
    ]


def test_rows_that_the_paper_has_not_are_ours(make_run, tmp_path):
    runs = [
        make_run("conformer_dld_plus", 1, {2: 20.0}, gates="every_depth"),
        make_run("conformer_rd", 1, {2: 60.0}, starts_from_model=True),
    ]
    main(["table1", "--runs", *runs, "--output", str(tmp_path)])
    text = (tmp_path / "table1.md").read_text()
    assert "| DLD plus (ours) | 20.00 | - |" in text
    assert "| RD from M_ref (ours) | 60.00 | - |" in text
    ours = [line for line in text.splitlines() if "(ours)" in line]
    assert not any("not published" in line for line in ours)


def test_runs_on_other_speech_never_meet_the_papers(make_run, tmp_path):
    runs = [
        make_run("conformer_dld", 1, {2: 40.0}),
        make_run("conformer_dld", 2, {2: 80.0}, **HUNDRED),
        make_run("conformer_dld", 3, {2: 90.0}, **HUNDRED),
        make_run("conformer_dld", 4, {2: 99.0}, train_hours=4.0),
    ]
    main(["table1", "--runs", *runs, "--output", str(tmp_path)])
    path = tmp_path / "table1.md"
    assert table(path, "DLD")[0] == "40.00 (38.30)"
    hundred = "Trained on train-clean-100 (100.6 h)."
    assert table(path, "DLD", hundred) == ["85.00 ± 7.07"]
    assert table(path, "DLD", "train-other-500 (4.0 h).") == ["99.00"]
    main(["table100h", "--runs", *runs, "--output", str(tmp_path)])
    path = tmp_path / "table100h.md"
    assert table(path, "I3D")[1:] == ["- (13.50)", "- (12.20)"]
    assert table(path, "DLD") == [
        "85.00 ± 7.07 (not published)",
        "- (~9.94)",
        "- (~8.14)",
    ]


def test_table_3_has_the_epochs_that_were_kept(make_run, tmp_path):
    epochs = {
        "25": {"test-clean": rows("WER", {2: 50.0, 12: 9.0})},
        "100": {"test-clean": rows("WER", {2: 40.0, 12: 6.0})},
    }
    run = make_run("conformer_dld", 1, {2: 39.0}, epochs=epochs)
    main(["table3", "--runs", run, "--output", str(tmp_path)])
    path = tmp_path / "table3.md"
    assert table(path, "DLD, epoch 25")[0] == "50.00 (41.26)"
    assert table(path, "DLD, epoch 75")[-1] == "- (5.89)"
    assert table(path, "DLD, epoch 100")[-1] == "6.00 (5.82)"
    assert "39.00" not in path.read_text()


@pytest.mark.parametrize(
    "name, recipe, corpus",
    [
        ("figure2", "wavlm_dld", "LibriSpeech"),
        ("figure3", "conformer_slu_dld", "FluentSpeechCommands"),
    ],
)
def test_figures_are_drawn(make_run, tmp_path, name, recipe, corpus):
    runs = [
        make_run(recipe, 1, {2: 70.0, 12: 90.0}, corpus),
        make_run(
            recipe.replace("dld", "teacher"),
            1,
            {2: 9.0, 12: 95.0},
            corpus,
            gates="full",
        ),
    ]
    main([name, "--runs", *runs, "--output", str(tmp_path)])
    assert (tmp_path / f"{name}.png").stat().st_size > 5000
    path = tmp_path / f"{name}.md"
    assert table(path, "DLD")[0] == "70.00 (not published)"
    if name == "figure2":
        assert table(path, "DLD")[1] == "- (~23.25)"
        assert table(path, "M_ref")[-1] == "95.00 (3.50)"


def circles_of(make_run, tmp_path, monkeypatch):
    """What Figure 2 draws: of each label x, y and area."""
    from matplotlib.axes import Axes

    drawn = {}

    def scatter(self, x, y, area, label, **_):
        drawn[label] = list(zip(x, y, area))

    monkeypatch.setattr(Axes, "scatter", scatter)
    monkeypatch.setattr(Axes, "legend", lambda self, **_: None)
    run = make_run("wavlm_dld", 1, {2: 70.0, 12: 9.0})
    main(["figure2", "--runs", run, "--output", str(tmp_path)])
    return drawn


def test_figure_2_is_wer_against_computation(make_run, tmp_path, monkeypatch):
    drawn = circles_of(make_run, tmp_path, monkeypatch)
    (x, y, _), *_ = drawn["masked wav2vec 2.0, 75 % trimmed"]
    assert (x, y) == (4.80, 33.9)
    # Computation and parameters are those of the reports.
    assert [(x, y) for x, y, _ in drawn["DLD"]] == [(0.2, 70.0), (1.2, 9.0)]
    areas = [area for *_, area in drawn["DLD"]]
    assert areas[1] == 6 * areas[0]
    assert [y for _, y, _ in drawn["DLD, the paper's"]] == [23.25, 4.57]


def test_every_table_can_be_made_of_no_fitting_run(make_run, tmp_path):
    run = make_run("conformer_dld", 1, {2: 1.0}, corpus="AN4")
    for name in read_paper():
        assert main([name, "--runs", run, "--output", str(tmp_path)]) == 0
        assert "| 1.00 " not in (tmp_path / f"{name}.md").read_text()


def test_a_folder_without_a_report_is_named(tmp_path, capsys):
    assert main(["table1", "--runs", str(tmp_path)]) == 2
    assert "must hold depth_report.json" in capsys.readouterr().err


def test_a_report_that_hides_its_speech_is_refused(make_run, capsys):
    run = make_run("conformer_dld", 1, {2: 1.0})
    path = Path(run, "depth_report.json")
    report = json.loads(path.read_text())
    del report["train_hours"]
    path.write_text(json.dumps(report))
    assert main(["table1", "--runs", run]) == 2
    assert (
        "must say `train_splits` and `train_hours`" in capsys.readouterr().err
    )


def test_what_the_paper_says_agrees_with_itself():
    """The differences in its text: 2.25 at n = 12, teacher 0.53 better."""
    data = read_paper()
    paper = data["table1"]["sets"][0]["paper"]
    assert round(paper["RDsc"][12] - paper["DLD"][12], 2) == 2.25
    assert round(paper["DLD"][12] - paper["M_ref"][12], 2) == 0.53
    later = data["table3"]["sets"][0]["paper"]
    assert later["DLD, epoch 100"] == paper["DLD"]
    # More training helps at every depth.
    epochs = [later[f"DLD, epoch {e}"] for e in (25, 50, 75, 100)]
    for n in (2, 4, 6, 8, 10, 12):
        rates = [epoch[n] for epoch in epochs]
        assert rates == sorted(rates, reverse=True)
    hundred = data["table100h"]["sets"][0]
    for n, difference in ((6, 3.56), (9, 4.06)):
        derived = hundred["derived"]["DLD"][n]
        assert round(hundred["paper"]["I3D"][n] - derived, 2) == difference
    masked = data["figure2"]["others"][0]["rate"]
    wavlm = data["table2"]["sets"][0]["derived"]["DLD"][3]
    assert round(masked - wavlm, 2) == 10.65


def test_the_costs_of_figure_2_are_those_of_wavlm_base():
    costs = read_paper()["figure2"]["costs"]
    for n, cost in costs.items():
        assert abs(cost["gmacs"] - (2.709 + n / 12 * 4.702)) < 0.01
        assert abs(cost["mparams"] - (9.34 + n * 7.0885)) < 0.1
