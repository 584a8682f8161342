"""A depth for each chunk: what training computes is what a stream gives."""

import pytest
import torch
from common import tiny_modules

from dld_brain.encoder.chunked_gates import run_chunked
from dld_brain.encoder.streaming import StreamedLayers
from dld_brain.gates.gates import ChunkedGates, Gates
from dld_brain.gates.layer_sets import ends, evenly_spread
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig

LENGTHS = torch.tensor([62])


@pytest.fixture
def model():
    """Tiny, with what a depth and a gap can have of their own."""
    torch.manual_seed(4)
    model = tiny_modules(
        positions="none", top_db=None, per_depth="head", closed="affine"
    )["model"]
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def frames():
    """Output of a stem, [1, 62, 16]: no whole number of chunks."""
    return torch.randn(1, 62, 16, generator=torch.Generator().manual_seed(2))


def drawn(family, n=64, seed=0):
    """Gates of so many chunks."""
    rng = torch.Generator().manual_seed(seed)
    depths = torch.randint(1, 5, (n,), generator=rng).tolist()
    return ChunkedGates(tuple(family(depth, 4) for depth in depths))


def streamed(model, x, gates, chunks, refill=True):
    """The same, chunk by chunk."""
    layers = StreamedLayers(model, chunks, refill)
    parts = x.split(chunks.chunk_size, dim=1)
    return torch.cat(
        [
            layers.step(part, gates.of_chunks[i]).log_probs
            for i, part in enumerate(parts)
        ],
        dim=1,
    )


@pytest.mark.parametrize("family", [evenly_spread, ends])
@pytest.mark.parametrize("size, n_left", [(4, 2), (2, 3), (1, 0), (5, 1)])
def test_a_stream_at_changing_depths_equals_the_pass(
    model, family, size, n_left
):
    chunks = DynChunkTrainConfig(size, n_left)
    for seed in range(3):
        x, gates = frames(), drawn(family, seed=seed)
        with torch.no_grad():
            found = run_chunked(model, x, LENGTHS, gates, chunks).log_probs
        expected = streamed(model, x, gates, chunks)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_layer_that_was_closed_for_long_is_refilled_exactly(model):
    """Longer than the left context: what was kept before is forgotten."""
    chunks, full = DynChunkTrainConfig(2, 3), Gates.full(4)
    gates = ChunkedGates((full, *[Gates((0, 2), 4)] * 9, *[full] * 21))
    x = frames()
    with torch.no_grad():
        found = run_chunked(model, x, LENGTHS, gates, chunks).log_probs
    expected = streamed(model, x, gates, chunks)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    other = streamed(model, x, gates, chunks, refill=False)
    assert not torch.allclose(found[:, 20:], other[:, 20:], atol=1e-3)


def test_gates_that_do_not_differ_are_those_gates(model):
    chunks, gates = DynChunkTrainConfig(4, 2), Gates((0, 3), 4)
    feats, lengths = torch.randn(2, 300, 20), torch.tensor([300, 170])
    with torch.no_grad():
        same, chunked = model(
            feats, lengths, [gates, ChunkedGates((gates,))], chunks
        )
    torch.testing.assert_close(same.log_probs, chunked.log_probs)


def test_a_padded_batch_gives_each_what_it_gives_alone(model):
    chunks, gates = DynChunkTrainConfig(4, 1), drawn(ends)
    x, lengths = torch.randn(2, 62, 16), torch.tensor([62, 31])
    with torch.no_grad():
        both = run_chunked(model, x, lengths, gates, chunks).log_probs
        alone = run_chunked(model, x[1:, :31], lengths[1:], gates, chunks)
    torch.testing.assert_close(
        both[1:, :31], alone.log_probs, atol=1e-5, rtol=0
    )


def test_a_layer_that_no_chunk_opens_has_no_gradient(model):
    gates = ChunkedGates((Gates((0,), 4), Gates((0, 3), 4)))
    chunks = DynChunkTrainConfig(4, 1)
    out = run_chunked(model, frames(), LENGTHS, gates, chunks)
    out.log_probs[..., 1].sum().backward()
    for i, layer in enumerate(model.layers.layers):
        grads = [p.grad for p in layer.parameters()]
        assert all(g is None for g in grads) == (i in (1, 2))


def test_chunks_must_be_there(model):
    feats, lengths = torch.randn(1, 300, 20), torch.tensor([300])
    with pytest.raises(ValueError, match="`chunks` must be given where"):
        model(feats, lengths, [drawn(ends)])
