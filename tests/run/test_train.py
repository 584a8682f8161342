"""train.py: where a run starts, what it refuses, how it resumes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY, small
from safetensors.torch import load_file

from dld_brain.model_folder import load_pretrained
from dld_brain.run.config import load_flat
from dld_brain.run.main import train as main


def test_the_teacher_is_trained_first_and_the_report_is_written(finished_run):
    stdout = (finished_run.parent.parent / "stdout.txt").read_text()
    assert "holds no model yet: training it first" in stdout
    assert "python -m pretrained_interfaces transcribe --source" in stdout
    assert (finished_run.parents[1] / "teacher/1/pretrained").is_dir()
    report = json.loads((finished_run / "depth_report.json").read_text())
    assert report["experiment"] == "dld"
    (rows,) = report["sets"].values()
    even = [row["n_layers"] for row in rows if row["selection"] == "even"]
    assert even == [2, 3]
    for n_layers in even:
        assert (finished_run / f"wer_test_n{n_layers}.txt").is_file()


def test_the_student_starts_from_the_teacher(pretrained, tmp_path):
    # No step is taken at a learning rate of zero: the student is M_ref.
    main(
        [
            "hparams/conformer_rd.yaml",
            *small(
                init_from=pretrained,
                output_folder=f"{tmp_path}/1",
                lr=1e-30,
                number_of_epochs=1,
            ),
        ]
    )
    expected = load_pretrained(str(pretrained))
    found = load_pretrained(str(tmp_path / "1/pretrained"))
    for part in ("model", "normalize"):
        for name, weight in expected.modules[part].state_dict().items():
            assert torch.equal(weight, found.modules[part].state_dict()[name])
    # The statistics of the features are not relearnt, either.
    assert torch.equal(
        expected.modules["normalize"].glob_mean,
        found.modules["normalize"].glob_mean,
    )
    log = (tmp_path / "1/train_log.txt").read_text()
    assert "kl" not in log


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (
            {"teacher": "/no/where"},
            FileNotFoundError,
            "/no/where must hold a trained model, but /no/where does not exist",
        ),
        (
            {"teacher": "tests"},
            FileNotFoundError,
            "tests must hold a trained model, but lacks hyperparams.yaml",
        ),
        ({"task_wieght": 1}, ValueError, "`task_wieght`: try `task_weight`"),
        ({"corpus": "AN5"}, ValueError, "`corpus` must be one of AN4, Fluent"),
        (
            {"data_folder": "/no/where", "teacher": ""},
            FileNotFoundError,
            "`data_folder` must be a folder, but /no/where is none",
        ),
    ],
)
def test_what_is_wrong_is_said_before_data_is_touched(
    changes, error, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "recipes.AN4.an4_prepare.prepare_an4",
        lambda **_: pytest.fail("data touched"),
    )
    options = small(output_folder=f"{tmp_path}/1", **changes)
    with pytest.raises(error, match=message):
        main(["hparams/conformer_dld.yaml", *options])


def test_no_hparams_file_is_said_in_a_line():
    with pytest.raises(
        FileNotFoundError, match="no hparams file is called hparams/no.yaml"
    ):
        main(["hparams/no.yaml"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"vocab_size": 12}, "`vocab_size` must be 11, .* but is 12"),
        ({"d_model": 16}, "from which it starts, does not fit the model: "),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(
    pretrained, tmp_path, changes, message
):
    options = small(
        teacher=pretrained, output_folder=f"{tmp_path}/1", **changes
    )
    with pytest.raises(ValueError, match=message):
        main(["hparams/conformer_dld.yaml", *options])


def test_two_models_with_other_tokens_are_refused(pretrained, tmp_path):
    # Trained on other transcripts: as many letters, but other ones.
    data = shutil.copytree("tests/samples/AN4", tmp_path / "an4")
    transcripts = data / "etc/an4_train.transcription"
    transcripts.write_text(transcripts.read_text().replace("X", "Z"))
    other = tmp_path / "other/1"
    options = small(data_folder=data, number_of_epochs=1, output_folder=other)
    main(["hparams/conformer_teacher.yaml", *options])
    options = small(
        teacher=pretrained,
        init_from=f"{other}/pretrained",
        output_folder=f"{tmp_path}/1",
    )
    with pytest.raises(
        ValueError, match="must have the same tokens, but those"
    ):
        main(["hparams/conformer_rd.yaml", *options])


def test_another_vocabulary_gets_a_new_head_on_request(pretrained, tmp_path):
    data = shutil.copytree("tests/samples/AN4", tmp_path / "an4")
    transcripts = data / "etc/an4_train.transcription"
    transcripts.write_text(transcripts.read_text().replace("X", "ZQ"))
    options = [
        "hparams/conformer_rd.yaml",
        *small(
            data_folder=data,
            vocab_size=12,
            init_from=pretrained,
            output_folder=tmp_path / "run/1",
            lr=1e-30,
            number_of_epochs=1,
            per_depth="bias",
        ),
    ]
    with pytest.raises(ValueError, match="must be 11.*--new_head=True"):
        main(options)
    main([*options, "--new_head=True"])
    before = load_pretrained(str(pretrained))
    after = load_pretrained(f"{tmp_path}/run/1/pretrained")
    assert {"Z", "Q"} < set(
        after.task.symbols
    ) and "X" not in after.task.symbols
    found = after.modules["model"].state_dict()
    assert found["head.weight"].shape[0] == 12
    for name, weight in before.modules["model"].state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(weight, found[name]), name
    for name, norm in before.modules["normalize"]._statistics_dict().items():
        own = after.modules["normalize"]._statistics_dict()[name]
        assert torch.equal(torch.as_tensor(norm), torch.as_tensor(own))


def test_csv_files_of_ones_own_need_no_preparation(pretrained, tmp_path):
    sample = REPOSITORY / "tests/samples/AN4/wav/an4_clstk/mccc/an4-mccc-b"
    row = f"{sample}.flac,me,ENTER SIX\n"
    for split in ("mine", "dev", "eval"):
        text = f"ID,duration,wav,spk_id,wrd\n{split}-1,1.0,{row}"
        (tmp_path / f"{split}.csv").write_text(text)
    main(
        [
            "hparams/conformer_rd.yaml",
            *small(
                corpus="",
                data_folder=tmp_path,
                train_splits="[mine, dev]",
                valid_splits="[dev]",
                test_splits="[eval]",
                token_type="char",
                vocab_size=9,
                output_folder=f"{tmp_path}/run/1",
                number_of_epochs=1,
            ),
        ]
    )
    assert (tmp_path / "run/1/wer_eval_n2.txt").is_file()


def test_evaluation_alone_leaves_the_training_run_as_it_was(finished_run):
    kept = {
        name: (finished_run / name).read_bytes()
        for name in ("hyperparams.yaml", "env.log", "train_log.txt")
    }
    model = finished_run / "pretrained/model.safetensors"
    before = load_file(model)
    model.unlink()
    (finished_run / "depth_report.json").unlink()
    arguments = [
        "hparams/conformer_dld.yaml",
        *small(output_folder=finished_run, test_depths="[1, 3]"),
        "--test_only",
    ]
    main([*arguments, "--export_only=True"])
    after = load_file(model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not (finished_run / "depth_report.json").exists()
    main(arguments)
    report = json.loads((finished_run / "depth_report.json").read_text())
    assert [r["n_layers"] for r in report["sets"]["test"]] == [1, 3]
    for name, content in kept.items():
        assert (finished_run / name).read_bytes() == content


def test_an_evaluation_takes_the_tokens_of_the_run(pretrained, tmp_path):
    # A student of other data than its teacher's: its tokenizer is not one
    # that its own transcripts would give.
    data = shutil.copytree("tests/samples/AN4", tmp_path / "an4")
    transcripts = data / "etc/an4_train.transcription"
    transcripts.write_text(transcripts.read_text().replace("X", "N"))
    output = tmp_path / "run/1"
    options = small(
        data_folder=data, init_from=pretrained, output_folder=output
    )
    train = ["hparams/conformer_rd.yaml", *options, "--number_of_epochs=1"]
    main(train)
    expected = load_pretrained(f"{output}/pretrained").task
    shutil.rmtree(output / "pretrained")
    main([*train, "--test_only"])
    found = load_pretrained(f"{output}/pretrained").task
    assert expected.symbols == found.symbols


def test_a_killed_run_resumes_where_it_was(pretrained, tmp_path):
    command = [
        sys.executable,
        "train.py",
        "hparams/conformer_dld.yaml",
        *small(teacher=pretrained, output_folder=f"{tmp_path}/1"),
        "--number_of_epochs=400",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    log = tmp_path / "1/train_log.txt"
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if log.is_file() and len(log.read_text().splitlines()) >= 3:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(log.read_text().splitlines())
    assert 3 <= done < 400
    main([*command[2:-1], f"--number_of_epochs={done + 2}"])
    epochs = [line.split(",")[0] for line in log.read_text().splitlines()]
    assert epochs == [f"epoch: {i + 1}" for i in range(done + 2)]


def test_the_encoder_of_a_model_is_written_whole(pretrained):
    text = Path(pretrained, "hyperparams.yaml").read_text()
    assert "d_model: 32" in text and "n_total: 3" in text
    assert "!include" not in text and "data_folder" not in text


def test_settings_have_the_documented_order():
    base = {"data_folder": "x"}
    file = "hparams/conformer_dld.yaml"
    assert load_flat(file, base)["vocab_size"] == 256  # the shared file
    an4 = {**base, "corpus": "AN4"}
    assert load_flat(file, an4)["vocab_size"] == 28  # the corpus
    assert load_flat(file, an4)["number_of_epochs"] == 100  # the hparams file
    mine = {**an4, "vocab_size": 9, "number_of_epochs": 1}
    assert load_flat(file, mine)["vocab_size"] == 9  # the command line
    assert load_flat(file, mine)["number_of_epochs"] == 1
