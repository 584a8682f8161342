"""The comparison of methods, on tiny models."""

import json
import sys

import pytest
from conftest import REPOSITORY

from dld_brain.evaluation.routing import THRESHOLDS
from dld_brain.run.config import load_flat
from dld_brain.run.main import train

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

import compare_methods  # noqa: E402
from comparison import Row, differences, table  # noqa: E402

pytestmark = pytest.mark.slow

SETTINGS = """{vocab_size: 11, max_unspellable: 1, n_total: 3, d_model: 32, d_ffn: 64,
n_heads: 2, kernel_size: 7, number_of_epochs: 2, valid_depths: [], avg_checkpoints: 1}"""


@pytest.fixture
def compare(monkeypatch, tmp_path):
    """Runs the script on its sample corpus, in this process."""
    trained = []

    def run(job, device, threads):
        trained.append(job)
        train([*job.command(device)[1:], "--noprogressbar"])

    monkeypatch.setattr(compare_methods.Job, "train", run)

    def call(*options):
        trained.clear()
        compare_methods.main(
            [
                *("--corpus", "AN4", "--data_folder", "tests/samples/AN4"),
                *("--settings", SETTINGS, "--output", str(tmp_path)),
                *("--depths", "2", "3", "--seeds", "1", "2", *options),
            ]
        )
        return list(trained)

    return call


def cells(path, title):
    """Cells of a method's row."""
    (line,) = (
        line
        for line in path.read_text().splitlines()
        if line.startswith(f"| {title} |")
    )
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_methods_are_compared_by_seed_and_depth(compare, tmp_path, capsys):
    jobs = compare("--methods", "static", "dld")
    # The teacher, a model for each depth, and one for all; of both seeds.
    assert len(jobs) == 1 + 2 * 2 + 2
    path = tmp_path / "AN4/equal_updates.md"
    report = json.loads(path.with_suffix(".json").read_text())
    static, dld = report["rows"][1:]
    for row in (static, dld):
        assert {n: len(v) for n, v in row["rates"].items()} == {"2": 2, "3": 2}
        assert row["spent"]["epochs"] == 2 and row["peak_bytes"] > 2**20
    # 2 models of 2 and 3 layers, each 3 passes of a batch.
    steps = dld["spent"]["steps"]
    assert static["spent"]["layer_passes"] == 3 * (2 + 3) * steps
    found = cells(path, "static, each depth trained alone")
    assert found[1] == "2" and "±" in found[2] and "±" in found[3]
    assert path.with_suffix(".png").is_file()
    assert capsys.readouterr().out.endswith(path.read_text() + "\n")
    assert compare("--methods", "static", "dld") == []  # all are there
    (depth,) = (tmp_path / "AN4/equal_updates/static/n2/1").glob("wer_*_n2.txt")
    assert depth.is_file()


def test_a_model_that_fails_does_not_stop_the_others(compare, monkeypatch):
    train_it = compare_methods.Job.train

    def fail_once(job, device, threads):
        if job.settings["seed"] == 1 and job.hparams.endswith("rd.yaml"):
            raise RuntimeError("train.py ended with 1")
        train_it(job, device, threads)

    monkeypatch.setattr(compare_methods.Job, "train", fail_once)
    with pytest.raises(RuntimeError, match="1 of 2 models are not trained"):
        compare("--methods", "rd")
    monkeypatch.setattr(compare_methods.Job, "train", train_it)
    (job,) = compare("--methods", "rd")  # what is left
    assert job.settings["seed"] == 1


def test_equal_compute_trades_updates_for_passes(compare, tmp_path):
    updates = ("--settings", SETTINGS[:-1] + ", updates: 4}")  # 2 an epoch
    compare("--methods", "plus", "--seeds", "1", *updates)
    (job,) = compare(
        *("--methods", "rd", "plus", "--equal", "compute", "--seeds", "1"),
        *("--reference", "plus", *updates),
    )
    assert job.hparams.endswith("rd.yaml")  # the reference is there
    path = tmp_path / "AN4/equal_compute_plus.json"
    rows = json.loads(path.read_text())["rows"][1:]
    rd, plus = (row["spent"] for row in rows)
    assert rd["steps"] == job.updates > plus["steps"] == 4
    # To half an update; what Bernoulli gates open is a mean.
    del job.settings["optimizer_step_limit"]  # SpeechBrain's, no hyperparameter
    a_step = compare_methods.mean_passes(job, n_teacher=3)
    assert abs(rd["steps"] * a_step - plus["layer_passes"]) <= a_step / 2


