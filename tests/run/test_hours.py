"""What a run makes of the data that it finds."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from conftest import small

from dld_brain.run.config import compose
from dld_brain.run.hours import Amount, amount_of, defaults_for
from dld_brain.run.main import train as main
from dld_brain.run.start import check_training_data

SAMPLES = "tests/samples/LibriSpeech"


def chosen(amount, hparams="hparams/conformer_dld.yaml", **changes):
    """What an amount of speech decides."""
    return defaults_for(amount, compose(hparams, changes), None)


def test_of_960_h_the_defaults_are_the_papers():
    assert chosen(Amount(960.9, 281241, 27)) == {}


def test_with_4_h_an_epoch_has_100_updates_and_most_are_behind_the_warm_up():
    found = chosen(Amount(3.5, 1012, 27))
    n_updates = 100 * -(-1012 // found["batch_size"])
    assert n_updates >= 100 * 100
    assert 4 * found["schedule.n_warmup_steps"] <= n_updates
    assert (found["token_type"], found["vocab_size"]) == ("char", 29)


def test_what_somebody_decides_is_theirs():
    few = Amount(3.5, 1012, 27)
    told = {"batch_size": 64, "vocab_size": 100, "schedule.n_warmup_steps": 9}
    assert chosen(few, **told) == {}
    assert chosen(few, **told, corpus="AN4") == {}
    assert chosen(few, "hparams/wavlm_dld.yaml", vocab_size=29) == {}


def test_amounts_are_those_of_the_splits(tmp_path):
    for name, text in (("a", "AB B"), ("b", "BÄ")):
        with open(tmp_path / f"{name}.csv", "w", encoding="utf-8") as file:
            rows = [("duration", "wrd"), (1800, text), (1800.0, "A")]
            csv.writer(file).writerows(rows)
    assert amount_of(str(tmp_path), ["a", "b"], "wrd") == Amount(2.0, 4, 3)


def test_folders_are_named_after_what_is_trained_on():
    def folder(**changes):
        told = {"data_folder": "/my/calls", "train_splits": ["train"]} | changes
        found = compose("hparams/conformer_dld.yaml", told).resolved()
        return found["output_folder"]

    assert folder(corpus="AN4") == "results/AN4/conformer_dld/1986"
    assert folder(corpus="") == "results/calls/conformer_dld/1986"
    hundred = folder(train_splits=["train-clean-100"])
    assert hundred == ("results/LibriSpeech-train-clean-100/conformer_dld/1986")


def test_a_model_of_other_data_is_taken_by_its_folder_alone(tmp_path):
    said = {"corpus": "AN4", "train_splits": ["train"], "hours": 0.6}
    (tmp_path / "training.json").write_text(json.dumps(said))
    told = compose(
        "hparams/conformer_dld.yaml", {"corpus": "AN4", "data_folder": "x"}
    ).settings()
    check_training_data(tmp_path, told.data)
    other = compose(
        "hparams/conformer_dld.yaml",
        {"corpus": "AN4", "data_folder": "x", "train_splits": ["train-all"]},
    ).settings()
    message = r"\(AN4: train-all\), but was on AN4: train, 0.6 h: name it by"
    with pytest.raises(ValueError, match=message):
        check_training_data(tmp_path, other.data)


def test_a_run_stops_at_a_teacher_of_other_data(tmp_path):
    def run(split):
        options = small(
            data_folder="tests/samples/AN4",
            output_folder=f"{tmp_path}/{split}/1",
            train_splits=[split],
            number_of_epochs=1,
            random_draws=0,
            teacher_overrides={
                "output_folder": f"{tmp_path}/teacher/1",
                "number_of_epochs": 1,
                "random_draws": 0,
            },
        )
        main(["hparams/conformer_dld.yaml", *options])

    run("train")
    with pytest.raises(ValueError, match="must be trained on what this run"):
        run("train-all")


def test_a_test_set_that_is_not_there_is_left_out_unless_it_is_named(
    tmp_path, capsys
):
    shutil.copytree(SAMPLES, tmp_path / "LibriSpeech")
    own = tmp_path / "LibriSpeech/my-split"
    shutil.copytree(tmp_path / "LibriSpeech/train-clean-100", own)
    assert not Path(SAMPLES, "test-other").exists()

    def run(**changes):
        told = {
            "corpus": "LibriSpeech",
            "data_folder": f"{tmp_path}/LibriSpeech",
            "output_folder": f"{tmp_path}/1",
            "train_splits": ["my-split"],
            "number_of_epochs": 1,
            "random_draws": 0,
            **changes,
        }
        options = [o for o in small(**told) if not o.startswith("--vocab_size")]
        main(["hparams/conformer_teacher.yaml", *options])

    run()
    said = capsys.readouterr().out
    assert "LibriSpeech has no test-other: left out" in said
    assert "token_type=char" in said
    report = json.loads((tmp_path / "1/depth_report.json").read_text())
    assert list(report["sets"]) == ["test-clean"]
    assert report["train_splits"] == ["my-split"]
    with pytest.raises(ValueError, match="'test-other' must be a folder"):
        run(test_splits=["test-clean", "test-other"])
