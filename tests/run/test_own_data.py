"""Runs on CSV files of one's own: what is said before training, and left out."""

import numpy as np
import pytest
import soundfile
from conftest import small

from dld_brain.model_folder import load_pretrained
from dld_brain.run.main import train as main


@pytest.fixture
def run(tmp_path):
    """Trains a step on utterances, of which the first is cut."""
    lines = ["\ufeffduration;ID;wrd;wav"]
    for i in range(4):
        samples = np.random.default_rng(i).standard_normal(16000 - 800 * i)
        soundfile.write(tmp_path / f"{i}.flac", 0.1 * samples, 16000)
        text = ("yes", "no", "yes no")[i % 3]
        lines.append(f"{1 - 0.05 * i:.2f};u{i};{text};$data_root/{i}.flac")
    cut = tmp_path / "0.flac"
    cut.write_bytes(cut.read_bytes()[:8000])

    def call(test=None, **changes):
        for split in ("train", "dev", "eval"):
            text = "\r\n".join(lines)
            if test and split == "eval":
                text = test
            (tmp_path / f"{split}.csv").write_text(text, "utf-8", newline="")
        changes = {"text_case": "upper", "max_unspellable": 0.1, **changes}
        options = small(
            corpus="",
            data_folder=tmp_path,
            train_splits="train",
            valid_splits="dev",
            test_splits="eval",
            token_type="char",
            vocab_size=7,
            output_folder=f"{tmp_path}/run/1",
            number_of_epochs=1,
            **changes,
        )
        main(["hparams/conformer_teacher.yaml", *options])
        return tmp_path / "run/1"

    return call


def test_a_cut_file_is_found_before_training(run, tmp_path):
    with pytest.raises(ValueError, match=r"train: 1 problem.*train.csv:2: u0"):
        run()
    assert not list(tmp_path.glob("run/1/save/CKPT*"))


@pytest.mark.slow
@pytest.mark.parametrize("option", ["allow_problems", "decode_audio"])
def test_a_cut_file_is_left_out_where_that_is_asked(option, run):
    value = option == "allow_problems"
    output = run(corpus_options=f"{{{option}: {value}}}")
    log = (output / "log.txt").read_text()
    assert "u0" in log and "left out" in log
    assert log.count("csv: u0 is left out (1 of 4 cannot") == (not value)
    details = (output / "wer_eval_n2.txt").read_text()
    assert "u0," not in details and "u1," in details and "YES" in details
    task = load_pretrained(str(output / "pretrained")).task
    assert task.text("yes") == "YES"


def test_test_speech_that_cannot_be_spelled_is_refused_before_training(
    run, tmp_path
):
    text = "ID,duration,wav,wrd\nt1,0.95,$data_root/1.flac,maybe yes\n"
    with pytest.raises(ValueError, match=r"eval.csv: 1 of 2 words .* 'M' \(1"):
        run(text, corpus_options="{allow_problems: True}")
    assert not list(tmp_path.glob("run/1/save/CKPT*"))
