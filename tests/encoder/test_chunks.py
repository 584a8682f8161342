"""What a frame sees in chunks, and that a stream gives the same."""

import pytest
import torch
from common import tiny_modules

from dld_brain.audio.features import extract
from dld_brain.encoder.chunks import chunk_mask
from dld_brain.encoder.conformer import ConformerLayer, conformer_encoder
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.streamed_front import StreamedFront
from dld_brain.encoder.streaming import StreamedLayers
from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import evenly_spread
from speechbrain.lobes.models.transformer.Conformer import ConformerEncoder
from speechbrain.lobes.models.transformer.TransformerASR import (
    make_transformer_src_mask,
)
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig

CHUNKS = DynChunkTrainConfig(4, 2)
SIZE = {"d_model": 16, "d_ffn": 32, "kernel_size": 7}


@pytest.fixture
def modules():
    """Of a tiny model that has nothing of the whole utterance."""
    return tiny_modules(positions="none", top_db=None)


@pytest.fixture
def wav():
    """2.6 s of noise that grows and falls silent, with odd samples over."""
    noise = torch.randn(41_777, generator=torch.Generator().manual_seed(5))
    return 0.1 * noise * torch.linspace(0, 2, 41_777).sin().clamp(min=1e-4)


def offline(modules, wav, gates, chunks=CHUNKS):
    """The whole audio under the mask of chunks, [T', V]."""
    feats, lengths = extract(modules, wav[None], torch.ones(1))
    with torch.no_grad():
        (out,) = modules["model"](feats, lengths, [gates], chunks)
    return out.log_probs[0]


def streamed(modules, wav, gates, n_fed, chunks=CHUNKS, refill=True):
    """The same, fed in pieces of so many samples."""
    front = StreamedFront(modules, chunks.chunk_size)
    layers = StreamedLayers(modules["model"], chunks, refill)
    found = []
    for part in wav.split(n_fed):
        front.feed(part)
        found += [layers.step(x, gates) for x in front.chunks()]
    found += [layers.step(x, gates) for x in front.finish()]
    return torch.cat([out.log_probs[0] for out in found])


def test_chunks_give_what_speechbrains_conformer_gives_in_them():
    torch.manual_seed(1)
    stock = ConformerEncoder(
        num_layers=1, nhead=4, attention_type="regularMHA", **SIZE
    )
    stock = stock.layers[0].eval()
    ours = ConformerLayer(n_heads=4, **SIZE).eval()
    ours.load_state_dict(stock.state_dict(), strict=True)
    x = torch.randn(2, 18, 16)
    mask = make_transformer_src_mask(x, dynchunktrain_config=CHUNKS)
    expected, _ = stock(x, src_mask=mask, dynchunktrain_config=CHUNKS)
    found = ours(x, chunks=chunk_mask(x, CHUNKS))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
def test_a_stream_equals_the_masked_pass_at_every_depth(modules, wav, n_layers):
    gates = evenly_spread(n_layers, 4)
    torch.testing.assert_close(
        streamed(modules, wav, gates, n_fed=5000),
        offline(modules, wav, gates),
        atol=1e-4,
        rtol=0,
    )


@pytest.mark.parametrize("n_fed", [37, 112, 16_000, 10**6])
@pytest.mark.parametrize("size, n_left", [(1, 3), (5, 0), (16, 1)])
def test_how_it_is_fed_does_not_matter(modules, wav, n_fed, size, n_left):
    chunks, gates = DynChunkTrainConfig(size, n_left), Gates.full(4)
    found = streamed(modules, wav, gates, n_fed, chunks)
    expected = offline(modules, wav, gates, chunks)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert torch.equal(found, streamed(modules, wav, gates, 999, chunks))


def test_single_samples_are_a_stream(modules, wav):
    wav, gates = wav[:4000], Gates.full(4)
    found = streamed(modules, wav, gates, n_fed=1)
    expected = offline(modules, wav, gates)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("n_samples", [0, 1, 959, 960, 961, 12_160, 12_415])
def test_the_end_is_where_the_file_ends(modules, wav, n_samples):
    gates, wav = Gates.full(4), wav[:n_samples]
    front = StreamedFront(modules, CHUNKS.chunk_size)
    front.feed(wav)
    found = sum(x.shape[1] for x in [*front.chunks(), *front.finish()])
    if n_samples < 960:
        assert found == 0  # no window of the stem
    else:
        assert found == len(offline(modules, wav, gates))


