"""Times by attention: equal to openai-whisper's and to transformers'."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import dld_brain
from dld_brain.encoder.whisper.config import DecoderConfig
from dld_brain.encoder.whisper.looks import looks_at
from dld_brain.encoder.whisper.whole import with_silence
from dld_brain.gates.gates import Gates
from dld_brain.run.whole_whisper import read_whole
from dld_brain.tasks.token_words import Part, parts_of, words_of
from dld_brain.tasks.warping import closeness, first_frames, smoothed, warped

SOURCE = "tests/samples/whisper"
TEXT = " Café, said he: it is 5 €."
HEADS = [[1, 1], [0, 0]]


@pytest.fixture(scope="module")
def whisper():
    _, task, sizes = read_whole(SOURCE)
    # openai-whisper has no other width between
    config = {**sizes["config"], "encoder_ffn_dim": 64}
    decoder = {**sizes["decoder"], "decoder_ffn_dim": 64}
    model = dld_brain.whisper_encoder(None, config, 259, 16, decoder=decoder)
    torch.manual_seed(0)
    for parameter in model.parameters():  # sharper than at first
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval(), task


def with_heads(model, heads):
    """The same decoder, other heads."""
    decoder = model.head.part(None)
    sizes = {**vars(decoder.config), "alignment_heads": heads}
    decoder.config = DecoderConfig(**sizes)
    return decoder


def cheapest(costs):
    """The cost of the cheapest path, by its definition."""
    n, m = costs.shape
    total = np.full((n, m), np.inf)
    for i in range(n):
        for j in range(m):
            before = [
                total[a, b]
                for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1))
                if a >= 0 and b >= 0
            ]
            total[i, j] = costs[i, j] + min(before, default=0.0)
    return total[-1, -1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 40), (40, 7)])
def test_no_path_is_cheaper(shape):
    costs = np.random.default_rng(0).standard_normal(shape)
    found = warped(costs)
    assert found[0] == 0 and (np.diff(found) >= 0).all()
    ends = [*found[1:], shape[1] - 1]
    paid = 0.0
    for i, (start, end) in enumerate(zip(found, ends)):
        # the last frame of a token is that of the next, or the one before
        options = [
            costs[i, start : max(end + k, start + 1)].sum() for k in (0, 1)
        ]
        paid += options[1] if i == shape[0] - 1 else min(options)
    assert paid <= cheapest(costs) + 1e-4


def openai_whisper():
    """The package, `pip install openai-whisper`.

    By a module that it alone has: another folder `whisper` on the path, that
    of the samples, is an empty package.
    """
    pytest.importorskip("whisper.timing")
    import whisper

    return whisper


def openai(model, heads):
    """openai-whisper's model with the same weights."""
    theirs = openai_whisper()
    config = model.head.config
    sizes = theirs.model.ModelDimensions(
        n_mels=16,
        n_audio_ctx=1500,
        n_audio_state=16,
        n_audio_head=2,
        n_audio_layer=3,
        n_vocab=config.vocab_size,
        n_text_ctx=config.max_target_positions,
        n_text_state=16,
        n_text_head=2,
        n_text_layer=2,
    )
    found = theirs.model.Whisper(sizes).eval()
    found.load_state_dict(
        {theirs_of(k): v for k, v in model.state_dict().items()}
    )
    mask = torch.zeros(2, 2, dtype=torch.bool)
    mask[tuple(zip(*heads))] = True
    found.register_buffer("alignment_heads", mask.to_sparse(), False)
    return theirs, found


NAMES = (
    ("head.embed_tokens.weight", "decoder.token_embedding.weight"),
    ("head.embed_positions.weight", "decoder.positional_embedding"),
    ("head.layer_norm.", "decoder.ln."),
    ("head.layers.", "decoder.blocks."),
    ("layers.layers.", "encoder.blocks."),
    ("layers.norm.", "encoder.ln_post."),
    ("stem.positions", "encoder.positional_embedding"),
    ("stem.", "encoder."),
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn_layer_norm", "attn_ln"),
    ("final_layer_norm", "mlp_ln"),
    ("encoder_attn", "cross_attn"),
    ("self_attn", "attn"),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
)


