"""Intents: loss and metric by hand, a whole run, the interface."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch
from common import batch_of, noise, output, tiny_modules
from conftest import INTENTS, small_slu, small_wavlm

from dld_brain import losses
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.encoder.pool import MeanOverTime
from dld_brain.export.__main__ import main as export
from dld_brain.gates.layer_sets import prefix
from dld_brain.model_folder import load_pretrained
from dld_brain.run.main import train as train_main
from dld_brain.tasks import ClassificationTask, find_task
from pretrained_interfaces import DynamicEncoderASR, DynamicEncoderClassifier
from pretrained_interfaces.__main__ import main
from speechbrain.dataio.encoder import CategoricalEncoder

WAV = f"{INTENTS}/wavs/speakers/mbbb/an3-mbbb-b.wav"


def task_of(*names):
    """A task of the labels given."""
    labels = CategoricalEncoder()
    labels.update_from_iterable(names)
    return ClassificationTask(labels)


def posteriors(*rows):
    """Output with these probabilities."""
    log_probs = torch.tensor(rows).log().unsqueeze(1)
    return EncoderOutput(log_probs, torch.ones(len(rows), dtype=torch.long))


def test_the_loss_is_the_cross_entropy_of_each_utterance():
    task = task_of("off", "on")
    targets = torch.stack([task.encode(t) for t in ("on", "off", "up")])
    out = posteriors([0.25, 0.75], [0.25, 0.75], [0.5, 0.5])
    ones = torch.ones(3, dtype=torch.long)
    found = task.loss(out, targets, ones)
    expected = [-math.log(0.75), -math.log(0.25), 0.0]
    assert found.tolist() == pytest.approx(expected)
    assert task.n_impossible(out, targets, ones) == 1


def test_kl_is_that_of_the_posteriors():
    teacher, student = posteriors([0.5, 0.5]), posteriors([0.25, 0.75])
    found = losses.kl(teacher.log_probs, *student[:2])
    assert float(found) == pytest.approx(
        0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    )


def test_an_unknown_label_counts_as_wrong_and_is_reported(tmp_path):
    task = task_of("off", "on")
    assert task.decode(posteriors([0.1, 0.9], [0.9, 0.1])) == ["on", "off"]
    references, answers = ["on", "up", "up"], ["on", "off", "on"]
    assert task.rates(references, answers)["accuracy"] == pytest.approx(100 / 3)
    assert task.unknown(references) == {"up": 2}
    assert task.error(97.0) == 3.0
    path = tmp_path / "details.txt"
    task.write_details(path, ["a", "b", "c"], references, answers)
    assert "up" in path.read_text() and "33%" in path.read_text()


def test_labels_survive_a_file(tmp_path):
    task = task_of("b/c/none", "a/'quoted'/none")
    task.save(tmp_path / "labels.txt")
    assert (
        ClassificationTask.load(tmp_path / "labels.txt").symbols == task.symbols
    )
    (tmp_path / "labels.txt").write_text("nonsense")
    with pytest.raises(ValueError, match="labels.txt is no list of labels"):
        ClassificationTask.load(tmp_path / "labels.txt")


def test_the_mean_leaves_padding_out():
    x = torch.randn(2, 7, 3)
    lengths = torch.tensor([7, 4])
    found, ones = MeanOverTime()(x, lengths)
    torch.testing.assert_close(found[1, 0], x[1, :4].mean(0))
    assert ones.tolist() == [1, 1]


@pytest.mark.parametrize("n_layers", [1, 2, 4])
def test_an_utterance_in_a_batch_gives_what_it_gives_alone(n_layers):
    modules = tiny_modules(task="classification")
    gates = prefix(n_layers, 4)

    def run(batch):
        wavs, lens = batch.sig
        feats, lengths = modules["compute_features"](wavs, lens)
        feats = modules["normalize"](feats, lengths / feats.shape[1])
        with torch.no_grad():
            return output(modules["model"], feats, lengths, gates)[0]

    together = run(batch_of(noise(3)))
    assert together.shape == (3, 1, 12)
    for i, utterance in enumerate(noise(3)):
        alone = run(batch_of([utterance]))
        torch.testing.assert_close(together[i], alone[0], atol=1e-5, rtol=0)


def test_the_report_scores_accuracy_at_every_depth(slu_run):
    report = json.loads((slu_run / "depth_report.json").read_text())
    assert (report["metric"], report["higher_is_better"]) == ("accuracy", True)
    rows = report["sets"]["test"]
    assert {row["n_layers"] for row in rows} == {2, 3}
    for row in rows:
        assert list(row["rates"]) == ["accuracy"]
        assert row["rates"]["accuracy"] <= 50.0  # one label is unknown
    assert report["unknown_labels"] == {"test": {"activate/nine/none": 1}}
    of_confidence = {"ece", "ece_raw"}  # of the table's own layers alone
    kept = set(report["epochs"]["1"]["test"][0])
    assert kept == set(rows[0]) - of_confidence
    assert 0 <= report["teacher"]["test"] <= 50.0
    for name in ("accuracy_vs_depth", "accuracy_vs_rtf", "layer_importance"):
        assert (slu_run / f"{name}.png").stat().st_size > 5000
    assert (slu_run / "accuracy_test_n2.txt").is_file()
    assert not list(slu_run.glob("wer*"))


def test_training_is_counted_with_that_of_the_teacher(slu_run):
    report = json.loads((slu_run / "depth_report.json").read_text())
    training = report["training"]
    teacher = training["before"]
    assert (training["epochs"], teacher["epochs"]) == (2, 3)
    assert (training["steps"], teacher["steps"]) == (2, 3)
    # Forward and backward through three layers, and no teacher.
    assert teacher["layer_passes"] == 3 * 3 * 3
    assert teacher["audio_hours"] == pytest.approx(
        1.5 * training["audio_hours"],
        rel=0.1,  # speeds are perturbed
    )
    assert training["seconds"] > 0 and training["device"] == "cpu"


def test_the_interface_returns_what_speechbrains_does(slu_run):
    model = DynamicEncoderClassifier.from_hparams(slu_run / "pretrained")
    task = load_pretrained(slu_run / "pretrained").task
    for n_layers in model.depths:
        found = model.classify_file(WAV, n_layers=n_layers)
        assert found.out_prob.shape == (1, 4)
        assert float(found.out_prob.exp().sum()) == pytest.approx(1, abs=1e-5)
        assert found.score == found.out_prob.max()
        assert found.text_lab == [task.symbols[int(found.index)]]
    wav = model.load_audio(WAV)
    wavs = torch.zeros(2, 2 * len(wav))
    wavs[0, : len(wav)], wavs[1] = wav, torch.cat([wav, wav])
    batch = model.classify_batch(wavs, torch.tensor([0.5, 1.0]), n_layers=2)
    alone = model.classify_file(WAV, n_layers=2)
    torch.testing.assert_close(batch.out_prob[0], alone.out_prob[0])
    part = DynamicEncoderClassifier.from_hparams(
        slu_run / "pretrained", n_layers=2
    )
    torch.testing.assert_close(
        part.classify_file(WAV, n_layers=2).out_prob, alone.out_prob
    )
    with pytest.raises(ValueError, match="between 1 and 3, but is 4"):
        model.classify_file("missing.wav", n_layers=4)


@pytest.mark.filterwarnings("ignore::dld_brain.audio.checks.AudioWarning")
def test_without_speech_there_is_no_label(slu_run, tmp_path):
    model = DynamicEncoderClassifier.from_hparams(slu_run / "pretrained")
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(16000), 16000)
    found = model.classify_file(path)
    assert (found.text_lab, found.index.tolist()) == ([""], [-1])
    assert found.out_prob.exp().flatten().tolist() == pytest.approx([0.25] * 4)
    assert model.classify_file(path, vad=None).text_lab != [""]


def test_the_command_classifies_and_tells_failures(slu_run, capsys):
    source = ["--source", str(slu_run / "pretrained")]
    assert main(["classify", *source, "--n_layers", "2", WAV]) == 0
    file, label = capsys.readouterr().out.strip().split("\t")
    assert file == WAV and label.count("/") == 2
    assert main(["classify", *source, "--json", WAV, "missing.wav"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert 0 < json.loads(lines[0])["probability"] <= 1
    assert "error" in json.loads(lines[1])
    assert main(["transcribe", *source, WAV]) == 2
    assert "use DynamicEncoderClassifier" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"vocab_size": 31}, "`vocab_size` must be 4, the number of labels"),
        (
            {"corpus": "AN4", "data_folder": "tests/samples/AN4"},
            "must have a column `intent`, but has ID, duration",
        ),
        ({"decoding": "beam"}, "`decoding` of a classification must be greedy"),
        ({"keep_epochs": "[3]"}, "`keep_epochs` must be between 1 and"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(
    changes, message, tmp_path
):
    options = small_slu(output_folder=f"{tmp_path}/1", **changes)
    with pytest.raises(ValueError, match=message):
        train_main(["hparams/conformer_slu_teacher.yaml", *options])
    assert not list(tmp_path.glob("1/save/CKPT*"))


def test_a_transcriber_is_no_teacher_of_a_classifier(pretrained, tmp_path):
    options = small_slu(output_folder=f"{tmp_path}/1", teacher=pretrained)
    with pytest.raises(ValueError, match="must be one of classification, as"):
        train_main(["hparams/conformer_slu_dld.yaml", *options])
    with pytest.raises(ValueError, match="`task` must be one of"):
        find_task("translation")


def test_a_classifier_is_not_loaded_as_a_transcriber(slu_run):
    with pytest.raises(ValueError, match="use DynamicEncoderClassifier"):
        DynamicEncoderASR.from_hparams(slu_run / "pretrained")


def test_a_wavlm_classifies_as_well(hf_folder, tmp_path):
    options = {
        "corpus": "FluentSpeechCommands",
        "data_folder": INTENTS,
        "task": "classification",
        "vocab_size": 4,
        "source": hf_folder,
        "number_of_epochs": 1,
        "layer_importance": False,
        "output_folder": f"{tmp_path}/1",
    }
    train_main(["hparams/wavlm_teacher.yaml", *small_wavlm(**options)])
    model = DynamicEncoderClassifier.from_hparams(f"{tmp_path}/1/pretrained")
    for n_layers in model.depths:
        found = model.classify_file(WAV, n_layers=n_layers)
        assert found.out_prob.shape == (1, 4)


def test_an_export_of_a_classifier_is_refused(slu_run, tmp_path, capsys):
    source = str(slu_run / "pretrained")
    for command in ("submodel", "onnx"):
        options = ["--source", source, "--output", str(tmp_path / command)]
        assert export([command, *options, "--n_layers", "2"]) == 2
        assert "must be a model that transcribes" in capsys.readouterr().err
        assert not (tmp_path / command).exists()