def test_positions_are_those_of_the_file(wav):
    modules = tiny_modules(top_db=None)
    found = streamed(modules, wav, Gates.full(4), 1600)
    expected = offline(modules, wav, Gates.full(4))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_what_is_cut_off_below_the_loudest_so_far_is_cut_however_fed(wav):
    modules = tiny_modules(positions="none")
    wav = torch.cat((0.5 * wav, torch.zeros(9000)))
    found = [streamed(modules, wav, Gates.full(4), n) for n in (100, 7000)]
    assert torch.equal(*found)
    # The loudest comes first: the whole has the same floor from there on.
    wav = torch.cat((torch.ones(800), wav))
    found = streamed(modules, wav, Gates.full(4), 999)
    expected = offline(modules, wav, Gates.full(4))
    torch.testing.assert_close(found[4:], expected[4:], atol=1e-4, rtol=0)


def test_no_frame_behind_its_chunk_is_seen(modules, wav):
    n_past = 8 * 4 * 160  # two chunks of four frames
    other = wav.clone()
    other[n_past + 3 * 160 + 256 :] = 0.5
    gates = Gates.full(4)
    found, changed = (offline(modules, w, gates) for w in (wav, other))
    assert torch.equal(found[:8], changed[:8])
    assert not torch.allclose(found[8:12], changed[8:12])


def test_padding_is_not_seen_in_chunks(modules):
    model, x = modules["model"], torch.randn(2, 30, 16)
    lengths = torch.tensor([30, 13])
    context = model.context(x, lengths, DynChunkTrainConfig(4, 1))
    found = model.layers(x, **context)
    assert found.isfinite().all()
    context = model.context(x[1:, :13], lengths[1:], DynChunkTrainConfig(4, 1))
    alone = model.layers(x[1:, :13], **context)
    torch.testing.assert_close(found[1:, :13], alone, atol=1e-5, rtol=0)


def switched(modules, first, then, refill, n_first=2, chunks=CHUNKS):
    """Log-probs of 5 chunks, of which the first ones have other gates."""
    x = torch.randn(1, 20, 16, generator=torch.Generator().manual_seed(2))
    layers = StreamedLayers(modules["model"], chunks, refill)
    return [
        layers.step(part, first if i < n_first else then).log_probs
        for i, part in enumerate(x.split(4, dim=1))
    ]


def test_a_refilled_layer_goes_on_as_if_it_had_never_been_closed(modules):
    full, shallow = Gates.full(4), Gates((0, 1, 2), 4)
    expected = switched(modules, full, full, refill=True)
    found = switched(modules, shallow, full, refill=True)
    assert not torch.allclose(found[1], expected[1])
    for got, want in zip(found[2:], expected[2:]):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    plain = switched(modules, shallow, full, refill=False)
    assert not torch.allclose(plain[2], expected[2], atol=1e-4)


def test_a_layer_that_opens_without_refill_has_a_shorter_left_context(modules):
    full = Gates.full(4)
    found = switched(modules, Gates((0, 1, 2), 4), full, refill=False)
    # A last layer that forgets what it saw is one that has just opened.
    x = torch.randn(1, 20, 16, generator=torch.Generator().manual_seed(2))
    layers = StreamedLayers(modules["model"], CHUNKS)
    for i, part in enumerate(x.split(4, dim=1)):
        if i == 2:
            layers.caches[3].clear()
        out = layers.step(part, full).log_probs
        if i >= 2:
            torch.testing.assert_close(out, found[i])


def test_caches_are_bounded(modules):
    layers = StreamedLayers(modules["model"], CHUNKS)
    gates = Gates((0, 1, 2), 4)
    for _ in range(20):
        layers.step(torch.randn(1, 4, 16), gates)
    assert layers.caches[0].keys.shape[2] == 8
    assert layers.caches[0].keys.untyped_storage().nbytes() == 8 * 16 * 4
    assert layers.caches[0].convolved.shape[1] == 3
    # the left context, and what the convolution of the next chunk sees
    assert len(layers.caches[3].missed) == 2 + 1


def test_other_encoders_and_no_bound_are_refused(modules):
    model = DynamicEncoder(
        torch.nn.Identity(),
        type(modules["model"].layers)([torch.nn.Linear(4, 4)]),
        torch.nn.Linear(4, 2),
    )
    with pytest.raises(ValueError, match="must be a Conformer of hparams"):
        StreamedLayers(model, CHUNKS)
    with pytest.raises(ValueError, match="memory would not be bounded"):
        StreamedLayers(modules["model"], DynChunkTrainConfig(4))
    modules["normalize"].norm_type = "sentence"
    with pytest.raises(ValueError, match="must be global for a stream"):
        StreamedFront(modules, 4)
    labels = conformer_encoder(
        2, 16, 32, n_heads=2, vocab_size=5, task="classification"
    )
    with pytest.raises(ValueError, match="classify files"):
        StreamedLayers(labels, CHUNKS)
