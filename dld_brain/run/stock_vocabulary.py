"""The vocabulary of a stock SpeechBrain model, with the blank first."""

from pathlib import Path
from typing import Any, NamedTuple

from sentencepiece import SentencePieceProcessor

from dld_brain.model_folder.safe_yaml import Made
from dld_brain.model_folder.stock_yaml import StockTree
from dld_brain.tasks.characters import SPACE, character_vocabulary
from dld_brain.tasks.tokenizer import load_tokenizer
from speechbrain.dataio.encoder import CTCTextEncoder

PIECES = "sentencepiece.SentencePieceProcessor"
GREEDY = ".ctc_greedy_decode"
LABELS = "speechbrain.dataio.encoder.CTCTextEncoder"
#: Types of SentencePiece: what is text, and what stands for none.
NORMAL, CONTROL, BYTE = 1, 3, 6


class Vocabulary(NamedTuple):
    """Tokens in our order.

    Arguments
    ---------
    outputs : list of int
        The model's outputs in our order: the blank first.
    """

    tokenizer: SentencePieceProcessor
    outputs: list[int]


def read_vocabulary(
    tree: StockTree, told: Made, path: Path, size: int
) -> Vocabulary:
    """Reads the tokenizer of a model.

    Arguments
    ---------
    told : Made
        What the tokenizer is.
    size : int
        Outputs of the head.

    Raises
    ------
    ValueError
        If there is no blank, or it is of a kind that we do not have.
    """
    kind = told.name.partition(":")[2]
    blank = _blank(tree, size)
    outputs = [blank, *(i for i in range(size) if i != blank)]
    if kind == PIECES:
        return Vocabulary(_of_pieces(path, outputs), outputs)
    if kind != LABELS:
        raise tree.error(
            f"`tokenizer` must be a {PIECES} or {LABELS}, but is a {kind}"
        )
    return Vocabulary(_of_labels(path, outputs), outputs)


def _blank(tree: StockTree, size: int) -> int:
    """Which output is the blank."""
    decoding = tree.follow(tree.keys.get("decoding_function"))
    if isinstance(decoding, Made) and decoding.name.endswith(GREEDY):
        value = decoding.arguments.get("blank_id", -1)
    else:
        search = tree.follow(tree.keys.get("test_beam_search"))
        search = search if isinstance(search, dict) else {}
        value = search.get("blank_index", tree.keys.get("blank_index"))
    value = tree.plain(value)
    if value == -1:  # SpeechBrain's word for the last
        value = size - 1
    if type(value) is not int or not 0 <= value < size:
        raise tree.error(
            f"`blank_id` of `decoding_function`, or `blank_index`, must be one "
            f"of the {size} outputs, but is {value}: a model of CTC has a blank"
        )
    return value


def _of_pieces(path: Path, outputs: list[int]) -> SentencePieceProcessor:
    """A SentencePiece model with the blank first, a piece an output."""
    tokenizer = SentencePieceProcessor()
    load_tokenizer(tokenizer, path)
    n_pieces, size, blank = len(tokenizer), len(outputs), outputs[0]
    if n_pieces not in (size, size - 1):
        raise ValueError(
            f"{path} must have a piece for each of the {size} outputs, but for "
            f"the blank, but has {n_pieces}"
        )
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(tokenizer.serialized_model_proto())
    if blank < n_pieces and proto.pieces[blank].type in (NORMAL, BYTE):
        raise ValueError(
            f"the vocabulary of {path} must have a blank, but output {blank}, "
            f"which is said to be it, is {proto.pieces[blank].piece!r}"
        )
    if outputs == list(range(n_pieces)):
        return tokenizer
    pieces = [type(p).FromString(p.SerializeToString()) for p in proto.pieces]
    if n_pieces < size:
        added = type(pieces[0])(piece="<blank>", score=0.0, type=CONTROL)
        pieces.append(added)
    del proto.pieces[:]
    proto.pieces.extend(pieces[i] for i in outputs)
    return SentencePieceProcessor(model_proto=proto.SerializeToString())


def _of_labels(path: Path, outputs: list[int]) -> SentencePieceProcessor:
    """A SentencePiece model of the labels of a CTCTextEncoder."""
    try:
        _, labels, extras = CTCTextEncoder._load_literal(path)
    except (ValueError, SyntaxError, OSError, TypeError) as error:
        text = " ".join(str(error).split())[:160]
        raise ValueError(f"{path} must hold labels, but: {text}") from None
    blank = labels.pop(outputs[0], None)
    if blank not in (None, extras.get("blank_label")):
        raise ValueError(
            f"the vocabulary of {path} must have a blank, but output "
            f"{outputs[0]}, which is said to be it, is {blank!r:.40}"
        )
    symbols = [_symbol(path, labels.get(i, f"<{i}>")) for i in outputs]
    if SPACE not in symbols:
        raise ValueError(
            f"the vocabulary of {path} must have what parts words (' '), but "
            f"has not: give a model of words"
        )
    return character_vocabulary(symbols)


def _symbol(path: Path, label: Any) -> str:
    """A label as we write it."""
    is_special = str(label).startswith("<") and str(label).endswith(">")
    if not isinstance(label, str) or (len(label) != 1 and not is_special):
        raise ValueError(
            f"the labels of {path} must be characters, but one is {label!r:.40}"
        )
    return SPACE if label == " " else label