def test_every_method_of_the_file_is_understood(compare, pretrained, tmp_path):
    options = compare_methods.parser().parse_args(
        [
            *("--corpus", "AN4", "--data_folder", "tests/samples/AN4"),
            *("--settings", SETTINGS[:-1] + ", test_depths: []}"),
            *("--teacher", str(pretrained)),
            *("--output", str(tmp_path)),
        ]
    )
    comparison = compare_methods.Comparison(options)
    for method in comparison.methods:
        job = comparison.job(method, seed=1)
        # All start from the one teacher, and none trains its own.
        hparams = load_flat(job.hparams, job.settings)
        assert hparams["teacher"] in (None, str(pretrained))
        if comparison.is_second(method):
            first = comparison.job("top_k_first", seed=1).folder / "pretrained"
            assert hparams["init_from"] == str(first)
            assert hparams["gates"]["table"] == str(first)
        else:
            assert hparams["init_from"] == str(pretrained)
            assert compare_methods.mean_passes(job, n_teacher=3) > 0
    jobs = {m: comparison.jobs(m)[1986] for m in ("static", "mask")}
    depths = [2, 4, 6, 8, 10, 12]
    assert [j.settings["n_total"] for j in jobs["static"]] == depths
    assert [j.settings["router.n_layers"] for j in jobs["mask"]] == depths


def test_the_picture_has_the_methods_asked_for(compare, monkeypatch):
    drawn = []

    def draw(rows, path, title):
        drawn.append([row.title for row in rows])

    monkeypatch.setattr(compare_methods, "draw", draw)
    compare("--methods", "rd", "dld", "--seeds", "1", "--draw", "dld")
    compare("--methods", "--seeds", "1")
    teacher, dld = "the teacher, its own layers", "DLD as published"
    assert [title.startswith(dld) for title in drawn[0]] == [False, True]
    assert [row[0] for row in drawn] == [teacher, teacher]
    assert len(drawn[1]) == 3


def test_two_stages_are_one_method(compare, tmp_path):
    compare("--methods")
    compare("--methods", "top_k_first", "top_k", "i3d_global", "--seeds", "1")
    report = json.loads((tmp_path / "AN4/equal_updates.json").read_text())
    rows = {row["title"]: row for row in report["rows"]}
    both = rows["learned layers, then a sandwich of them"]["spent"]
    first = rows["learned layers, first stage (relaxed top-k)"]["spent"]
    assert both["steps"] == 2 * first["steps"]
    assert both["layer_passes"] > first["layer_passes"]
    assert len(rows["I3D, global"]["curve"]) == len(THRESHOLDS)
    assert (
        "| I3D, global | mean depth |"
        in (tmp_path / "AN4/equal_updates.md").read_text()
    )


def test_a_table_says_how_far_methods_are_apart():
    spent = dict.fromkeys(
        ("seconds", "epochs", "steps", "audio_hours", "layer_passes"), 60.0
    )
    ours = Row("ours", "WER", {2: [10.0, 12.0], 4: [5.0]}, spent, 2**30)
    other = Row("other", "WER", {4: [7.5]}, spent, 2**31)
    assert table([ours, other]).splitlines()[2:] == [
        "| ours | 2 | 11.0 ± 1.4 | 5.0 | 60 | 60 | 60 | 1.0 | 1.00 |",
        "| other | 1 |  | 7.5 | 60 | 60 | 60 | 1.0 | 2.00 |",
    ]
    assert differences([ours, other], "ours").splitlines()[2:] == [
        "| other |  | -2.5 |"
    ]
