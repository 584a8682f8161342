"""An n-gram language model of words, for CTC's beam search.

A file is checked when it is given: that it is ARPA, that its units are words,
and that the model can spell them. kenlm scores it, as SpeechBrain has it.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor

from dld_brain.audio.text import CASES
from dld_brain.files.console import escaped
from speechbrain.decoders.ctc import CTCBaseSearcher
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: What the binaries of kenlm's build_binary begin with. They hold the words
#: in a form of their own, and the search prunes by the words.
BINARY = b"mmap lm http://kheafield.com/code"
#: What gzip, bzip2 and xz begin with: OpenSLR's files are compressed.
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
#: Entries that are no words.
MARKS = ("<s>", "</s>", "<unk>", "<UNK>")
#: SentencePiece's, WordPiece's and BPE's marks of what is part of a word.
PIECES = ("▁", "##", "@@")
#: Words of a file that are looked at, evenly spread.
LOOKED_AT = 2000
#: Lines of text that an ARPA file may begin with.
PREAMBLE = 100


@dataclass(frozen=True)
class LanguageModel:
    """A file of n-grams.

    Arguments
    ---------
    words : tuple of str
        Its unigrams, but for the marks of a sentence.
    """

    path: Path
    words: tuple[str, ...]

    @classmethod
    def read(cls, path: Any) -> "LanguageModel":
        """Reads the words of an ARPA file, and checks that they are some.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        ValueError
            If it is no ARPA file, or its units are no words.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"`lm` must be an ARPA file, but {_name(path)} is no file"
            )
        found = cls(path, tuple(w for w in _unigrams(path) if w not in MARKS))
        unit = _unit_of(found.some_words)
        if unit != "words":
            raise ValueError(
                f"`lm` must be an n-gram model of words, but the units of "
                f"{_name(path)} are {unit}: train one on text whose words "
                f"are parted by spaces"
            )
        return found

    @property
    def some_words(self) -> tuple[str, ...]:
        """Some of its words, evenly spread."""
        return self.words[:: len(self.words) // LOOKED_AT + 1]

    def case_for(self, tokenizer: SentencePieceProcessor) -> str:
        """How the model's words are to be written to be looked up.

        Returns
        -------
        str
            keep; lower or upper, where the model's text is in the other.

        Raises
        ------
        ValueError
            If the model cannot spell most of the file's words.
        """
        pieces = [tokenizer.id_to_piece(i) for i in range(len(tokenizer))]
        ours = _case_of([p for p in pieces if p not in ("<unk>", "<blank>")])
        theirs, some = _case_of(self.some_words), self.some_words
        is_other = "keep" not in (ours, theirs) and ours != theirs
        spell = CASES[ours if is_other else "keep"]
        unk = tokenizer.unk_id()
        bad = [w for w in some if unk in tokenizer.encode(spell(w))]
        if 2 * len(bad) > len(some):
            case = "" if ours == "keep" else f" {ours}-case"
            raise ValueError(
                f"`lm` must have words that the model can spell, but it "
                f"cannot spell {len(bad)} of {len(some)} of {_name(self.path)}, "
                f"as {escaped(bad[0], 40)}: train it on text of the model's"
                f"{case} letters"
            )
        if is_other:
            logger.warning(
                "%s is in %s case, the model's text in %s: its words are "
                "looked up in %s case",
                *(_name(self.path), theirs, ours, theirs),
            )
        return theirs if is_other else "keep"


def check_language_model(path: Any, task: str) -> None:
    """Raises where a file is none that a model can be decoded with.

    Whether the model can spell its words is `LanguageModel.case_for`'s.

    Arguments
    ---------
    task : str
        Of the model: its `name`.

    Raises
    ------
    FileNotFoundError, ValueError
        See `LanguageModel.read` and `check_use`.
    ModuleNotFoundError
        If kenlm is not installed.
    """
    check_use(path, task)
    _stock_scorer()
    LanguageModel.read(path)


def check_use(path: Any, task: str) -> None:
    """Raises for a model of another task; see `check_language_model`."""
    if task != "transcription":
        raise ValueError(
            f"`lm` must be for a model with a head for CTC, but this one's "
            f"`task` is {task}: leave {_name(path)} out"
        )


def _stock_scorer() -> Any:
    """SpeechBrain's class, for which kenlm is needed."""
    try:
        # kenlm is an extra, which is compiled when it is installed
        from speechbrain.integrations.decoders.kenlm_scorer import KenlmScorer
    except ImportError as error:
        raise ModuleNotFoundError(
            f"`lm` must have kenlm to score words, but {error}: "
            f"pip install 'dld-brain[lm]'"
        ) from None
    return KenlmScorer


def make_scorer(
    path: Any, tokenizer: SentencePieceProcessor, searcher: CTCBaseSearcher
) -> Any:
    """Makes SpeechBrain's scorer of a file, with the weights of a searcher.

    Raises
    ------
    ModuleNotFoundError
        If kenlm is not installed.
    ValueError
        If the file is none that the model can be decoded with.
    """
    stock = _stock_scorer()
    path = Path(path)
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    model, ngrams = _loaded(path, changed)
    write = CASES[model.case_for(tokenizer)]

    class Scorer(stock):
        """Looks words up in the case of the file."""

        def score_partial_token(self, partial_token: str) -> float:
            """What the beginning of a word costs."""
            return super().score_partial_token(write(partial_token))

        def score(
            self, prev_state: Any, word: str, *args: Any, **kw: Any
        ) -> Any:
            """What a whole word costs, and the state behind it."""
            return super().score(prev_state, write(word), *args, **kw)

    return Scorer(
        ngrams,
        model.words,
        searcher.alpha,
        searcher.beta,
        searcher.unk_score_offset,
        searcher.score_boundary,
    )


@functools.lru_cache(maxsize=1)
def _loaded(path: Path, changed: int) -> tuple[LanguageModel, Any]:
    """The words and kenlm's model of a file, as long as it stays the same."""
    import kenlm

    model = LanguageModel.read(path)
    config = kenlm.Config()
    config.show_progress = False
    config.arpa_complain = kenlm.ARPALoadComplain.NONE  # binaries are refused
    try:
        return model, kenlm.Model(str(path), config)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"`lm` must be a whole ARPA file, but {_name(path)} is not "
            f"({escaped(error, 200)})"
        ) from None


