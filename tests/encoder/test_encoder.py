"""The contracts of a dynamic encoder, against SpeechBrain's own."""

import pytest
import torch
from common import output, tiny_modules
from torch import nn

from dld_brain.audio.features import LogMel, extract
from dld_brain.audio.lengths import absolute_lengths
from dld_brain.encoder.conformer import (
    ConformerLayer,
    ConvStem,
    conformer_layers,
    sinusoidal_positions,
)
from dld_brain.encoder.costs import executed_params, macs_at, macs_by_part
from dld_brain.encoder.stack import GatedLayers
from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import evenly_spread
from dld_brain.run.config import load_flat
from speechbrain.lobes.models.transformer.Conformer import ConformerEncoder

SIZE = {"d_model": 32, "d_ffn": 48, "kernel_size": 7}


def stock_encoder(n_layers: int) -> ConformerEncoder:
    """SpeechBrain's encoder without its last norm, which is the head's."""
    encoder = ConformerEncoder(
        num_layers=n_layers, nhead=4, attention_type="regularMHA", **SIZE
    )
    encoder.norm = nn.Identity()
    return encoder.eval()


def stack_like(
    stock: ConformerEncoder, closed: str = "identity"
) -> GatedLayers:
    """Our stack with the weights of SpeechBrain's."""
    layers = conformer_layers(len(stock.layers), n_heads=4, **SIZE)
    stack = GatedLayers(layers, closed).eval()
    for ours, theirs in zip(stack.layers, stock.layers):
        ours.load_state_dict(theirs.state_dict(), strict=True)
    return stack


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(2, 40, 32)


def test_all_gates_open_equals_speechbrain(x):
    stock = stock_encoder(5)
    torch.testing.assert_close(
        stack_like(stock)(x), stock(x)[0], atol=1e-5, rtol=0
    )


