"""A vocabulary of characters, by list: that of a CTC model of the Hub.

Written as a SentencePiece model, so that whatever reads a tokenizer here
(decoding, export, other programs) reads this one. Every symbol keeps its
place in the list.
"""

import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

#: What stands between words, as SentencePiece writes it.
SPACE = "\u2581"
#: Types of SentencePiece: what the blank is, and what text is cut into.
UNKNOWN, USER_DEFINED = 2, 4


def character_vocabulary(symbols: Sequence[str]) -> SentencePieceProcessor:
    """Makes a vocabulary of symbols, a character each but for the special.

    A vocabulary that has its letters in one case reads text of the other.

    Arguments
    ---------
    symbols : sequence of str
        By id: the blank, then what can be spelled; SPACE parts words.

    Raises
    ------
    ValueError
        If a symbol is there twice, is empty, or none parts words.

    Example
    -------
    >>> tokens = character_vocabulary(["<pad>", "|", "\u2581", "A", "B"])
    >>> tokens.encode("ab a"), tokens.decode([3, 4, 2, 3])
    ([3, 4, 2, 3], 'AB A')
    >>> tokens.encode("AC", out_type=str)  # what cannot be spelled
    ['A', 'C']
    """
    twice = sorted({s for s in symbols if symbols.count(s) > 1})
    if twice or "" in symbols or SPACE not in symbols[1:]:
        raise ValueError(
            f"symbols must be different, not empty, and one of them part "
            f"words, but {f'{twice[0]!r} is there twice' if twice else 'not'}"
        )
    proto = model_proto()
    proto.ParseFromString(empty_model(symbols[0], other_case(symbols)))
    del proto.pieces[:]
    for symbol in symbols:
        proto.pieces.add(piece=symbol, score=0.0, type=USER_DEFINED)
    proto.pieces[0].type = UNKNOWN
    return SentencePieceProcessor(model_proto=proto.SerializeToString())


def model_proto() -> Any:
    """A model of SentencePiece as data, empty."""
    try:
        from sentencepiece import sentencepiece_model_pb2
    except ImportError as error:
        raise ImportError(
            "a vocabulary of a Hugging Face model needs protobuf: pip install "
            "-e '.[wavlm]'"
        ) from error
    return sentencepiece_model_pb2.ModelProto()


def other_case(symbols: Sequence[str]) -> dict[str, str]:
    """Letters that are there in the other case alone, by the missing one.

    Example
    -------
    >>> other_case(["<pad>", "A", "\u00df", "'"]), other_case(["a", "A"])
    ({'a': 'A'}, {})
    """
    letters = {s for s in symbols if len(s) == 1}
    return {
        other: letter
        for letter in sorted(letters)
        for other in (letter.lower(), letter.upper())
        if len(other) == 1 and other not in letters
    }


def empty_model(
    blank: str, replaced: dict[str, str], begins: bool = False
) -> bytes:
    """A model of SentencePiece that replaces characters, and knows no other.

    Arguments
    ---------
    begins : bool
        Whether the first word begins with SPACE, as the others do: else no
        target begins with the gap of words.
    """
    model = BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder, "rules.tsv")
        lines = [f"{ord(a):X}\t{ord(b):X}\n" for a, b in replaced.items()]
        rules.write_text("".join(lines))
        SentencePieceTrainer.train(
            sentence_iterator=iter(["a"]),
            model_writer=model,
            model_type="char",
            vocab_size=2,
            unk_id=0,
            unk_piece=blank,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            add_dummy_prefix=begins,
            minloglevel=2,
            **(
                {"normalization_rule_tsv": str(rules)}
                if lines
                else {"normalization_rule_name": "identity"}
            ),
        )
    return model.getvalue()