def theirs_of(name):
    """A name of ours as openai-whisper has it."""
    for ours, theirs in NAMES:
        if ours.startswith(("head", "layers", "stem")):
            if name.startswith(ours):
                name = theirs + name.removeprefix(ours)
        else:
            name = name.replace(ours, theirs)
    return name


@torch.no_grad()
def test_words_on_30_s_are_openais(whisper):
    model, task = whisper
    theirs, stock = openai(model, HEADS)
    from whisper.timing import find_alignment

    config, vocabulary = model.head.config, task.vocabulary
    tokens = vocabulary.encode(TEXT, add_special_tokens=False).ids
    stub = SimpleNamespace(
        sot_sequence=config.prompt[:-1],
        no_timestamps=config.prompt[-1],
        eot=config.end,
        decode_with_timestamps=lambda ids: vocabulary.decode(
            [*ids], skip_special_tokens=False
        ),
    )
    kind = theirs.tokenizer.Tokenizer
    stub.split_tokens_on_unicode = lambda ids: kind.split_tokens_on_unicode(
        stub, ids
    )
    stub.split_to_word_tokens = lambda ids: kind.split_tokens_on_spaces(
        stub, ids
    )
    torch.manual_seed(1)
    feats, lengths = with_silence(torch.randn(1, 900, 16), torch.tensor([900]))
    expected = find_alignment(stock, stub, tokens, feats[0].T, 3000)
    states = model.run_layers(*model.stem(feats, lengths))
    decoder = with_heads(model, HEADS)
    looks = looks_at(decoder, states, torch.tensor(tokens))
    first = first_frames(looks.weights, looks.n_prompt)
    places = np.cumsum([0, *(len(word.tokens) for word in expected)])
    seconds = [first[i] / 50 for i in places]
    assert len({*seconds}) > 3  # which tells words from each other
    assert seconds[:-1] == [float(word.start) for word in expected]
    assert seconds[1:] == [float(word.end) for word in expected]
    for word, start, end in zip(expected, places, places[1:]):
        sure = float(looks.probabilities[start:end].mean())
        assert sure == pytest.approx(float(word.probability), rel=1e-3)
    # and put together as its merge_punctuations does
    words = words_of(
        parts_of(tokens, vocabulary.decode), first, looks.probabilities
    )
    theirs.timing.merge_punctuations(
        expected, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"
    )
    kept = [word for word in expected if word.word]
    assert [w.text for w in words] == [word.word.strip() for word in kept]
    assert [w.start / 50 for w in words] == [float(word.start) for word in kept]


@torch.no_grad()
def test_token_times_are_hugging_faces(whisper):
    transformers = pytest.importorskip("transformers")
    kind = transformers.WhisperForConditionalGeneration
    model, _ = whisper
    torch.manual_seed(2)
    states = torch.randn(1, 80, 16)
    tokens = torch.tensor([5, 9, 200, 17, 3, 44])
    sizes = transformers.WhisperConfig.from_pretrained(
        SOURCE, decoder_ffn_dim=64, attn_implementation="eager"
    )
    stock = kind(sizes).eval()
    stock.model.decoder.load_state_dict(model.head.state_dict())
    config = model.head.config
    written = torch.tensor([[*config.prompt, *tokens.tolist(), config.end]])
    told = stock.model.decoder(
        input_ids=written,
        encoder_hidden_states=states,
        output_attentions=True,
    ).cross_attentions
    looks = looks_at(with_heads(model, HEADS), states, tokens)
    rows = [told[layer][0, head] for layer, head in sorted(HEADS)]
    torch.testing.assert_close(
        looks.weights, torch.stack(rows), atol=1e-5, rtol=1e-4
    )
    # It takes the rows of all tokens; ours are those from the last of the
    # prompt to the last of the text.
    answer = SimpleNamespace(
        cross_attentions=[[w[:, :, 1:-1] for w in told]],
        sequences=written[:, 2:],
    )
    found = stock._extract_token_timestamps(
        InItems(answer), HEADS, num_frames=160, num_input_ids=0
    )
    near = closeness(looks.weights[:, 1:-1])
    ours = warped(-near.double().numpy()) / 50
    assert len({*ours.tolist()}) > 3
    assert found[0, :-1].tolist() == pytest.approx(ours.tolist(), abs=1e-6)


