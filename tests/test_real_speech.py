"""The whole job on recorded speech; DLD_SPEECH_DATA says where it is."""

import json

import pytest
from common import rows
from conftest import small

from dld_brain.run.main import train as main
from pretrained_interfaces import DynamicEncoderASR, DynamicEncoderClassifier
from recipes.LibriSpeech.librispeech_prepare import prepare_librispeech
from recipes.MiniLibriSpeech.minilibrispeech_prepare import (
    prepare_minilibrispeech,
)


def test_an4_has_its_official_numbers(real_speech, tmp_path):
    from recipes.AN4.an4_prepare import prepare_an4

    splits = ["train", "valid", "train-all", "test"]
    prepare_an4(str(real_speech / "an4"), str(tmp_path), splits)
    found = {split: rows(tmp_path / f"{split}.csv") for split in splits}
    assert len(found["train-all"]) == 948 and len(found["test"]) == 130
    assert len(found["train"]) + len(found["valid"]) == 948
    speakers = {s: {r["spk_id"] for r in found[s]} for s in splits}
    assert len(speakers["train-all"]) == 74 and len(speakers["test"]) == 10
    assert not speakers["train"] & speakers["valid"]
    assert not speakers["train-all"] & speakers["test"]
    hours = sum(float(r["duration"]) for r in found["train-all"]) / 3600
    assert round(hours, 3) == 0.707


def test_an4_as_sphere_files(real_speech, tmp_path):
    from recipes.AN4.an4_prepare import prepare_an4

    folder = real_speech / "an4_sph_sample/downloads/an4"
    prepare_an4(str(folder), str(tmp_path), ["train-all", "test"], True)
    found = rows(tmp_path / "train-all.csv")
    assert found and all(row["wav"].endswith(".sph") for row in found)


def test_librispeech_pack(real_speech, tmp_path):
    folder = str(real_speech / "librispeech/LibriSpeech")
    counts = {"train-clean-100": 155, "dev-clean": 22, "test-clean": 32}
    prepare_librispeech(folder, str(tmp_path), list(counts))
    for split, n in counts.items():
        assert len(rows(tmp_path / f"{split}.csv")) == n


def test_librispeech_from_preparation_to_transcript(real_speech, tmp_path):
    data = real_speech / "librispeech/LibriSpeech"
    output = tmp_path / "dld/1"
    options = small(
        corpus="LibriSpeech",
        data_folder=data,
        train_splits="[train-clean-100]",
        test_splits="[test-clean]",
        vocab_size=80,
        max_batch_seconds=60,
        num_buckets=10,
        number_of_epochs=1,
        **{"schedule.n_warmup_steps": 10},
        output_folder=output,
        teacher_overrides=f"{{output_folder: {tmp_path}/teacher/1, "
        "number_of_epochs: 1, max_batch_seconds: 60, num_buckets: 10}",
    )
    main(["hparams/conformer_dld.yaml", *options])
    report = json.loads((output / "depth_report.json").read_text())
    assert [r["n_layers"] for r in report["sets"]["test-clean"]] == [2, 3]
    asr = DynamicEncoderASR.from_hparams(output / "pretrained")
    file = sorted(data.glob("test-clean/*/*/*.flac"))[0]
    for n_layers in asr.depths:
        assert isinstance(asr.transcribe_file(file, n_layers), str)


