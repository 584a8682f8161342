"""WavLM, wav2vec 2.0 and HuBERT under gates, against Hugging Face's own."""

import json
import resource
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import transformers
from common import change_weights
from conftest import HF_SIZE, latest_checkpoint, run_train, save_hf, small_wavlm

from dld_brain.audio.features import FeatureNorm, Waveform, extract, min_samples
from dld_brain.encoder.costs import executed_params, macs_at, macs_by_part
from dld_brain.encoder.wavlm.huggingface import full_config, make_config
from dld_brain.encoder.wavlm.layers import wavlm_encoder
from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import evenly_spread
from dld_brain.run.config import load_flat
from pretrained_interfaces import DynamicEncoderASR

N_TOTAL = HF_SIZE["num_hidden_layers"]
KINDS = [
    (kind, is_large)
    for kind in ("wavlm", "wav2vec2", "hubert")
    for is_large in (False, True)
]


@pytest.fixture(
    scope="module",
    params=KINDS,
    ids=lambda p: f"{p[0]}-{'large' if p[1] else 'base'}",
)
def pair(request, tmp_path_factory):
    """Hugging Face's model and ours, read from one folder."""
    folder = tmp_path_factory.mktemp("hf")
    theirs = save_hf(folder, *request.param)
    ours = wavlm_encoder(str(folder), {"layerdrop": 0.0}, vocab_size=29)
    return theirs.eval(), ours.eval()


@pytest.fixture
def samples():
    return 0.1 * torch.randn(
        3, 8000, generator=torch.Generator().manual_seed(1)
    )


def hidden(model, wavs, layers):
    """Output of our layers, [B, T, D]."""
    lengths = torch.full((len(wavs),), wavs.shape[1])
    x, lengths = model.stem(wavs.unsqueeze(-1), lengths)
    return model.run_layers(x, lengths, Gates.of(layers, N_TOTAL))


@torch.no_grad()
def test_all_gates_open_equals_hugging_face(pair, samples):
    theirs, ours = pair
    torch.testing.assert_close(
        hidden(ours, samples, range(N_TOTAL)),
        theirs(samples).last_hidden_state,
        atol=1e-5,
        rtol=0,
    )


@torch.no_grad()
@pytest.mark.parametrize("layers", [(3,), (1, 2), (0, 2, 3)])
def test_n_gates_equal_a_stack_of_those_layers(pair, samples, layers):
    theirs, ours = pair
    encoder = theirs.encoder
    whole = encoder.layers
    table = getattr(whole[0].attention, "rel_attn_embed", None)
    try:
        encoder.layers = torch.nn.ModuleList(whole[i] for i in layers)
        if table is not None:  # or Hugging Face's raises AttributeError
            encoder.layers[0].attention.rel_attn_embed = table
        expected = theirs(samples).last_hidden_state
    finally:
        if table is not None and layers[0]:
            del whole[layers[0]].attention.rel_attn_embed
        encoder.layers = whole
    found = hidden(ours, samples, layers)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("n_layers", range(1, N_TOTAL + 1))
def test_alone_equals_padded(pair, samples, n_layers):
    _, ours = pair
    lengths = torch.tensor([8000, 5000, 399])  # the last: no whole window
    gates = evenly_spread(n_layers, N_TOTAL)
    padded = samples.clone()
    for i, length in enumerate(lengths):
        padded[i, length:] = 7.0  # whatever stands there
    (together,) = ours(padded.unsqueeze(-1), lengths, [gates])
    for i, length in enumerate(lengths):
        (alone,) = ours(
            samples[i : i + 1, :length, None], lengths[i : i + 1], [gates]
        )
        n_frames = int(alone.lengths)
        assert together.lengths[i] == n_frames
        torch.testing.assert_close(
            together.log_probs[i, :n_frames],
            alone.log_probs[0, :n_frames],
            atol=1e-4,
            rtol=0,
        )


def test_dropping_layer_0_by_hand_fails_in_hugging_face(tmp_path, samples):
    theirs = save_hf(tmp_path, "wavlm", False)
    theirs.encoder.layers = theirs.encoder.layers[1:]
    with pytest.raises(AttributeError, match="rel_attn_embed"):
        theirs(samples)