class InItems:
    """What `generate` gives, that can be asked what it has."""

    def __init__(self, answer):
        self.cross_attentions = answer.cross_attentions
        self.sequences = answer.sequences

    def __contains__(self, name):
        return hasattr(self, name)


def test_medians_and_warping_are_openais():
    timing = openai_whisper().timing
    dtw_cpu, median_filter = timing.dtw_cpu, timing.median_filter
    generator = torch.Generator().manual_seed(0)
    for shape in ((2, 5, 60), (3, 4, 3), (1, 9, 8)):
        x = torch.rand(shape, generator=generator)
        assert torch.equal(smoothed(x), median_filter(x, 7))
    for shape in ((3, 40), (60, 300), (9, 4)):
        costs = torch.randn(shape, generator=generator).double().numpy()
        costs[:, ::3] = np.round(costs[:, ::3])  # some are equal
        text, frames = dtw_cpu(costs)
        jumps = np.pad(np.diff(text), (1, 0), constant_values=1).astype(bool)
        assert warped(costs).tolist() == frames[jumps].tolist()


@torch.no_grad()
def test_a_part_looks_where_its_depth_looks(whisper):
    model, _ = whisper
    states, tokens = torch.randn(1, 80, 16), torch.tensor([5, 9, 200])
    decoder = with_heads(model, HEADS)
    for gates in (None, Gates((0,), 2), Gates((1,), 2)):
        expected = looks_at(decoder, states, tokens, gates)
        found = looks_at(decoder.part(gates), states, tokens)
        assert torch.equal(found.weights, expected.weights)
        assert len(found.weights) == (2 if gates is None else 1)


@pytest.mark.parametrize(
    "heads", [5, [3], [[0]], [[2, 0]], [[0, "a"]], [[0, -1]]]
)
def test_heads_that_are_none_are_refused(heads):
    with pytest.raises(ValueError, match="`decoder.alignment_heads` must be"):
        DecoderConfig(
            decoder_layers=2, decoder_attention_heads=2, alignment_heads=heads
        )


def test_a_head_that_looks_everywhere_alike_counts_for_nothing():
    weights = torch.rand(1, 6, 40, generator=torch.Generator().manual_seed(0))
    both = torch.cat((weights, torch.full_like(weights, 0.5)))
    torch.testing.assert_close(2 * closeness(both), closeness(weights))


def test_characters_of_several_tokens_are_whole():
    texts = {1: " a", 2: "\ufffd", 3: "\ufffd", 4: "\ufffd"}

    def decode(ids):
        """Tokens 2 and 3 together are a character; 4 is none at all."""
        joined = "".join(texts[i] for i in ids)
        return joined.replace("\ufffd\ufffd", "é") if ids[:1] != [4] else joined

    parts = parts_of([1, 2, 3, 1, 4], decode)
    assert [part.text for part in parts] == [" a", "é", " a", "\ufffd"]
    assert [(part.start, part.end) for part in parts] == [
        (0, 1),
        (1, 3),
        (3, 4),
        (4, 5),
    ]


def test_words_are_what_stands_between_spaces():
    texts = [' "', "Well", "-", "known", '."', " --", " no"]
    parts = [Part(text, i, i + 1) for i, text in enumerate(texts)]
    sure = torch.tensor([0.0, 0.5, 0.5, 0.8, 0.0, 0.3, 1.0])
    words = words_of(parts, [0, 10, 20, 30, 40, 50, 60, 60], sure)
    assert [w.text for w in words] == ['"Well-known."', "--", "no"]
    assert [(w.start, w.end) for w in words] == [(10, 40), (50, 60), (60, 60)]
    assert words[0].confidence == pytest.approx(0.6)