def test_minilibrispeech_from_preparation_to_transcript(real_speech, tmp_path):
    """Its genuine layout in Opus, 1344 utterances; a few of them in training."""
    data = real_speech / "librispeech_clean5/LibriSpeech"
    counts = {"train-clean-5": 1012, "dev": 124, "test": 208}
    prepare_minilibrispeech(str(data), str(tmp_path), list(counts))
    found = {split: rows(tmp_path / f"{split}.csv") for split in counts}
    assert {split: len(found[split]) for split in counts} == counts
    hours = {s: sum(float(r["duration"]) for r in found[s]) for s in counts}
    assert [round(h / 3600, 2) for h in hours.values()] == [3.54, 0.47, 0.71]
    speakers = [{r["spk_id"] for r in found[s]} for s in counts]
    assert [len(s) for s in speakers] == [17, 3, 4]
    assert len(set.union(*speakers)) == 24
    pack = tmp_path / "LibriSpeech"
    for split, speaker in (
        ("train-clean-5", "1737"),
        ("dev-clean", "226"),
        ("test-clean", "19"),
    ):
        (pack / split).mkdir(parents=True)
        (pack / split / speaker).symlink_to(data / split / speaker)
    options = small(
        corpus="MiniLibriSpeech",
        data_folder=pack,
        token_type="char",
        vocab_size=24,
        max_batch_seconds=60,
        num_buckets=10,
        number_of_epochs=1,
        **{"schedule.n_warmup_steps": 10},
        output_folder=tmp_path / "dld/1",
        teacher_overrides=f"{{output_folder: {tmp_path}/teacher/1, "
        "number_of_epochs: 1, max_batch_seconds: 60, num_buckets: 10}",
    )
    main(["hparams/conformer_dld.yaml", *options])
    report = json.loads((tmp_path / "dld/1/depth_report.json").read_text())
    assert [r["n_layers"] for r in report["sets"]["test"]] == [2, 3]
    asr = DynamicEncoderASR.from_hparams(tmp_path / "dld/1/pretrained")
    file = sorted(data.glob("test-clean/*/*/*.opus"))[0]
    assert isinstance(asr.transcribe_file(file, 2), str)


@pytest.fixture
def tedlium(real_speech, tmp_path):
    """TED-LIUM 3's layout; its links are made where they were lost."""
    source = real_speech / "tedlium3/TEDLIUM_release-3"
    folder = tmp_path / "TEDLIUM_release-3"
    (folder / "legacy/train").mkdir(parents=True)
    for part in ("sph", "stm"):
        (folder / "legacy/train" / part).symlink_to(source / "data" / part)
    for split in ("dev", "test"):
        (folder / "legacy" / split).symlink_to(source / "legacy" / split)
    return folder


def test_tedlium_from_preparation_to_transcript(tedlium, tmp_path):
    output = tmp_path / "dld/1"
    changes = {
        "corpus": "TEDLIUM3",
        "data_folder": tedlium,
        "token_type": "char",
        "vocab_size": 29,
        "max_batch_seconds": 60,
        "num_buckets": 4,
        "number_of_epochs": 1,
        "schedule.n_warmup_steps": 10,
    }
    teacher = f"{{output_folder: {tmp_path}/teacher/1, number_of_epochs: 1, "
    teacher += "max_batch_seconds: 60, num_buckets: 4}"
    options = small(**changes, output_folder=output, teacher_overrides=teacher)
    main(["hparams/conformer_dld.yaml", *options])
    counts = {"train": 23, "dev": 7, "test": 8}
    for split, n in counts.items():
        assert len(rows(output / f"csv/{split}.csv")) == n
    report = json.loads((output / "depth_report.json").read_text())
    assert [r["n_layers"] for r in report["sets"]["test"]] == [2, 3]
    texts = [row["wrd"] for row in rows(output / "csv/test.csv")]
    assert any("don't" in text for text in texts)
    assert not any(" 's" in text or "<unk>" in text for text in texts)


def test_intents_from_preparation_to_label(real_speech, tmp_path):
    folder = real_speech / "fluent_speech_commands"
    folder = folder / "fluent_speech_commands_dataset"
    teacher = tmp_path / "teacher/1"
    shared = {
        "corpus": "FluentSpeechCommands",
        "data_folder": folder,
        "vocab_size": 10,
        "number_of_epochs": 1,
    }
    for recipe, changes in (
        ("conformer_slu_teacher", {"output_folder": teacher}),
        ("conformer_slu_rd", {"output_folder": tmp_path / "rd/1"}),
        (
            "conformer_slu_dld",
            {
                "output_folder": tmp_path / "dld/1",
                "teacher": teacher / "pretrained",
                "init_from": teacher / "pretrained",
            },
        ),
    ):
        main([f"hparams/{recipe}.yaml", *small(**shared, **changes)])
        report = changes["output_folder"] / "depth_report.json"
        sets = json.loads(report.read_text())["sets"]
        assert [row["n_layers"] for row in sets["test"]] == [2, 3]
    assert len(rows(tmp_path / "dld/1/csv/train.csv")) == 420
    pretrained = tmp_path / "dld/1/pretrained"
    classifier = DynamicEncoderClassifier.from_hparams(pretrained)
    wav = sorted(folder.glob("wavs/speakers/*/*.wav"))[0]
    assert classifier.classify_file(wav, 2).text_lab[0].count("/") == 2
