"""Budgets, calibration, going deeper, and models of one depth alone."""

import json
import subprocess
import sys

import pytest
import torch

from common import noise, tiny_modules
from dld_brain.depth_table import FILE, DepthTable
from dld_brain.encoder.deepen import deepen
from dld_brain.evaluation.escalation import climb
from dld_brain.gates.gates import Gates
from dld_brain.model_folder.manifest import write_manifest
from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.__main__ import main
from pretrained_interfaces.budget import Budget
from pretrained_interfaces.calibration import (
    FILE as CALIBRATION,
    Calibration,
    machine,
)

SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"


@pytest.fixture
def folder(pretrained, tmp_path):
    """A copy of a model folder that a test may change."""
    for file in pretrained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture
def asr(folder):
    return DynamicEncoderASR.from_hparams(source=folder)


def made_up(asr, *latencies):
    """A calibration of this machine with latencies for 1 and 3 s."""
    times = {n: list(t) for n, t in enumerate(latencies, start=1)}
    model, here = asr.table.model, machine(asr.device)
    return Calibration(model, here, [1.0, 3.0], times, times)


@pytest.fixture
def calibrated(asr):
    asr.calibration = made_up(asr, (0.1, 0.2), (0.2, 0.6), (0.4, 1.6))
    return asr


def test_cost_lies_on_the_lines_between_the_lengths(calibrated):
    found = calibrated.calibration
    assert found.cost(2, 2.0) == pytest.approx(0.4)
    assert found.cost(2, 5.0) == pytest.approx(1.0)  # the last slope goes on
    assert found.cost(2, 0.1) == pytest.approx(0.2)  # never below the first


@pytest.mark.parametrize(
    "budget, depth",
    [
        (Budget(max_latency=0.15), 1),
        (Budget(max_latency=0.45), 2),
        (Budget(max_latency=9.0), 3),
        (Budget(max_rtf=0.25), 2),  # 0.5 s for 2 s
        (Budget(max_rtf=0.25, max_latency=0.2), 1),  # the tighter one
        (Budget(max_rtf=0.001, best_effort=True), 1),
    ],
)
def test_the_deepest_depth_that_fits(calibrated, budget, depth):
    assert calibrated.depth_for(2.0, budget) == depth


def test_a_budget_below_the_fastest_names_it(calibrated):
    with pytest.raises(ValueError, match=r"n_layers=1, takes 0.15 s \(real"):
        calibrated.depth_for(2.0, Budget(max_latency=0.01))


def test_a_budget_decides_the_depth_of_a_file(calibrated):
    fast = calibrated.transcribe(SPEECH, max_latency=0.12)
    slow = calibrated.transcribe(SPEECH, max_rtf=99.0)
    assert (fast.n_layers, slow.n_layers) == (1, 3)
    assert fast.text == calibrated.transcribe_file(SPEECH, n_layers=1)
    assert slow.layers == (0, 1, 2) and slow.rtf > 0
    assert 0 < slow.confidence <= 1 and slow.entropy > 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_layers": 2, "max_rtf": 1.0}, "a budget or `n_layers`, not both"),
        ({"max_rtf": 1.0, "max_entropy": 1.0}, "or `max_entropy`, not both"),
        ({"max_latency": 0.0}, "`max_latency` must be more than 0, but is 0"),
        ({"best_effort": True}, "`best_effort` needs a budget"),
        ({"ladder": [1, 2]}, "`ladder` needs `max_entropy`"),
        ({"max_entropy": 1.0, "ladder": [2, 1]}, "depths that rise"),
        ({"max_entropy": 1.0, "ladder": [1, 9]}, "between 1 and 3, but is 9"),
    ],
)
def test_what_contradicts_itself_is_refused(calibrated, options, message):
    with pytest.raises(ValueError, match=message):
        calibrated.transcribe("not even read", **options)


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


def test_uncalibrated_it_calibrates_first_and_says_so(asr, folder, caplog):
    asr.calibrate = lambda: made_up(asr, (0.1, 0.2), (0.2, 0.6), (0.4, 1.6))
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


@pytest.mark.parametrize("closed", ["identity", "norm"])
@torch.no_grad()
def test_going_deeper_gives_what_each_depth_gives_alone(closed):
    model = tiny_modules(closed=closed)["model"]
    x, lengths = torch.randn(2, 30, 16), torch.tensor([30, 20])
    sets = [(0, 3), (0, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3)]
    steps = list(deepen(model, x, lengths, sets))
    for layers, step in zip(sets, steps):
        gates = Gates.of(layers, 4)
        y = model.run_layers(x, lengths, gates)
        alone = model.run_head(y, lengths, len(step.layers))
        assert torch.equal(step.out.log_probs, alone.log_probs)
    # Layer 0 is taken over, then nothing behind the first that differs.
    assert [step.n_computed for step in steps] == [2, 2, 3, 0]


def test_going_deeper_computes_no_more_than_it_says():
    model = tiny_modules()["model"]
    calls = []
    for layer in model.layers.layers:
        layer.register_forward_hook(lambda *_: calls.append(1))
    x, lengths = torch.randn(1, 30, 16), torch.tensor([30])
    steps = deepen(model, x, lengths, [(0, 1), (0, 1, 2, 3)])
    next(steps)
    assert len(calls) == 2
    next(steps)
    assert len(calls) == 4


