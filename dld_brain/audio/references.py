"""What a model is to answer: whether it can, by the words and characters."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import torch

from dld_brain.audio.text import CASES, normalise
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: Characters that a message names, and how much of a word.
SHOWN, SHOWN_LETTERS = 4, 16


class References(Protocol):
    """What a dataset needs of a task: its column, and ids for what is there."""

    column: str

    def text(self, reference: str) -> str:
        """A reference in the form that targets and answers have."""

    def encode(self, reference: str) -> torch.Tensor:
        """Target ids of a reference, [U]."""

    def unspelled(self, word: str) -> str:
        """Characters of a word that the vocabulary cannot spell."""

    def unknown(self, references: Iterable[str]) -> dict[str, int]:
        """References that no answer can equal, and how often each is there."""


class Unspelled(NamedTuple):
    """What a vocabulary cannot spell of some references.

    Arguments
    ---------
    n_words : int
        Words with such a character.
    n_all : int
        All words.
    characters : Counter
        How often each is there.
    examples : dict of str to tuple of str
        By character, a word that has it, and the id of its utterance.
    """

    n_words: int
    n_all: int
    characters: Counter
    examples: dict[str, tuple[str, str]]

    @property
    def share(self) -> float:
        """Words with such a character, of all."""
        return self.n_words / max(1, self.n_all)

    def __str__(self) -> str:
        found = []
        for character, n in self.characters.most_common(SHOWN):
            word, name = self.examples[character]
            found.append(
                f"{character!r} ({n}, as in {word[:SHOWN_LETTERS]!r} of "
                f"{name[:SHOWN_LETTERS]})"
            )
        more = len(self.characters) - len(found)
        rest = f" and {more} more" * (more > 0)
        return (
            f"{self.n_words} of {self.n_all} words ({100 * self.share:.3g} %) "
            f"have characters that the vocabulary cannot spell: "
            f"{', '.join(found)}{rest}"
        )


def find_unspelled(texts: Mapping[str, str], task: References) -> Unspelled:
    """Counts what a vocabulary cannot spell.

    Arguments
    ---------
    texts : mapping of str to str
        References in the task's form, by id.
    """
    words = Counter(w for text in texts.values() for w in text.split())
    lost = {word: task.unspelled(word) for word in words}
    lost = {word: found for word, found in lost.items() if found}
    characters: Counter = Counter()
    for word, found in lost.items():
        for character in found:
            characters[character] += words[word]
    examples: dict[str, tuple[str, str]] = {}
    for name, text in texts.items() if lost else ():
        for word in text.split():
            for character in lost.get(word, ()):
                examples.setdefault(character, (word, name))
    n_words = sum(words[word] for word in lost)
    return Unspelled(n_words, words.total(), characters, examples)


def check_references(
    references: Mapping[str, str],
    task: References,
    csv: str,
    max_unspellable: float = 0.1,
) -> None:
    """Says which references can never be met, and raises if they are many.

    Arguments
    ---------
    references : mapping of str to str
        By id, as the file has them.
    max_unspellable : float
        Share of the words that the vocabulary may be unable to spell.

    Raises
    ------
    ValueError
        If it cannot spell more.
    """
    texts = {name: task.text(text) for name, text in references.items()}
    found = find_unspelled(texts, task)
    if found.share > max_unspellable:
        raise ValueError(
            f"{csv}: {found}. {_better_case(texts, task, max_unspellable)}; "
            f"`max_unspellable` is {max_unspellable:g}"
        )
    if found.n_words:
        logger.warning(f"{csv}: {found}; they count as wrong")
    unknown = task.unknown(list(texts.values()))
    if unknown:
        counts = (f"{label} ({n})" for label, n in sorted(unknown.items()))
        logger.warning(
            f"{csv}: {sum(unknown.values())} of {len(texts)} utterances have "
            f"a label that training data has not; they count as wrong: "
            f"{', '.join(counts)}"
        )


def _better_case(
    texts: Mapping[str, str], task: References, max_unspellable: float
) -> str:
    """What to try where a vocabulary does not fit."""
    for case in CASES:
        written = {name: normalise(t, case) for name, t in texts.items()}
        if find_unspelled(written, task).share <= max_unspellable:
            return f"Try --text_case={case}, which it can spell"
    return (
        "Train another vocabulary on text like this (a model of the Hub: with "
        "--new_head=True)"
    )
