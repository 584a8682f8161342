"""Reads the n-gram models of CMUSphinx, its "trie" binaries.

> pip download pocketsphinx --no-deps --only-binary=:all:  # has one of English
> dld lm --sphinx pocketsphinx/model/en-us/en-us.lm.bin --output en.arpa

The format is that of pocketsphinx 5 (src/lm/ngram_model_trie.c, lm_trie.c,
lm_trie_quant.c, bitarr.c), little-endian: a header, the order and the counts
of each order; the values that probabilities and back-offs of the orders from
2 are rounded to; unigrams; for each higher order an array of nodes, packed by
bits; the words. It is a trie of n-grams read backwards: a node lies below the
n-gram without its first word.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np

HEADER = b"Trie Language Model"
#: Base of its logarithms, sphinx's default, which no file says.
BASE = 1.0001
#: Orders that pocketsphinx knows.
MOST_ORDERS = 5
#: Bits of a number that stands for a probability or a back-off.
BITS = 16
#: What the last number may reach beyond its array, bytes.
SPARE = 8


@dataclass(frozen=True)
class Order:
    """The n-grams of one order.

    Arguments
    ---------
    words : numpy.ndarray
        The first word of each, [N], as its number.
    parents : numpy.ndarray
        Which of the order below is the n-gram without that word, [N].
    log_probs : numpy.ndarray
        To base 10, [N].
    back_offs : numpy.ndarray, optional
        The same; none of the highest order.
    """

    words: np.ndarray
    parents: np.ndarray
    log_probs: np.ndarray
    back_offs: Optional[np.ndarray]


@dataclass(frozen=True)
class SphinxModel:
    """An n-gram model.

    Arguments
    ---------
    vocabulary : list of str
        Words, by their numbers.
    orders : list of Order
        From 1.
    """

    vocabulary: list[str]
    orders: list[Order]

    def rows(self, n: int) -> np.ndarray:
        """Words of the n-grams of order n, as they are read, [N, n]."""
        columns, places = [], np.arange(len(self.orders[n - 1].words))
        for order in reversed(self.orders[:n]):
            columns.append(order.words[places])
            places = order.parents[places]
        return np.stack(columns, axis=1)

    def lines(self) -> Iterator[str]:
        """The lines of an ARPA file."""
        yield "\\data\\"
        for n, order in enumerate(self.orders, 1):
            yield f"ngram {n}={len(order.words)}"
        for n, order in enumerate(self.orders, 1):
            yield f"\n\\{n}-grams:"
            back_offs = order.back_offs
            for i, row in enumerate(self.rows(n).tolist()):
                text = " ".join([self.vocabulary[word] for word in row])
                line = f"{order.log_probs[i]:.4f}\t{text}"
                if back_offs is not None:
                    line += f"\t{back_offs[i]:.4f}"
                yield line
        yield "\n\\end\\"


def read_sphinx(path: Path) -> SphinxModel:
    """Reads a file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no trie binary, or not whole.
    """
    content = path.read_bytes()
    if not content.startswith(HEADER):
        raise ValueError(
            f"`sphinx` must be a trie binary of CMUSphinx (*.lm.bin), but "
            f"{path} does not begin with {HEADER.decode()!r}"
        )
    try:
        return _parsed(_Bytes(content, len(HEADER)))
    except (struct.error, ValueError, IndexError) as error:
        raise ValueError(
            f"`sphinx` must be a whole trie binary of CMUSphinx, but {path} "
            f"is not ({error})"
        ) from None


class _Bytes:
    """Bytes that are read in order."""

    def __init__(self, content: bytes, place: int) -> None:
        self.content, self.place = content, place

    def take(self, dtype: str, n: int) -> np.ndarray:
        """The next n values of a type."""
        kind = np.dtype(dtype)
        found = np.frombuffer(self.content, kind, n, self.place)
        self.place += n * kind.itemsize
        return found


def _parsed(file: _Bytes) -> SphinxModel:
    """The model behind a header."""
    (n_orders,) = file.take("u1", 1).tolist()
    if not 1 <= n_orders <= MOST_ORDERS:
        raise ValueError(f"its order is {n_orders}")
    counts = [int(n) for n in file.take("<u4", n_orders)]
    tables = _tables(file, n_orders)
    unigrams = file.take("<f4,<f4,<u4", counts[0] + 1)
    below = unigrams["f2"].astype(np.int64)  # where those below each begin
    orders = [
        Order(
            np.arange(counts[0]),
            np.zeros(counts[0], dtype=np.int64),
            _log10(unigrams["f0"][:-1]),
            _log10(unigrams["f1"][:-1]) if n_orders > 1 else None,
        )
    ]
    for n in range(1, n_orders):
        order, below = _order(file, counts, n, tables[n - 1], below)
        orders.append(order)
    (n_bytes,) = file.take("<u4", 1).tolist()
    words = file.take("u1", n_bytes).tobytes().decode("utf-8").split("\0")[:-1]
    if len(words) != counts[0]:
        raise ValueError(f"it has {len(words)} words, but counts {counts[0]}")
    return SphinxModel(words, orders)


def _tables(file: _Bytes, n_orders: int) -> list[list[np.ndarray]]:
    """Values of probabilities, and of back-offs, of the orders from 2."""
    if n_orders == 1:
        return []
    file.take("<u4", 1)  # what was a kind of rounding once
    kinds = [2] * (n_orders - 2) + [1]
    return [[file.take("<f4", 1 << BITS) for _ in range(k)] for k in kinds]


def _order(
    file: _Bytes,
    counts: list[int],
    n: int,
    tables: list[np.ndarray],
    below: np.ndarray,
) -> tuple[Order, np.ndarray]:
    """The nodes of an order above 1, and where those below each begin.

    Arguments
    ---------
    n : int
        The order less one.
    below : numpy.ndarray
        Of the order below, where its nodes here begin, [N + 1].
    """
    is_last = n == len(counts) - 1
    word_bits = counts[0].bit_length()
    next_bits = 0 if is_last else counts[n + 1].bit_length()
    width = word_bits + len(tables) * BITS + next_bits
    size = ((1 + counts[n]) * width + 7) // 8 + SPARE
    # The count is what there is room for: pocketsphinx may count some twice.
    n_nodes, sizes = int(below[-1]), np.diff(below)
    if (sizes < 0).any() or not 0 < n_nodes <= counts[n]:
        raise ValueError(f"its {n + 1}-grams are more than it counts")
    packed = _Packed(file.take("u1", size), width, n_nodes)
    words = packed.field(0, word_bits)
    if words.max() >= counts[0]:
        raise ValueError(f"its {n + 1}-grams have words that it lacks")
    parents = np.repeat(np.arange(len(sizes)), sizes)
    start = word_bits + (0 if is_last else BITS)  # behind the back-off
    log_probs = _log10(tables[0][packed.field(start, BITS)])
    if is_last:
        return Order(words, parents, log_probs, None), below
    back_offs = _log10(tables[1][packed.field(word_bits, BITS)])
    begin = packed.field(word_bits + 2 * BITS, next_bits, spare=1)
    return Order(words, parents, log_probs, back_offs), begin


class _Packed:
    """Nodes of some bits each, whole numbers in fields of them."""

    def __init__(self, content: np.ndarray, width: int, n: int) -> None:
        self.content, self.width, self.n = content, width, n

    def field(self, start: int, bits: int, spare: int = 0) -> np.ndarray:
        """A field of at most 25 bits of all nodes, and of `spare` more."""
        places = np.arange(self.n + spare) * self.width + start
        first, found = places >> 3, 0
        for i in range(4):
            found |= self.content[first + i].astype(np.int64) << (8 * i)
        return (found >> (places & 7)) & ((1 << bits) - 1)


def _log10(values: np.ndarray) -> np.ndarray:
    """Logarithms of its base as those of 10."""
    return values.astype(np.float64) * np.log10(BASE)
