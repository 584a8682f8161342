"""A model folder loads for ever; see tests/samples/make_golden.py."""

from pathlib import Path

import pytest
import safetensors.torch
import soundfile
import torch

from pretrained_interfaces import DynamicEncoderASR

SAMPLES = Path("tests/samples")
SPEECH = SAMPLES / "AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
TEXTS = {1: "Y Y Y", 2: "PYTYPYP", 3: "NYNYE"}


@pytest.mark.parametrize("n_layers", TEXTS)
def test_the_golden_folder_gives_what_it_gave(n_layers):
    asr = DynamicEncoderASR.from_hparams(SAMPLES / "golden")
    samples, _ = soundfile.read(SPEECH, dtype="float32")
    wavs, lens = torch.from_numpy(samples)[None], torch.ones(1)
    found = asr.encode_batch(wavs, lens, n_layers)
    kept = (SAMPLES / "golden.safetensors").read_bytes()
    expected = safetensors.torch.load(kept)[str(n_layers)]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    text = asr.transcribe_file(SPEECH, n_layers=n_layers)
    assert text == TEXTS[n_layers]


def test_the_golden_folder_is_small():
    sizes = [p.stat().st_size for p in (SAMPLES / "golden").iterdir()]
    assert sum(sizes) < 100_000
