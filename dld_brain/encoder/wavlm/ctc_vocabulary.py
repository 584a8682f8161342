"""The vocabulary of a CTC model: characters, or pieces of words."""

import json
from typing import Any, NamedTuple, Optional

from dld_brain.encoder.wavlm.huggingface import one_line, transformers

SPACE = "\u2581"  # what parts words
#: Characters alone: words of a class for phonemes cannot be read.
TOKENIZERS = ("Wav2Vec2CTCTokenizer", "Wav2Vec2Tokenizer")


class Symbols(NamedTuple):
    """What the outputs of a model stand for.

    Arguments
    ---------
    names : list of str
        By output.
    blank : int
        Which output is the blank.
    kind : str
        How words are cut: char, bpe or unigram.
    scores : list of float, optional
        Of pieces, by output: the higher, the sooner it is taken; None for
        what is special.
    """

    names: list[str]
    blank: int
    kind: str = "char"
    scores: Optional[list[Optional[float]]] = None

    def blank_first(self) -> "Symbols":
        """The same in our order."""
        order = self.order
        scores = self.scores and [self.scores[i] for i in order]
        names = [self.names[i] for i in order]
        return self._replace(names=names, blank=0, scores=scores)

    @property
    def order(self) -> list[int]:
        """Outputs in our order: the blank first."""
        others = (i for i in range(len(self.names)) if i != self.blank)
        return [self.blank, *others]


def read_characters(source: str, size: int) -> Symbols:
    """Reads the vocabulary of a Wav2Vec2CTCTokenizer."""
    try:
        written = transformers.models.auto.tokenization_auto
        settings = written.get_tokenizer_config(source)
        tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(source)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{source} must have a vocabulary of characters, but its "
            f"vocab.json or tokenizer_config.json cannot be read: "
            f"{one_line(error)}"
        ) from error
    name = settings.get("tokenizer_class") or TOKENIZERS[0]
    if name not in TOKENIZERS:
        raise ValueError(
            f"{source} must spell words by a {TOKENIZERS[0]}, but has a "
            f"{name}: give a model of characters"
        )
    tokens = {
        int(i): token["content"]
        for i, token in settings.get("added_tokens_decoder", {}).items()
    } | {i: token for token, i in tokenizer.encoder.items()}
    # What transformers 5 reads of a saved tokenizer is its own default, "|".
    gap = settings.get("word_delimiter_token", tokenizer.word_delimiter_token)
    gap = gap["content"] if isinstance(gap, dict) else gap
    return symbols_of(source, tokens, tokenizer, size, gap)


def symbols_of(
    source: str,
    tokens: dict[int, str],
    tokenizer: Any,
    size: int,
    gap: Optional[str],
) -> Symbols:
    """Symbols by output, and the blank.

    Arguments
    ---------
    tokens : dict of int to str
        That the files of the model name, by output.
    tokenizer : transformers.Wav2Vec2CTCTokenizer
        Says which are special; it makes up those that the files lack.
    size : int
        Outputs of the head.
    gap : str, optional
        What parts words.

    Raises
    ------
    ValueError
        If there is no blank, or nothing parts words.
    """
    by_token = {token: i for i, token in tokens.items() if 0 <= i < size}
    needed = {
        "blank (pad_token)": tokenizer.pad_token,
        "word delimiter (word_delimiter_token)": gap,
    }
    for what, token in needed.items():
        if token not in by_token:
            raise ValueError(
                f"the vocabulary of {source} must have a {what}, but none of "
                f"its {size} outputs is {token!r}: add it to vocab.json, if "
                f"one of them is it, or give another model"
            )
    blank, between = (by_token[token] for token in needed.values())
    symbols = [tokens.get(i) or f"<{i}>" for i in range(size)]
    if tokenizer.do_lower_case:  # its letters are capitals, its text is not
        taken = set(symbols)
        symbols = [
            s.lower() if len(s) == 1 and s.lower() not in taken else s
            for s in symbols
        ]
    symbols[between] = SPACE
    return Symbols(symbols, blank)


def read_pieces(source: str, size: int) -> Symbols:
    """Reads the vocabulary of a ParakeetTokenizer.

    Raises
    ------
    ValueError
        If it is of another kind, has no blank, or nothing parts words.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{source} must have a vocabulary of pieces, but its "
            f"tokenizer.json cannot be read: {one_line(error)}"
        ) from error
    if model["type"] not in ("BPE", "Unigram"):
        raise ValueError(
            f"{source} must spell words by BPE or Unigram, but by "
            f"{model['type']}: give a model of SentencePiece's pieces"
        )
    scores = _scores(model)
    for token in tokenizer.all_special_tokens:
        scores.pop(token, None)
    found = {i: token for token, i in tokenizer.get_vocab().items()}
    blank = tokenizer.pad_token_id
    if blank is None or not 0 <= blank < size:
        raise ValueError(
            f"the vocabulary of {source} must have a blank (pad_token), but "
            f"none of its {size} outputs is {tokenizer.pad_token!r}: name it in "
            f"tokenizer_config.json, if one of them is it, or give another "
            f"model"
        )
    names = [found.get(i, f"<{i}>") for i in range(size)]
    if not any(name.startswith(SPACE) for name in names if name in scores):
        raise ValueError(
            f"the vocabulary of {source} must have a word delimiter, but none "
            f"of its {size} outputs begins with {SPACE!r}: give another model"
        )
    kind = model["type"].lower()
    return Symbols(names, blank, kind, [scores.get(name) for name in names])


def _scores(model: dict[str, Any]) -> dict[str, float]:
    """Scores by piece, as SentencePiece has them: of BPE, minus the rank."""
    if model["type"] == "Unigram":
        return {piece: float(score) for piece, score in model["vocab"]}
    scores = {piece: -float(len(model["merges"])) for piece in model["vocab"]}
    for rank, pair in reversed(list(enumerate(model["merges"]))):
        pair = pair.split(" ") if isinstance(pair, str) else pair
        scores["".join(pair)] = -float(rank)
    return scores