def _name(path: Path) -> str:
    """A path, fit for a message."""
    return escaped(path, 200)


def _unigrams(path: Path) -> Iterator[str]:
    r"""The second column of the section \1-grams: of an ARPA file."""
    with open(path, "rb") as file:
        start = file.read(len(BINARY))
        if start.startswith(COMPRESSED):
            raise ValueError(
                f"`lm` must be an ARPA file, but {_name(path)} is compressed: "
                f"unpack it first (gunzip, bunzip2, unxz)"
            )
        if start == BINARY:
            raise ValueError(
                f"`lm` must be an ARPA file, but {_name(path)} is a binary of "
                f"kenlm, whose words cannot be read: give the ARPA file that "
                f"it was made of"
            )
        file.seek(0)
        sections = (file.readline().strip() for _ in range(PREAMBLE))
        if b"\\1-grams:" not in sections:
            raise ValueError(
                f"`lm` must be an ARPA file, with a section \\1-grams:, but "
                f"{_name(path)} is none: dld lm makes one of text"
            )
        for line in file:
            cells = line.split()
            if line.startswith(b"\\"):
                return
            if len(cells) > 1:
                yield _text(cells[1], path)


def _text(word: bytes, path: Path) -> str:
    """A word of a file."""
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(
            f"`lm` must be in UTF-8, but {_name(path)} has {word[:40]!r}"
        ) from None


def _unit_of(words: tuple[str, ...]) -> str:
    """What entries of a file are: words, pieces of words, or letters."""
    marked = [w for w in words if w.startswith(PIECES) or w.endswith(PIECES)]
    if not words:
        return "none"
    if 10 * len(marked) > len(words):
        return f"pieces of words, as {marked[0]}"
    if len(words) > 10 and sum(len(w) == 1 for w in words) > len(words) / 2:
        return "single letters"
    return "words"


def _case_of(words: Any) -> str:
    """lower or upper, where letters are in that case; else keep."""
    text = "".join(words)
    n_lower = sum(c != c.upper() for c in text)
    n_upper = sum(c != c.lower() for c in text)
    if n_lower > 20 * n_upper:
        return "lower"
    return "upper" if n_upper > 20 * n_lower else "keep"
