"""A vocabulary of pieces of words, by list: that of a CTC model of the Hub.

Written as a SentencePiece model, as `characters` does.
"""

from collections.abc import Sequence
from typing import Optional

from sentencepiece import SentencePieceProcessor

from dld_brain.tasks.characters import (
    UNKNOWN,
    USER_DEFINED,
    empty_model,
    model_proto,
    other_case,
)

#: Types of SentencePiece: of pieces, and by name, of models.
NORMAL, MODELS = 1, {"unigram": 1, "bpe": 2}


def piece_vocabulary(
    symbols: Sequence[str], scores: Sequence[Optional[float]], kind: str
) -> SentencePieceProcessor:
    """Makes a vocabulary that cuts words as another one does.

    Arguments
    ---------
    symbols : sequence of str
        By id: the blank, then pieces, of which those that begin a word begin
        with SPACE.
    scores : sequence of float
        The higher, the sooner a piece is taken; None for what is special.
    kind : str
        bpe or unigram.

    Example
    -------
    >>> symbols = ["<pad>", "\u2581", "a", "b", "ab", "\u2581ab"]
    >>> scores = [None, -9.0, -9.0, -9.0, 0.0, -1.0]
    >>> tokens = piece_vocabulary(symbols, scores, "bpe")
    >>> tokens.encode("ab bab"), tokens.decode([5, 3, 4])
    ([5, 1, 3, 4], 'abbab')
    """
    proto = model_proto()
    replaced = other_case(symbols)
    proto.ParseFromString(empty_model(symbols[0], replaced, begins=True))
    proto.trainer_spec.model_type = MODELS[kind]
    del proto.pieces[:]
    for symbol, score in zip(symbols, scores, strict=True):
        kind_of_piece = USER_DEFINED if score is None else NORMAL
        proto.pieces.add(piece=symbol, score=score or 0.0, type=kind_of_piece)
    proto.pieces[0].type = UNKNOWN
    return SentencePieceProcessor(model_proto=proto.SerializeToString())
