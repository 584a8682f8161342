"""int8: which modules, how near, and what shares a weight."""

import torch
from torch.ao.nn.quantized.dynamic import Linear

from dld_brain.encoder.quantize import quantize_linear
from dld_brain.run.whole_whisper import read_whole

SOURCE = "tests/samples/whisper"


def test_each_row_of_a_weight_has_a_scale_of_its_own():
    exact = torch.nn.Linear(16, 4, bias=False)
    with torch.no_grad():
        exact.weight[0] *= 1000  # else the others would be zeros
    x = torch.randn(8, 16)
    expected = exact(x)
    found = quantize_linear(torch.nn.Sequential(exact))(x)
    error = (found - expected).norm(dim=0) / expected.norm(dim=0)
    assert error.max() < 0.03


def test_the_projection_of_a_whisper_is_int8_and_its_embedding_is_not():
    model, _, _ = read_whole(SOURCE)
    feats, lengths = torch.randn(1, 100, 16), torch.tensor([100])
    given = {
        "targets": torch.tensor([[5, 9, 200]]),
        "target_lengths": torch.tensor([3]),
    }
    with torch.no_grad():
        (exact,) = model.eval()(feats, lengths, **given)
        quantize_linear(model)
        (found,) = model(feats, lengths, **given)
    assert isinstance(model.head.projection, Linear)
    assert model.head.embed_tokens.weight.dtype == torch.float32
    assert not torch.equal(found.log_probs, exact.log_probs)
    assert (found.log_probs.exp() - exact.log_probs.exp()).abs().max() < 0.02


def test_what_a_module_names_stays_exact():
    model, _, _ = read_whole(SOURCE)
    quantize_linear(model)
    for layer in (*model.layers.layers, *model.head.layers):
        assert isinstance(layer.fc1, Linear)
        assert isinstance(layer.self_attn.k_proj, Linear)
        assert type(layer.fc2) is torch.nn.Linear
        assert type(layer.self_attn.v_proj) is torch.nn.Linear