@pytest.fixture
def wavlm(tmp_path):
    save_hf(tmp_path / "hf", "wavlm", False)
    return wavlm_encoder(str(tmp_path / "hf"), {"layerdrop": 0.0}, 12)


def test_the_bias_has_a_gradient_at_every_depth(wavlm, samples):
    lengths = torch.full((3,), 8000)
    for layers in ((3,), (1, 2), (0, 1, 2, 3)):
        wavlm.zero_grad()
        gates = Gates.of(layers, N_TOTAL)
        (out,) = wavlm(samples.unsqueeze(-1), lengths, [gates])
        out.log_probs[..., 0].sum().backward()
        assert wavlm.bias.embedding.weight.grad.abs().sum() > 0
        for i, layer in enumerate(wavlm.layers.layers):
            grads = [p.grad for p in layer.parameters()]
            if i in layers:
                assert all(g is not None for g in grads)
            else:
                assert all(g is None for g in grads)


def test_the_stem_is_frozen_unless_told(wavlm, tmp_path):
    assert not any(p.requires_grad for p in wavlm.stem.conv_layers.parameters())
    assert all(p.requires_grad for p in wavlm.stem.projection.parameters())
    source = str(tmp_path / "hf")
    free = wavlm_encoder(source, {"layerdrop": 0.0}, 12, freeze_stem=False)
    assert all(p.requires_grad for p in free.parameters())


def test_the_bias_is_in_bf16_where_the_rest_is(wavlm, samples):
    lengths = torch.tensor([8000, 8000, 4000])
    args = (samples.unsqueeze(-1), lengths)
    wavlm.eval()
    with torch.no_grad():
        exact = wavlm(*args)[0].log_probs
        with torch.autocast("cpu", torch.bfloat16):
            rough = wavlm(*args)[0].log_probs
    torch.testing.assert_close(rough.float(), exact, atol=0.1, rtol=0)


def test_waveforms_are_normalised_over_valid_samples_alone(samples):
    modules = {
        "compute_features": Waveform(),
        "normalize": FeatureNorm("sentence"),
    }
    together, _ = extract(modules, samples, torch.tensor([1.0, 0.5, 0.25]))
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    for wav, found, length in zip(samples, together, (8000, 4000, 2000)):
        expected = extractor(wav[:length].numpy(), sampling_rate=16000)
        torch.testing.assert_close(
            found[:length, 0],
            torch.from_numpy(expected["input_values"][0]),
            atol=1e-4,
            rtol=1e-4,
        )
    modules["normalize"] = FeatureNorm("sentence", enabled=False)
    assert torch.equal(
        extract(modules, samples, torch.ones(3))[0][..., 0], samples
    )


@pytest.fixture(scope="module")
def base():
    """WavLM-base, 94.4 M parameters, of random weights; takes 400 MB."""
    return load_flat(
        "hparams/wavlm_dld.yaml",
        {
            "data_folder": "none",
            "source": None,
            "config": {"model_type": "wavlm", "layerdrop": 0.0},
        },
    )["modules"]


PAPER = {12: 94.40, 10: 80.23, 8: 66.05, 6: 51.87, 4: 37.70, 2: 23.52}


@pytest.mark.parametrize("n_layers, millions", PAPER.items())
def test_executed_parameters_of_wavlm_base(base, n_layers, millions):
    gates = evenly_spread(n_layers, 12)
    count = executed_params(base["model"], gates)
    assert round(count / 1e6, 2) == millions


@pytest.mark.parametrize("n_layers, giga", [(12, 74.1), (6, 50.6)])
def test_multiply_accumulates_of_wavlm_base(base, n_layers, giga):
    parts = macs_at(macs_by_part(base, 16000), n_layers, 12)
    # For 10 s; the gates of the bias, 0.02 G a layer, are not in the 3.92 G
    # a layer that make 74.1 G.
    assert 10 * sum(parts.values()) / 1e9 == pytest.approx(giga, rel=0.01)
    assert 10 * parts["stem"] / 1e9 == pytest.approx(24.5 + 2.6, rel=0.01)
    assert min_samples(base) == 400


