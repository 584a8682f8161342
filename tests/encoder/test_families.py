"""What every family of encoders must do; see docs/new_encoder.md."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from common import tiny_modules
from conftest import WHISPER_SIZE, save_hf, save_whisper
from hub_models import save_bert, save_parakeet
from stock_folders import save_stock
from torch import nn

import dld_brain
from dld_brain.audio.features import FeatureNorm, LogMel, Waveform, extract
from dld_brain.audio.hub_mels import ParakeetMel, SeamlessMel
from dld_brain.audio.whisper_mel import WhisperMel
from dld_brain.encoder.parakeet import parakeet_body
from dld_brain.encoder.part import part_of
from dld_brain.encoder.wav2vec2_bert import wav2vec2_bert_body
from dld_brain.encoder.wavlm.huggingface import full_config, plain_config
from dld_brain.encoder.whisper.config import KEYS
from dld_brain.export.stock_speechbrain import write_submodel
from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import evenly_spread
from dld_brain.model_folder import load_pretrained, save_model, weights_hash
from dld_brain.run import stock_folder
from dld_brain.search.choose import even_gates, make_table
from dld_brain.tasks import TranscriptionTask
from speechbrain.lobes.models.transformer.Conformer import ConformerEncoder

#: Characters of the golden model's vocabulary.
TOKENIZER, VOCABULARY = Path("tests/samples/golden/tokenizer.model"), 13


class Family(NamedTuple):
    """A small encoder, and the stock one with the same weights.

    Arguments
    ---------
    modules : dict
        `compute_features`, `normalize` and `model`, in eval mode.
    stock : callable
        (features [1, T, F], layers) -> the output of a stock encoder that
        has those layers alone, [1, T', D].
    n_samples : int
        Audio that the stock encoder takes.
    settings : dict
        As hparams/shared/ has them; none for one that the facade lacks.
    """

    modules: dict[str, Any]
    stock: Callable
    n_samples: int = 16000
    settings: dict[str, Any] = {}

    @property
    def model(self):
        return self.modules["model"]


def family(features, norm, model, stock, **rest) -> Family:
    """A family in eval mode."""
    modules = {"compute_features": features, "normalize": norm, "model": model}
    return Family({k: m.eval() for k, m in modules.items()}, stock, **rest)


def conformer(folder):
    sizes = {"n_total": 4, "d_model": 16, "d_ffn": 32, "n_heads": 2}
    sizes |= {"kernel_size": 7, "vocab_size": VOCABULARY}
    modules = tiny_modules(**sizes)
    model = modules["model"]

    def stock(feats, layers):
        theirs = ConformerEncoder(
            len(layers), 16, 32, 2, 7, attention_type="regularMHA"
        ).eval()
        theirs.norm = nn.Identity()
        for layer, i in zip(theirs.layers, layers):
            layer.load_state_dict(model.layers.layers[i].state_dict())
        return theirs(model.stem(feats, torch.tensor([feats.shape[1]]))[0])[0]

    settings = {"n_mels": 20, "n_fft": 512, "window_ms": 20, "hop_ms": 10}
    settings |= {**sizes, "dropout": 0.0, "stem_activation": "gelu"}
    settings |= {"positions": "sinusoidal", "top_db": 80.0}
    return Family(modules, stock, settings=settings)


def wavlm(folder, is_large=False):
    theirs = save_hf(folder, "wavlm", is_large)
    config = {"layerdrop": 0.0}
    model = dld_brain.wavlm_encoder(str(folder), config, VOCABULARY)
    encoder, whole = theirs.encoder, list(theirs.encoder.layers)
    table = whole[0].attention.rel_attn_embed

    def stock(feats, layers):
        encoder.layers = nn.ModuleList(whole[i] for i in layers)
        whole[layers[0]].attention.rel_attn_embed = table
        return theirs(feats.squeeze(-1)).last_hidden_state

    settings = {"normalize_wav": False, "freeze_stem": True}
    settings["full_config"] = full_config(str(folder), config)
    norm = FeatureNorm("sentence", enabled=False)
    return family(Waveform(), norm, model, stock, settings=settings)


def wavlm_pre_norm(folder):
    return wavlm(folder, is_large=True)


def whisper(folder):
    theirs = save_whisper(folder, encoder_layers=4).model.encoder
    model = dld_brain.whisper_encoder(str(folder), {}, VOCABULARY, n_mels=16)
    whole = list(theirs.layers)

    def stock(feats, layers):
        theirs.layers = nn.ModuleList(whole[i] for i in layers)
        return theirs(feats.transpose(1, 2)).last_hidden_state

    sizes = {k: v for k, v in WHISPER_SIZE.items() if k in KEYS}
    settings = {"n_mels": 16, "freeze_stem": True, "full_config": sizes}
    settings |= {"decoder": None}
    return family(
        WhisperMel(n_mels=16),
        FeatureNorm("sentence", enabled=False),
        model,
        stock,
        n_samples=480_000,
        settings=settings,
    )


def transformer_asr(folder, **changes):
    """A stock folder's modules, and ours with their weights."""
    made = save_stock(folder, **changes)
    theirs, found = made["Transformer"], stock_folder.read_stock(str(folder))
    model, whole = found.make(), list(theirs.encoder.layers)

    def stock(feats, layers):
        theirs.encoder.layers = nn.ModuleList(whole[i] for i in layers)
        return theirs.encode(made["CNN"](feats), torch.ones(1))

    norm = FeatureNorm()
    norm._load_statistics_dict(found.statistics)
    features = LogMel(n_fft=400, n_mels=20, win_length=25)
    settings = found.settings
    return family(features, norm, model, stock, settings=settings)


def conformer_relative(folder):
    return transformer_asr(folder)


def branchformer(folder):
    return transformer_asr(folder, encoder_module="branchformer")


def branchformer_absolute(folder):
    return transformer_asr(
        folder,
        encoder_module="branchformer",
        attention_type="regularMHA",
        use_linear_after_conv=True,
        gate_activation="!name:torch.nn.Sigmoid",
    )


def transformer(folder):
    return transformer_asr(
        folder, encoder_module="transformer", attention_type="regularMHA"
    )


def transformer_post_norm(folder):
    return transformer_asr(
        folder, encoder_module="transformer", normalize_before=False
    )


def wav2vec2_bert(folder, positions="relative_key", **changes):
    theirs = save_bert(folder, positions, **changes).wav2vec2_bert
    model = wav2vec2_bert_body(copy.deepcopy(theirs)).with_head(VOCABULARY)
    whole = list(theirs.encoder.layers)
    theirs.adapter = theirs.intermediate_ffn = None  # behind the encoder

    def stock(feats, layers):
        theirs.encoder.layers = nn.ModuleList(whole[i] for i in layers)
        return theirs(feats).last_hidden_state

    config = plain_config(theirs.config)
    settings = {"n_mels": 80, "n_stacked": 2, "freeze_stem": True}
    settings |= {"config": config, "full_config": config}
    norm = FeatureNorm("sentence", enabled=False)
    return family(SeamlessMel(), norm, model, stock, settings=settings)


def wav2vec2_bert_relative(folder):
    return wav2vec2_bert(folder, "relative")


def wav2vec2_bert_rotary(folder):
    return wav2vec2_bert(folder, "rotary")


def wav2vec2_bert_adapter(folder):
    return wav2vec2_bert(
        folder,
        add_adapter=True,
        num_adapter_layers=2,
        output_hidden_size=24,
        use_intermediate_ffn_before_adapter=True,
    )


def parakeet(folder):
    theirs = save_parakeet(folder).encoder
    model = parakeet_body(copy.deepcopy(theirs)).with_head(VOCABULARY)
    whole = list(theirs.layers)

    def stock(feats, layers):
        theirs.layers = nn.ModuleList(whole[i] for i in layers)
        return theirs(feats).last_hidden_state

    config = plain_config(theirs.config)
    settings = {"n_mels": 32, "n_fft": 512, "window_ms": 25.0, "hop_ms": 10.0}
    settings |= {"preemphasis": 0.97, "freeze_stem": True}
    settings |= {"config": config, "full_config": config}
    norm = FeatureNorm("sentence", enabled=False)
    mels = ParakeetMel(n_mels=32)
    return family(mels, norm, model, stock, settings=settings)


def of_the_docs(folder):
    """The family that docs/new_encoder.md makes."""
    text = Path("docs/new_encoder.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    model = names["transformer_encoder"](4, 16, 2, VOCABULARY, n_mels=20)

    def stock(feats, layers):
        encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                16, 2, norm_first=True, batch_first=True
            ),
            len(layers),
            norm=model.layers.norm,
            enable_nested_tensor=False,
        ).eval()
        for theirs, i in zip(encoder.layers, layers):
            theirs.load_state_dict(model.layers.layers[i].state_dict())
        return encoder(model.stem(feats, torch.tensor([feats.shape[1]]))[0])

    norm = FeatureNorm("sentence", enabled=False)
    return family(LogMel(n_mels=20), norm, model, stock)


FAMILIES = [
    conformer,
    wavlm,
    wavlm_pre_norm,
    whisper,
    conformer_relative,
    branchformer,
    branchformer_absolute,
    transformer,
    transformer_post_norm,
    wav2vec2_bert,
    wav2vec2_bert_relative,
    wav2vec2_bert_rotary,
    wav2vec2_bert_adapter,
    parakeet,
    of_the_docs,
]
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
