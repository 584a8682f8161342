"""Words of byte-pair tokens, as a Whisper writes them.

Tokens are parted as by openai-whisper (`split_tokens_on_spaces` of its
tokenizer.py, release 20250625); a word is then what stands between spaces,
and its punctuation adds nothing to its time and confidence.
"""

import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from dld_brain.tasks.alignment import WordSpan

#: What bytes that are no whole character are decoded as.
BROKEN = "\ufffd"


class Part(NamedTuple):
    """A text, and the tokens that spell it: `start` to `end`, exclusive."""

    text: str
    start: int
    end: int

    @property
    def is_mark(self) -> bool:
        """Whether it is punctuation, or nothing."""
        kinds = (unicodedata.category(c)[0] for c in self.text.strip())
        return all(kind == "P" for kind in kinds)


def parts_of(
    tokens: Sequence[int], decode: Callable[[list[int]], str]
) -> list[Part]:
    """As few tokens each as whole characters can be made of.

    Arguments
    ---------
    decode : callable
        Token ids to text.
    """
    whole = decode([*tokens])
    found: list[Part] = []
    start, n_characters = 0, 0
    for end in range(1, len(tokens) + 1):
        text = decode([*tokens[start:end]])
        place = n_characters + text.find(BROKEN)
        if BROKEN not in text or whole[place : place + 1] == BROKEN:
            found.append(Part(text, start, end))
            start, n_characters = end, n_characters + len(text)
    return found


def words_of(
    parts: Sequence[Part], first: Sequence[int], sure: torch.Tensor
) -> list[WordSpan]:
    """Words and their frames.

    Arguments
    ---------
    parts : sequence of Part
        Of a text.
    first : sequence of int
        First frame of each token, and of the end behind them.
    sure : torch.Tensor
        Probabilities of the tokens, [U].

    Returns
    -------
    list of WordSpan
        A word lasts until the token behind it begins; it may have no frame.

    Example
    -------
    >>> parts = [Part(" Hi", 0, 1), Part(",", 1, 2), Part(" you", 2, 3)]
    >>> words_of(parts, [5, 9, 20, 30], torch.tensor([0.5, 0.25, 1.0]))[0]
    WordSpan(text='Hi,', start=5, end=9, confidence=0.5)
    """
    return [_word(group, first, sure) for group in grouped(parts)]


def grouped(parts: Sequence[Part]) -> list[list[Part]]:
    """The parts of each word: a space begins one.

    Example
    -------
    >>> parts = [Part(" a", 0, 1), Part("b", 1, 2), Part(" ", 2, 3)]
    >>> [text_of(group) for group in grouped(parts)]
    ['ab']
    """
    groups: list[list[Part]] = []
    for part in parts:
        if part.text[:1].isspace() or not groups:
            groups.append([])
        groups[-1].append(part)
    return [group for group in groups if text_of(group)]


def text_of(group: Sequence[Part]) -> str:
    """The word that some parts spell."""
    return "".join(part.text for part in group).strip()


def _word(
    group: Sequence[Part], first: Sequence[int], sure: torch.Tensor
) -> WordSpan:
    """The word of some parts."""
    said = [part for part in group if not part.is_mark] or group
    start, end = said[0].start, said[-1].end
    confidence = float(sure[start:end].mean())
    return WordSpan(text_of(group), first[start], first[end], confidence)