@pytest.mark.slow
@pytest.mark.parametrize("n_layers", [2, 6, 12])
def test_wavlm_base_takes_a_training_step(base, n_layers):
    model = base["model"].train()
    model.zero_grad()
    gates = evenly_spread(n_layers, 12)
    lengths = torch.tensor([32000, 16000])
    (out,) = model(0.1 * torch.randn(2, 32000, 1), lengths, [gates])
    loss = torch.nn.functional.ctc_loss(
        out.log_probs.transpose(0, 1),
        torch.randint(1, 29, (2, 5)),
        out.lengths,
        torch.tensor([5, 4]),
    )
    loss.backward()
    assert torch.isfinite(loss)
    assert gates.depth == n_layers
    for i in gates.layers:
        weight = model.layers.layers[i].attention.q_proj.weight
        assert torch.isfinite(weight.grad).all()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"n = {n_layers}: peak memory of the process {peak:.2f} GiB")


@pytest.fixture
def run(finished_wavlm_run):
    """Teacher, student and evaluation of a small WavLM."""
    return finished_wavlm_run


def test_a_run_of_wavlm_trains_all_but_the_stem(run):
    asr = DynamicEncoderASR.from_hparams(source=run / "pretrained")
    teacher = DynamicEncoderASR.from_hparams(
        source=run.parents[1] / "teacher/1/pretrained"
    )
    pairs = zip(
        asr.mods.model.named_parameters(), teacher.mods.model.parameters()
    )
    for (name, student), before in pairs:
        is_same = torch.equal(student, before)
        if name.startswith("stem.conv_layers"):
            assert is_same, name
    assert not torch.equal(
        asr.mods.model.head.weight, teacher.mods.model.head.weight
    )
    assert "kl" in (run / "train_log.txt").read_text()


def test_the_head_learns_at_a_rate_of_its_own(run):
    state = torch.load(latest_checkpoint(run) / "optimizer.ckpt")
    rest, head = state["param_groups"]
    assert head["lr"] == pytest.approx(30 * rest["lr"])
    assert len(head["params"]) == 2


def test_the_report_shows_where_the_work_is(run):
    report = json.loads((run / "depth_report.json").read_text())
    two, four = report["sets"]["test"]
    assert two["macs_parts"]["stem"] == four["macs_parts"]["stem"] > 0
    assert (
        1.9 < four["macs_parts"]["layers"] / two["macs_parts"]["layers"] < 2.1
    )
    assert "time: stem" in (run / "depth_report.md").read_text()


def test_a_wavlm_folder_transcribes_offline(run):
    asr = DynamicEncoderASR.from_hparams(source=run / "pretrained")
    assert asr.depths == (1, 2, 3, 4)
    wavs = 0.1 * torch.randn(2, 16000)
    both = asr.encode_batch(wavs, torch.tensor([1.0, 0.6]), n_layers=2)
    alone = asr.encode_batch(wavs[1:, :9600], torch.ones(1), n_layers=2)
    torch.testing.assert_close(
        both[1, : alone.shape[1]], alone[0], atol=1e-4, rtol=0
    )
    with pytest.raises(ValueError, match="at least 400 samples"):
        asr.encode_batch(wavs[:, :399], torch.ones(2))
    path = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
    assert isinstance(asr.transcribe_file(path, n_layers=1), str)


def test_a_missing_weight_of_the_bias_is_an_error(run, tmp_path):
    folder = tmp_path / "pretrained"
    folder.mkdir()
    for file in (run / "pretrained").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    change_weights(folder, lambda s: s.pop("bias.embedding.weight"))
    with pytest.raises(ValueError, match="bias.embedding.weight"):
        DynamicEncoderASR.from_hparams(source=folder)


def test_a_folder_of_another_model_is_refused(tmp_path):
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="one of wavlm, .* model_type bert"):
        make_config(str(tmp_path), {})
    with pytest.raises(FileNotFoundError, match="has no config.json"):
        make_config(str(tmp_path.parent), {})


