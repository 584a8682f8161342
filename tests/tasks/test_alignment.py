"""When tokens and words were said: against posteriors that are made by hand."""

import pytest
import torch
from torchaudio.functional import forced_align, merge_tokens

from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.tasks import TranscriptionTask
from dld_brain.tasks.alignment import MOST_CELLS, align_tokens, words_of
from dld_brain.tasks.characters import character_vocabulary
from dld_brain.tasks.pieces import piece_vocabulary
from dld_brain.tasks.tokenizer import train_tokenizer

LETTERS = ["<pad>", "\u2581", "A", "B", "É", "你", "<s>"]


def trained(kind, tmp_path):
    path = tmp_path / "tokenizer.model"
    texts = ["TURN THE LIGHT ON", "TURN THE HEAT OFF", "LIGHT AND HEAT"]
    size = {} if kind == "char" else {"vocab_size": 18}
    train_tokenizer(path, texts, kind, **size)
    return TranscriptionTask.load(path).vocabulary


@pytest.fixture(params=["characters", "pieces", "char", "unigram", "bpe"])
def tokenizer(request, tmp_path):
    if request.param == "characters":
        return character_vocabulary(LETTERS)
    if request.param == "pieces":
        symbols = [
            "<pad>",
            "\u2581",
            "A",
            "B",
            "AB",
            "\u2581AB",
            "é",
            "X\u2581Y",
        ]
        scores = [None, -9.0, -9.0, -9.0, 0.0, -1.0, -9.0, -9.0]
        return piece_vocabulary(symbols, scores, "bpe")
    return trained(request.param, tmp_path)


def peaks(ids, size, p=0.9):
    """A posterior whose likeliest token of frame t is ids[t], [T', V]."""
    log_probs = torch.full((len(ids), size), (1 - p) / (size - 1))
    log_probs[range(len(ids)), ids] = p
    return log_probs.log()


def test_words_are_where_their_peaks_are():
    tokens = character_vocabulary(LETTERS)
    #    0  1  2  3  4  5  6  7  8  9 10 11: blank, AAB é, blank, B
    path = [0, 2, 2, 0, 2, 3, 1, 4, 0, 1, 0, 3]
    spans = align_tokens(peaks(path, len(LETTERS)), [2, 2, 3, 1, 4, 1, 3])
    found = words_of(spans, tokens)
    assert [(w.text, w.start, w.end) for w in found] == [
        ("AAB", 1, 6),
        ("É", 7, 8),
        ("B", 11, 12),
    ]
    assert [w.confidence for w in found] == pytest.approx([0.9] * 3)


def test_text_that_was_not_decoded_is_aligned_with_what_was_said():
    path = [0, 2, 2, 0, 0, 3, 0, 5, 0]
    (a, b) = align_tokens(peaks(path, len(LETTERS)), [2, 5])
    assert (a.start, a.end, b.start, b.end) == (1, 3, 7, 8)


@pytest.mark.parametrize("seed", range(5))
def test_the_likeliest_path_is_that_of_forced_alignment(seed):
    generator = torch.Generator().manual_seed(seed)
    log_probs = 3 * torch.randn(40, 6, generator=generator)
    log_probs = log_probs.log_softmax(-1)
    ids = [i for i in torch.unique_consecutive(log_probs.argmax(-1)) if i]
    targets = torch.tensor([ids])
    paths, scores = forced_align(log_probs[None], targets)
    expected = merge_tokens(paths[0], scores[0].exp())
    assert align_tokens(log_probs, targets[0].tolist()) == expected


@pytest.mark.parametrize("seed", range(5))
def test_words_are_those_of_the_text_that_was_decoded(tokenizer, seed):
    generator = torch.Generator().manual_seed(seed)
    size = len(tokenizer)
    lengths = torch.tensor([60, 31])
    log_probs = torch.randn(2, 60, size, generator=generator) * 4
    out = EncoderOutput(log_probs.log_softmax(-1), lengths)
    task = TranscriptionTask(tokenizer)
    texts = task.decode(out)
    for text, words, n in zip(texts, task.words(out, texts), lengths):
        assert [word.text for word in words] == text.split()
        assert all(0 <= w.start < w.end <= n for w in words)
        assert all(0 < w.confidence <= 1 for w in words)
        starts = [w.start for w in words]
        assert starts == sorted(starts)


def test_an_answer_of_a_beam_search_is_aligned_as_the_vocabulary_spells_it():
    path = [0, 2, 2, 0, 1, 3, 0, 5, 0]
    out = EncoderOutput(peaks(path, len(LETTERS))[None], torch.tensor([9]))
    task = TranscriptionTask(character_vocabulary(LETTERS))
    (words,) = task.words(out, ["A 你"])
    assert [(w.text, w.start) for w in words] == [("A", 1), ("你", 7)]
    assert task.words(out, [""]) == [[]]


@pytest.mark.parametrize(
    "n_frames, ids, match",
    [
        (3, [2, 2, 3], "3 tokens need at least 4 frames, and there are 3"),
        (MOST_CELLS // 20, [2, 3] * 10, "align them in parts"),
    ],
)
def test_what_cannot_be_aligned_is_said(n_frames, ids, match):
    log_probs = torch.zeros(1, 7).expand(n_frames, 7)
    with pytest.raises(ValueError, match=match):
        align_tokens(log_probs, ids)


def test_a_text_is_spelled_in_the_case_that_there_is(tmp_path):
    task = TranscriptionTask(trained("char", tmp_path))
    assert (
        task.spell("Turn the light") == task.encode("TURN THE LIGHT").tolist()
    )
    with pytest.raises(ValueError, match=r"but has ',' '2': leave it out"):
        task.spell("turn the 2, light")
    with pytest.raises(ValueError, match="must have a word, but is ' '"):
        task.spell(" ")
