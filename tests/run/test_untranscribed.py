"""Recordings that nobody transcribed: the teacher writes, and judges."""

import json

import numpy as np
import pytest
import soundfile

from dld_brain.run.main import train as main

SOURCE = "tests/samples/whisper"


@pytest.fixture
def folder(tmp_path):
    """Ten recordings of noise that is loud and soft, as speech is."""
    data = tmp_path / "recordings"
    data.mkdir()
    loud = 0.05 + 0.15 * (np.arange(24_000) // 1600 % 2)
    for i in range(10):
        noise = np.random.default_rng(i).standard_normal(24_000)
        soundfile.write(data / f"{i}.flac", loud * noise, 16_000)
    return data


def options(folder, *more):
    return [
        "--corpus=",
        f"--data_folder={folder}",
        f"--output_folder={folder.parent}/run/1",
        "--num_workers=0",
        "--device=cpu",
        *more,
    ]


@pytest.mark.slow
def test_a_folder_of_audio_is_enough(folder):
    told = [f"--model={SOURCE}", "--number_of_epochs=1"]
    told += ["--layer_importance=False", "--noprogressbar"]
    main(["hparams/whisper_any_depth.yaml", *options(folder, *told)])
    output = folder.parent / "run/1"
    report = json.loads((output / "depth_report.json").read_text())
    assert report["without_reference"] == {"test": 1}
    assert report["sets"]["test"]
    text = (output / "depth_report.md").read_text()
    assert "Against the teacher's transcripts" in text
    log = (output / "log.txt").read_text()
    assert "10 recordings in 10 pieces; of every 10 files one" in log
    assert (output / "pretrained/manifest.json").is_file()


def test_who_needs_transcripts_says_so_before_anything(folder):
    recipe = "hparams/conformer_teacher.yaml"
    with pytest.raises(ValueError, match="holds recordings alone: train a"):
        main([recipe, *options(folder)])
    assert not (folder.parent / "run/1/csv").exists()
