"""What every family of encoders must do; see docs/new_encoder.md."""

import pytest
import torch
from families import (
    FAMILIES,
    TOKENIZER,
    VOCABULARY,
    branchformer,
    conformer_relative,
    parakeet,
    wav2vec2_bert,
    wav2vec2_bert_adapter,
    whisper,
)
from hub_models import save_bert
from torch import nn

from dld_brain.audio.features import LogMel, extract
from dld_brain.encoder.part import part_of
from dld_brain.encoder.wav2vec2_bert import wav2vec2_bert_body
from dld_brain.export.stock_speechbrain import write_submodel
from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import evenly_spread
from dld_brain.model_folder import load_pretrained, save_model, weights_hash
from dld_brain.search.choose import even_gates, make_table
from dld_brain.tasks import TranscriptionTask

#: Whose ONNX graphs tests/export does not make already; each takes 7 s.
TO_EXPORT = [
    whisper,
    conformer_relative,
    branchformer,
    parakeet,
    wav2vec2_bert,
    wav2vec2_bert_adapter,
]
SETS = [(3,), (1, 2), (0, 2, 3), (0, 1, 2, 3)]


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda f: f.__name__)
def case(request, tmp_path_factory):
    torch.manual_seed(0)
    return request.param(tmp_path_factory.mktemp("family"))


def noise(*shape):
    rng = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(*shape, generator=rng)


def run(modules, wavs, lens, gates):
    """The whole arrow at one depth."""
    feats, lengths = extract(modules, wavs, lens)
    return modules["model"](feats, lengths, [gates])[0]


def test_an_adapter_is_of_transcription(tmp_path):
    theirs = save_bert(tmp_path, add_adapter=True).wav2vec2_bert
    with pytest.raises(ValueError, match="must be transcription .* adapter"):
        wav2vec2_bert_body(theirs).with_head(3, "classification")


@torch.no_grad()
@pytest.mark.parametrize("layers", SETS)
def test_open_gates_equal_the_stock_encoder_of_those_layers(case, layers):
    """All of them, too: then it is the stock encoder itself."""
    feats, lengths = extract(
        case.modules, noise(1, case.n_samples), torch.ones(1)
    )
    x, lengths = case.model.stem(feats, lengths)
    found = case.model.run_layers(x, lengths, Gates.of(layers, 4))
    expected = case.stock(feats, layers)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_alone_equals_padded_at_every_depth(case):
    """Whatever stands behind the end of an utterance."""
    samples = torch.tensor([16000, 12345, 9999, 1200])
    wavs = noise(4, 16000)
    for wav, n in zip(wavs, samples):
        wav[n:] = 0.5
    n_clean = [wav[:n] for wav, n in zip(wavs, samples)]
    silent = nn.utils.rnn.pad_sequence(n_clean, batch_first=True)
    # LogMel, as SpeechBrain's, hears half a window behind the end.
    hears = isinstance(case.modules["compute_features"], LogMel)
    for n_layers in (1, 2, 3, 4):
        gates = evenly_spread(n_layers, 4)
        batch = silent if hears else wavs
        together = run(case.modules, batch, samples / 16000, gates)
        for i, wav in enumerate(n_clean):
            alone = run(case.modules, wav[None], torch.ones(1), gates)
            n = int(alone.lengths)
            assert int(together.lengths[i]) == n == alone.log_probs.shape[1]
            torch.testing.assert_close(
                together.log_probs[i, :n],
                alone.log_probs[0],
                atol=1e-4,
                rtol=0,
            )


