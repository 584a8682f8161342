"""Calibration: measured, kept, of this machine."""

import json

import pytest

from pretrained_interfaces import Budget
from pretrained_interfaces.__main__ import main
from pretrained_interfaces.depths.calibration import (
    FILE as CALIBRATION,
    Calibration,
)

SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"


def test_cost_lies_on_the_lines_between_the_lengths(calibrated):
    found = calibrated.calibration
    assert found.cost(2, 2.0) == pytest.approx(0.4)
    assert found.cost(2, 5.0) == pytest.approx(1.0)  # the last slope goes on
    assert found.cost(2, 0.1) == pytest.approx(0.2)  # never below the first


def test_calibration_measures_and_is_kept(asr, folder):
    found = asr.calibrate(seconds=1, repeats=5)
    assert found.seconds == [0.2, 1.0, 2.0]
    assert set(found.latency) == {1, 2, 3} == set(found.encoder_latency)
    for n in (1, 2, 3):
        pairs = zip(found.encoder_latency[n], found.latency[n])
        assert all(0 < encoder < whole for encoder, whole in pairs)
    assert Calibration.load(folder) == found
    assert {"processor", "threads", "torch"} <= set(found.machine)
    if found.peak_memory:
        assert min(found.peak_memory.values()) > 2**20
    with pytest.raises(ValueError, match="between 1 and 600, but is 0"):
        asr.calibrate(seconds=0)


def test_uncalibrated_it_calibrates_first_and_says_so(
    asr, made_up, folder, caplog
):
    asr.calibrate = lambda: made_up((0.1, 0.2), (0.2, 0.6), (0.4, 1.6))
    assert asr.depth_for(1.0, Budget(max_latency=0.3)) == 2
    assert "calibrating first" in caplog.text
    caplog.clear()
    # Kept, of this machine: nothing to say. Of another machine: anew.
    asr.calibrate().save(folder)
    asr.calibration = None
    assert asr.depth_for(1.0, Budget(max_latency=0.3)) == 2
    assert caplog.text == ""
    asr.calibration.machine["threads"] = 99
    asr.depth_for(1.0, Budget(max_latency=0.3))
    assert "calibrating first" in caplog.text


def test_the_command_line_takes_budgets(folder, capsys):
    source = ["--source", str(folder)]
    assert main(["calibrate", *source, "--seconds", "1"]) == 0
    out = capsys.readouterr().out
    assert "| 3 |" in out and "1 s of audio, ms" in out
    assert (folder / CALIBRATION).is_file()
    flags = ["--max_latency", "9", "--json", SPEECH]
    assert main(["transcribe", *source, *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_layers"] == 3 and found["rtf"] > 0
    flags = ["--max_latency", "1e-9", SPEECH]
    assert main(["transcribe", *source, *flags]) == 1
    assert "no depth transcribes" in capsys.readouterr().err