def test_layerdrop_of_its_own_is_refused(tmp_path):
    save_hf(tmp_path, "wavlm", False, layerdrop=0.1)
    with pytest.raises(ValueError, match="`layerdrop` must be 0.*is 0.1"):
        make_config(str(tmp_path), {})
    assert full_config(str(tmp_path), {"layerdrop": 0.0})["layerdrop"] == 0


def test_an_id_without_network_is_a_clear_error(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="nobody/nothing is no folder"):
        make_config("nobody/nothing", {})


def test_a_checkpoint_of_another_width_is_refused(tmp_path):
    save_hf(tmp_path, "wavlm", False)
    config = json.loads((tmp_path / "config.json").read_text())
    config["intermediate_size"] *= 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="do not fit its configuration"):
        wavlm_encoder(str(tmp_path), {"layerdrop": 0.0}, 29)


def test_a_checkpoint_with_too_few_layers_is_refused(tmp_path):
    save_hf(tmp_path, "wavlm", False)
    with pytest.raises(ValueError, match="must hold all weights.*lacks"):
        wavlm_encoder(
            str(tmp_path), {"layerdrop": 0.0, "num_hidden_layers": 6}, 29
        )


def test_waveforms_must_be_as_in_pretraining(tmp_path):
    save_hf(tmp_path, "wavlm", False)
    with pytest.raises(ValueError, match="`normalize_wav` must be False"):
        wavlm_encoder(str(tmp_path), {"layerdrop": 0.0}, 29, normalize_wav=True)


def test_a_tokenizer_with_more_symbols_than_the_head_is_refused(run, tmp_path):
    result = run_train(
        "hparams/wavlm_dld.yaml",
        *small_wavlm(
            teacher=run / "pretrained",
            source=run.parents[1] / "away",
            vocab_size=10,
            output_folder=f"{tmp_path}/1",
        ),
        check=False,
    )
    assert result.returncode != 0
    assert "`vocab_size` must be 11" in result.stderr


def test_closed_norm_needs_layers_that_end_with_one(tmp_path):
    save_hf(tmp_path, "wavlm", True)
    with pytest.raises(ValueError, match="`closed` must be identity"):
        wavlm_encoder(str(tmp_path), {"layerdrop": 0.0}, 29, closed="norm")


def test_the_real_wavlm_base(request):
    if not request.config.getoption("--download"):
        pytest.skip("downloads 380 MB: give --download")
    source, wavs = "microsoft/wavlm-base", 0.1 * torch.randn(1, 16000)
    ours = wavlm_encoder(source, {"layerdrop": 0.0}, 29).eval()
    theirs = transformers.AutoModel.from_pretrained(source).eval()
    with torch.no_grad():
        x, lengths = ours.stem(wavs.unsqueeze(-1), torch.tensor([16000]))
        torch.testing.assert_close(
            ours.run_layers(x, lengths),
            theirs(wavs).last_hidden_state,
            atol=1e-4,
            rtol=0,
        )


def test_threads_share_a_wavlm(run):
    asr = DynamicEncoderASR.from_hparams(source=run / "pretrained")
    wavs = 0.1 * torch.randn(1, 8000)
    alone = {n: asr.encode_batch(wavs, torch.ones(1), n) for n in asr.depths}

    def ask(i):
        n_layers = asr.depths[i % len(asr.depths)]
        found = asr.encode_batch(wavs, torch.ones(1), n_layers)
        return torch.equal(found, alone[n_layers])

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(ask, range(40)))


def test_a_setting_that_a_source_has_not_is_refused(tmp_path):
    """transformers would take any word, and it would say nothing."""
    save_hf(tmp_path, "wavlm", False)
    changes = {"layerdrop": 0.0, "hiden_dropout": 0.0}
    with pytest.raises(ValueError, match="of a wavlm alone, .* 'hiden_dropo"):
        make_config(str(tmp_path), changes)


def test_weights_that_end_early_are_one_line(tmp_path):
    save_hf(tmp_path, "wavlm", False)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cannot be read or do not fit") as e:
        wavlm_encoder(str(tmp_path), {"layerdrop": 0.0}, vocab_size=29)
    assert "\n" not in str(e.value)