def test_it_goes_deeper_only_where_unsure(asr):
    sure = asr.transcribe(SPEECH, 1, max_entropy=99.0)
    unsure = asr.transcribe(SPEECH, 1, max_entropy=0.0)
    assert (sure.n_layers, sure.layers_computed) == (1, 1)
    assert unsure.n_layers == 3 and unsure.layers_computed > 3
    assert unsure.text == asr.transcribe_file(SPEECH)
    assert climb([0.5, 0.2, 0.1], 0.3) == 1


@pytest.mark.parametrize("n_layers", [1, 2])
def test_a_model_of_one_depth_gives_what_the_whole_gives(asr, folder, n_layers):
    part = DynamicEncoderASR.from_hparams(source=folder, n_layers=n_layers)
    wavs = torch.stack([u["sig"][:5000] for u in noise(2)])
    lens = torch.tensor([1.0, 0.5])
    assert torch.equal(
        part.encode_batch(wavs, lens, n_layers),
        asr.encode_batch(wavs, lens, n_layers),
    )
    sizes = [
        sum(p.numel() for p in a.mods.model.parameters()) for a in (part, asr)
    ]
    assert sizes[0] == asr.table.rows[n_layers - 1].params < sizes[1]
    with pytest.raises(ValueError, match=f"between 1 and {n_layers}, but is 3"):
        part.transcribe_file(SPEECH, n_layers=3)


def test_a_part_of_a_wavlm_loads_as_well(pretrained_wavlm):
    whole = DynamicEncoderASR.from_hparams(source=pretrained_wavlm)
    part = DynamicEncoderASR.from_hparams(source=pretrained_wavlm, n_layers=2)
    wavs, lens = 0.1 * torch.randn(1, 8000), torch.ones(1)
    assert torch.equal(
        part.encode_batch(wavs, lens), whole.encode_batch(wavs, lens, 2)
    )


def test_depths_whose_layers_are_not_loaded_are_refused(folder):
    table = DepthTable()
    table.read(folder / FILE)
    table.rows[0].layers = [1]  # not among (0, 2)
    table.save(folder)
    write_manifest(folder)
    part = DynamicEncoderASR.from_hparams(source=folder, n_layers=2)
    assert part.depths == (2,)
    with pytest.raises(ValueError, match=r"depth of the table \(2\), but is 1"):
        part.layers(1)
    with pytest.raises(ValueError, match=r"depth of the table \(1, 2, 3\)"):
        DynamicEncoderASR.from_hparams(source=folder, n_layers=4)


def test_the_table_of_another_model_is_refused(folder):
    table = DepthTable()
    table.read(folder / FILE)
    table.model = "0" * 32
    table.save(folder)
    write_manifest(folder)
    with pytest.raises(ValueError, match="must be of this model .* of another"):
        DynamicEncoderASR.from_hparams(source=folder)


def test_the_table_decides_which_layers_run(folder):
    table = DepthTable()
    table.read(folder / FILE)
    table.rows[1].layers = [1, 2]
    table.save(folder)
    write_manifest(folder)
    asr = DynamicEncoderASR.from_hparams(source=folder)
    assert asr.layers(2) == (1, 2)


LOAD = """
import sys
import torch
from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.calibration import peak_memory
asr = []
def load():
    n_layers = int(sys.argv[2]) or None
    asr.append(DynamicEncoderASR.from_hparams(sys.argv[1], n_layers=n_layers))
before = peak_memory(lambda: None, "cpu")
print(peak_memory(load, "cpu") - before)
print(peak_memory(lambda: None, "cpu") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_part_of_the_papers_model_takes_less_memory(pretrained, tmp_path):
    from common import set_statistics
    from dld_brain.model_folder import save_model, weights_hash
    from dld_brain.run.config import load_flat
    from dld_brain.search.choose import even_gates, make_table
    from dld_brain.tasks import TranscriptionTask

    settings = {"data_folder": "none", "vocab_size": 11}
    hparams = load_flat("hparams/conformer_rd.yaml", settings)
    modules = hparams["modules"]
    set_statistics(modules["normalize"], 80)
    task = TranscriptionTask.load(pretrained / "tokenizer.model")
    key = weights_hash(modules["model"])
    table = make_table(modules, key, 16000, "even", even_gates(12))
    folder = str(tmp_path / "model")
    save_model(folder, modules, task, table, hparams)
    peak, resident = {}, {}
    for n in (2, 0):
        result = subprocess.run(
            [sys.executable, "-c", LOAD, folder, str(n)],
            capture_output=True,
            text=True,
            check=True,
        )
        peak[n], resident[n] = map(int, result.stdout.split()[-2:])
    # Ten layers of 2,573,568 parameters: 98 MiB of 119 MiB.
    left_out = 10 * 2_573_568 * 4
    assert resident[0] - resident[2] > 0.9 * left_out
    assert peak[0] - peak[2] > 0.9 * left_out


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