def test_our_weights_load_into_speechbrains_layer(x):
    ours = ConformerLayer(n_heads=4, **SIZE).eval()
    stock = stock_encoder(1)
    stock.layers[0].load_state_dict(ours.state_dict(), strict=True)
    torch.testing.assert_close(ours(x), stock(x)[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("layers", [(0,), (3,), (1, 2), (0, 2, 4)])
def test_n_gates_equal_a_stack_of_those_layers(x, layers):
    stack = stack_like(stock_encoder(5))
    small = GatedLayers([stack.layers[i] for i in layers])
    gates = Gates.of(layers, 5)
    assert torch.equal(stack(x, gates), small(x))


def test_a_closed_layer_has_no_gradient_and_is_not_called(x):
    stack = stack_like(stock_encoder(4))
    calls = []
    for i, layer in enumerate(stack.layers):
        layer.register_forward_hook(lambda *_, i=i: calls.append(i))
    stack(x, Gates((0, 2), 4)).sum().backward()
    assert calls == [0, 2]
    for i, layer in enumerate(stack.layers):
        grads = [p.grad for p in layer.parameters()]
        if i in calls:
            assert all(g is not None and g.any() for g in grads[-2:])
        else:
            assert all(g is None for g in grads)


def test_closed_norm_keeps_the_last_norm_alone(x):
    stack = stack_like(stock_encoder(2), closed="norm")
    found = stack(x, Gates((0,), 2))
    expected = stack.layers[1].norm2(stack.layers[0](x))
    assert torch.equal(found, expected)
    assert not torch.equal(found, stack.layers[0](x))
    found.square().sum().backward()
    with_gradient = {
        name
        for name, p in stack.layers[1].named_parameters()
        if p.grad is not None
    }
    assert with_gradient == {"norm2.norm.weight", "norm2.norm.bias"}


def test_wrong_gates_and_choices_are_refused(x):
    stack = GatedLayers(conformer_layers(2, n_heads=4, **SIZE))
    with pytest.raises(ValueError, match="each of the 2 layers, but has 3"):
        stack(x, Gates((0, 1), 3))
    with pytest.raises(ValueError, match="`closed` must be one of"):
        GatedLayers([nn.Identity()], closed="zero")
    with pytest.raises(ValueError, match="`kernel_size` must be odd"):
        ConformerLayer(16, 32, 2, kernel_size=8)
    with pytest.raises(ValueError, match="multiple of `n_heads` .3., but is"):
        ConformerLayer(16, 32, 3)


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
def test_padded_equals_alone_at_every_depth(n_layers):
    modules = tiny_modules()
    torch.manual_seed(2)
    # Lengths at which rounding relative frame counts would go wrong.
    samples = [16000, 12345, 9999, 4321, 1000]
    wavs = [torch.randn(n) for n in samples]
    padded = nn.utils.rnn.pad_sequence(wavs, batch_first=True)
    rel_lens = torch.tensor(samples) / max(samples)
    gates = evenly_spread(n_layers, 4)
    feats, lengths = extract(modules, padded, rel_lens)
    (batched,) = modules["model"](feats, lengths, [gates])
    for i, wav in enumerate(wavs):
        feats, lengths = extract(modules, wav.unsqueeze(0), torch.ones(1))
        (alone,) = modules["model"](feats, lengths, [gates])
        n_frames = alone.log_probs.shape[1]
        assert int(batched.lengths[i]) == int(alone.lengths) == n_frames
        torch.testing.assert_close(
            batched.log_probs[i, :n_frames],
            alone.log_probs[0],
            atol=1e-4,
            rtol=0,
        )


def test_an_utterance_gets_no_gradient_from_its_batch():
    model = tiny_modules()["model"]
    feats = torch.randn(2, 100, 20, requires_grad=True)
    log_probs, lengths = output(model, feats, torch.tensor([100, 60]))
    log_probs[1, : lengths[1]].sum().backward()
    assert not feats.grad[0].any()
    assert not feats.grad[1, 60:].any()
    assert feats.grad[1, :57].any(dim=-1).all()


def test_stem_counts_its_frames():
    stem = ConvStem(n_mels=20, d_model=16).eval()
    for n_frames in range(7, 40):
        feats = torch.randn(1, n_frames, 20)
        x, lengths = stem(feats, torch.tensor([n_frames]))
        assert x.shape[1] == int(lengths)


def test_an_utterance_too_short_for_the_stem_does_not_see_its_batch():
    stem = ConvStem(n_mels=20, d_model=16).eval()
    feats = torch.randn(2, 40, 20)
    together, lengths = stem(feats, torch.tensor([40, 3]))
    alone, length = stem(feats[1:, :3], torch.tensor([3]))
    assert lengths.tolist() == [9, 1] and length.tolist() == [1]
    torch.testing.assert_close(together[1, :1], alone[0])


def test_positions_are_those_of_speechbrain():
    from speechbrain.lobes.models.transformer.Transformer import (
        PositionalEncoding,
    )

    stock = PositionalEncoding(16, max_len=300)
    expected = stock(torch.zeros(1, 300, 16))[0]
    torch.testing.assert_close(
        sinusoidal_positions(300, 16), expected, atol=1e-4, rtol=0
    )
    assert sinusoidal_positions(9000, 16).shape == (9000, 16)


def test_features_count_their_frames():
    compute_features = LogMel()
    for n_samples in (1000, 15999, 16000, 16001):
        feats, lengths = compute_features(
            torch.randn(1, n_samples), torch.ones(1)
        )
        assert feats.shape[1] == int(lengths)


def test_relative_lengths_of_ten_minutes_are_exact():
    n_max = 9_600_001
    # In single precision, 5110273 would come out as another number.
    samples = [n_max, 5_110_273, 7_440_315, 1]
    rel_lens = (torch.tensor(samples).double() / n_max).float()
    assert absolute_lengths(rel_lens, n_max).tolist() == samples


def test_the_papers_parameter_counts():
    """DLD, Table 1: 31.2 M; the counts executed per depth are exact."""
    hparams = load_flat("hparams/conformer_dld.yaml", {"data_folder": "none"})
    model = hparams["model"]
    assert sum(p.numel() for p in model.parameters()) == 31_207_168
    expected = {
        2: 5_471_488,
        4: 10_618_624,
        6: 15_765_760,
        8: 20_912_896,
        10: 26_060_032,
        12: 31_207_168,
    }
    for n_layers, params in expected.items():
        gates = evenly_spread(n_layers, 12)
        assert executed_params(model, gates) == params


def test_macs_are_those_by_hand_and_linear_in_the_layers():
    modules = tiny_modules()
    full = macs_by_part(modules, 16000)
    layer = full["layers"] / 4
    assert macs_at(full, 3, 4)["layers"] == pytest.approx(3 * layer)
    assert macs_at(full, 3, 4)["stem"] == full["stem"] > 0
    # One layer by hand, 10 s: 1001 feature frames give 249 frames, T.
    t, d, ffn, k = 249, 16, 32, 7
    by_hand = 2 * t * 2 * d * ffn + t * 4 * d * d + 2 * t * t * d
    by_hand += t * d * (2 * d + k + d)
    assert layer * 10 == pytest.approx(by_hand)
