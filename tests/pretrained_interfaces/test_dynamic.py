"""What is loaded: the layers of one depth, and the table that says which."""

import subprocess
import sys

import pytest
import torch
from common import noise

from dld_brain.depth_table import FILE, DepthTable
from dld_brain.files.manifest import write_manifest
from pretrained_interfaces import DynamicEncoderASR

SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"


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
    depths = {1: "1", 2: "between 1 and 2"}[n_layers]
    with pytest.raises(ValueError, match=f"must be {depths}, but is 3"):
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
    with pytest.raises(ValueError, match="must be 2, but is 1"):
        part.layers(1)
    with pytest.raises(ValueError, match="between 1 and 3, but is 4"):
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
from pretrained_interfaces.depths.calibration import peak_memory
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