def test_a_closed_layer_is_not_called_and_has_no_gradient(case):
    model, calls = case.model, []
    hooks = [
        layer.register_forward_hook(lambda *_, i=i: calls.append(i))
        for i, layer in enumerate(model.layers.layers)
    ]
    model.zero_grad()
    out = run(case.modules, noise(2, 8000), torch.ones(2), Gates((0, 2), 4))
    out.log_probs[..., 0].sum().backward()
    for hook in hooks:
        hook.remove()
    assert calls == [0, 2]
    for i, layer in enumerate(model.layers.layers):
        grads = [p.grad for p in layer.parameters()]
        assert all((g is not None) == (i in calls) for g in grads)
    for module in (model.layers.norm, model.bias):
        if module is not None:
            assert all(p.grad is not None for p in module.parameters())
    model.zero_grad()


@torch.no_grad()
def test_a_part_gives_what_the_gates_give(case):
    wavs, lens = noise(2, 8000), torch.tensor([1.0, 0.7])
    for layers in SETS:
        part = {
            **case.modules,
            "model": part_of(case.model, Gates.of(layers, 4)),
        }
        found = run(part, wavs, lens, Gates.full(len(layers)))
        expected = run(case.modules, wavs, lens, Gates.of(layers, 4))
        torch.testing.assert_close(found.log_probs, expected.log_probs)


@torch.no_grad()
def test_a_model_folder_gives_it_back_without_its_source(case, tmp_path):
    """Whole, and the layers of one depth alone; no weight is as it is made."""
    if not case.settings:
        pytest.skip("the facade has no name for it")
    task = TranscriptionTask.load(TOKENIZER)
    key = weights_hash(case.model)
    table = make_table(case.modules, key, 16000, "even", even_gates(4))
    name = type(case.model.stem).__module__.split(".")[2]
    settings = {
        "architecture": name,
        "sample_rate": 16000,
        "source": "gone/away",
        "config": {},
        "n_total": None,
        "task": "transcription",
        "closed": "identity",
        "per_depth": "none",
        "router": {"kind": "none"},
        "vocab_size": VOCABULARY,
        **case.settings,
    }
    folder = str(tmp_path / "model")
    save_model(folder, case.modules, task, table, settings)
    wavs, lens = noise(2, 8000), torch.tensor([1.0, 0.7])
    whole, two = load_pretrained(folder), load_pretrained(folder, 2)
    assert whole.sample_rate == 16000 and two.modules["model"].n_total == 2
    for loaded, gates, own in (
        (whole, Gates((1, 3), 4), Gates((1, 3), 4)),
        (two, table.gates(2, 4), Gates.full(2)),
    ):
        for module in loaded.modules.values():
            module.eval()
        found = run(loaded.modules, wavs, lens, own)
        expected = run(case.modules, wavs, lens, gates)
        torch.testing.assert_close(found.log_probs, expected.log_probs)
    if name == "whisper":
        with pytest.raises(ValueError, match="but is of a Whisper, .* onnx"):
            write_submodel(whole.hparams, Gates.full(4), str(tmp_path / "x"))


@pytest.mark.slow
@pytest.mark.parametrize("case", TO_EXPORT, indirect=True)
@torch.no_grad()
def test_an_onnx_graph_gives_it_at_every_length(case, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    from dld_brain.export.onnx_graph import mel_products, write_onnx

    path, gates = tmp_path / "model.onnx", Gates((0, 2), 4)
    write_onnx(case.modules, gates, path)
    assert mel_products(path, case.modules["compute_features"])  # stay fp32
    session = onnxruntime.InferenceSession(str(path))
    for n_samples in (1600, 27_200, 480_000):
        wavs = noise(2, n_samples)
        lengths = torch.tensor([n_samples, n_samples * 3 // 4])
        wavs[1, lengths[1] :] = 0.0
        feed = {"wavs": wavs.numpy(), "n_samples": lengths.numpy()}
        found, n_frames = session.run(None, feed)
        expected = run(case.modules, wavs, lengths / n_samples, gates)
        assert n_frames.tolist() == expected.lengths.tolist()
        for i, n in enumerate(n_frames):
            torch.testing.assert_close(
                torch.from_numpy(found[i, :n]),
                expected.log_probs[i, :n],
                atol=1e-3,
                rtol=0,
            )
