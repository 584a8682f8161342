"""Makes the golden model folder, and what it gave on the day it was made.

> python tests/samples/make_golden.py

The folder is never to be made again to please a test: it stands for every
model that somebody has trained. A version of this package that does not load
it, or gives other log-probabilities, breaks those as well. What may be done
is to add another beside it, of a newer format.
"""

import io
from pathlib import Path

import safetensors.torch
import soundfile
import torch
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from dld_brain import FeatureNorm, LogMel, conformer_encoder
from dld_brain.model_folder import save_model, weights_hash
from dld_brain.search.choose import even_gates, make_table
from dld_brain.tasks import TranscriptionTask
from pretrained_interfaces import DynamicEncoderASR

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
SPEECH = HERE / "AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
SIZES = {
    "n_total": 3,
    "d_model": 16,
    "d_ffn": 32,
    "n_heads": 2,
    "kernel_size": 7,
    "dropout": 0.0,
    "n_mels": 20,
    "stem_activation": "gelu",
    "task": "transcription",
    "closed": "affine",
    "per_depth": "norm",
    "router": {"kind": "none"},
}
FEATURES = {"sample_rate": 16000, "n_fft": 512, "n_mels": 20}


def main() -> None:
    """Writes golden/ and golden.safetensors."""
    if GOLDEN.exists():
        raise FileExistsError(f"{GOLDEN} is there, and is there to stay")
    torch.manual_seed(0)
    proto = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["NINE ONE", "STOP SIX", "YES"]),
        model_writer=proto,
        vocab_size=14,
        model_type="char",
        normalization_rule_name="identity",
        minloglevel=2,
    )
    tokenizer = SentencePieceProcessor(model_proto=proto.getvalue())
    task = TranscriptionTask(tokenizer)
    modules = make_modules(len(task.symbols))
    key = weights_hash(modules["model"])
    table = make_table(modules, key, 16000, "even", even_gates(3))
    settings = {**SIZES, "architecture": "conformer", "sample_rate": 16000}
    settings |= {"vocab_size": len(task.symbols), "n_fft": 512}
    settings |= {"window_ms": 20, "hop_ms": 10}
    save_model(str(GOLDEN), modules, task, table, settings)
    asr = DynamicEncoderASR.from_hparams(GOLDEN)
    samples, _ = soundfile.read(SPEECH, dtype="float32")
    wavs, lens = torch.from_numpy(samples)[None], torch.ones(1)
    found = {str(n): asr.encode_batch(wavs, lens, n) for n in asr.depths}
    safetensors.torch.save_file(found, HERE / "golden.safetensors")
    for n in asr.depths:
        print(n, repr(asr.transcribe_file(SPEECH, n_layers=n)))


def make_modules(vocab_size: int) -> dict[str, torch.nn.Module]:
    """A random model; nothing in it is as it is made."""
    model = conformer_encoder(**SIZES, vocab_size=vocab_size)
    for name, weight in model.named_parameters():
        if name.startswith(("per_depth.", "layers.closed.", "head.")):
            torch.nn.init.normal_(weight, std=0.5)
    normalize = FeatureNorm()
    normalize.glob_mean = torch.linspace(-30.0, -10.0, 20)
    normalize.glob_std = torch.linspace(8.0, 12.0, 20)
    normalize.count = 1
    features = LogMel(**FEATURES)
    modules = {"compute_features": features, "normalize": normalize}
    modules["model"] = model
    return {name: module.eval() for name, module in modules.items()}


if __name__ == "__main__":
    main()
