"""CMUSphinx's trie binaries as ARPA files: what pocketsphinx itself says."""

import itertools
import math
import struct
from pathlib import Path

import numpy as np
import pytest

from dld_brain.tasks.ngram import main
from dld_brain.tasks.ngram_pruning import pruned
from dld_brain.tasks.sphinx_lm import BASE, read_sphinx

WORDS = ["</s>", "<s>", "go", "on", "stop"]
#: Log10, and back-off: n-grams as they are read.
GRAMS = {
    ("</s>",): (-0.9, -0.1),
    ("<s>",): (-9.0, -0.2),
    ("go",): (-0.5, -0.3),
    ("on",): (-0.6, -0.4),
    ("stop",): (-0.8, 0.0),
    ("<s>", "go"): (-0.2, -0.15),
    ("go", "on"): (-0.1, -0.25),
    ("on", "go"): (-0.7, -0.35),
    ("on", "</s>"): (-0.3, 0.0),
    ("<s>", "go", "on"): (-0.05,),
    ("on", "go", "on"): (-0.15,),
    ("go", "on", "</s>"): (-0.25,),
}


def bits_of(n):
    """Bits that numbers up to n need."""
    return n.bit_length()


def written(grams, words, extra=0):
    """A trie binary, after pocketsphinx's lm_trie.c.

    Arguments
    ---------
    extra : int
        How many more bigrams it counts than it has.
    """
    size = max(map(len, grams))
    scale = 1 / math.log10(BASE)
    nodes = {
        n: sorted(
            tuple(words.index(w) for w in reversed(g))
            for g in grams
            if len(g) == n
        )
        for n in range(1, size + 1)
    }
    counts = [len(nodes[n]) for n in range(1, size + 1)]
    if size > 1:
        counts[1] += extra
    content = b"Trie Language Model" + struct.pack(f"<B{size}I", size, *counts)

    def value(node):
        """What is known of a node."""
        return grams[tuple(words[i] for i in reversed(node))]

    places = {n: {node: i for i, node in enumerate(nodes[n])} for n in nodes}
    begins = {
        n: [
            sum(child[:n] < node for child in nodes.get(n + 1, []))
            for node in nodes[n]
        ]
        + [len(nodes.get(n + 1, []))]
        for n in nodes
    }
    tables, body = b"", b""
    if size > 1:
        tables = struct.pack("<I", 1)
    for n in range(2, size + 1):
        for k in range(1 if n == size else 2):
            table = np.zeros(65536, dtype="<f4")
            table[: len(nodes[n])] = [value(x)[k] * scale for x in nodes[n]]
            tables += table.tobytes()
    for i, node in enumerate(nodes[1]):
        p, b = (*value(node), 0.0)[:2]
        body += struct.pack("<ffI", p * scale, b * scale, begins[1][i])
    body += struct.pack("<ffI", 0.0, 0.0, begins[1][-1])
    for n in range(2, size + 1):
        word, is_last = bits_of(len(words)), n == size
        after = 0 if is_last else bits_of(counts[n])
        width = word + (16 if is_last else 32) + after
        number = 0
        for i, node in enumerate(nodes[n]):
            at = i * width
            number |= node[-1] << at
            number |= places[n][node] << (at + word)
            if not is_last:
                number |= places[n][node] << (at + word + 16)
                number |= begins[n][i] << (at + word + 32)
        if not is_last:
            number |= begins[n][-1] << (len(nodes[n]) * width + word + 32)
        n_bytes = ((1 + counts[n - 1]) * width + 7) // 8 + 8
        body += number.to_bytes(n_bytes, "little")
    text = b"".join(w.encode() + b"\0" for w in words)
    return content + tables + body + struct.pack("<I", len(text)) + text


def grams_of(arpa: Path):
    """The n-grams of an ARPA file."""
    found = {}
    for line in arpa.read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if len(cells) > 1:
            numbers = (cells[0], *cells[2:])
            found[tuple(cells[1].split())] = tuple(map(float, numbers))
    return found


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_what_was_written_is_read(order, extra, tmp_path):
    grams = {
        g: v[: 1 if len(g) == order else 2]
        for g, v in GRAMS.items()
        if len(g) <= order
    }
    path, arpa = tmp_path / "a.lm.bin", tmp_path / "a.arpa"
    path.write_bytes(written(grams, WORDS, extra))
    assert main(["--sphinx", str(path), "--output", str(arpa)]) == 0
    found = grams_of(arpa)
    assert found.keys() == grams.keys()
    for gram, values in grams.items():
        assert found[gram] == pytest.approx(values, abs=1e-3)
    head = arpa.read_text().split("\n\n")[0].splitlines()[1:]
    counts = [sum(len(g) == n for g in grams) for n in range(1, order + 1)]
    assert head == [f"ngram {n}={k}" for n, k in enumerate(counts, 1)]


def test_kenlm_reads_it(tmp_path):
    kenlm = pytest.importorskip("kenlm")
    path, arpa = tmp_path / "a.lm.bin", tmp_path / "a.arpa"
    path.write_bytes(written(GRAMS, WORDS))
    assert main(["--sphinx", str(path), "--output", str(arpa)]) == 0
    score = kenlm.Model(str(arpa)).score("go on")
    assert score == pytest.approx(-0.2 - 0.05 - 0.25, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda b: b"\\data\\" + b,
            "does not begin with 'Trie Language Model'",
        ),
        (lambda b: b[:-1], "must be a whole trie binary"),
        (lambda b: b[:400_000], "must be a whole trie binary"),
        (lambda b: b[:19] + b"\x09" + b[20:], "its order is 9"),
        (
            lambda b: b[:24] + b"\1\0\0\0" + b[28:],
            "must be a whole trie binary",
        ),
    ],
)
def test_what_is_none_is_one_line(change, said, tmp_path, capsys):
    path = tmp_path / "a.lm.bin"
    path.write_bytes(change(written(GRAMS, WORDS)))
    words = ["--sphinx", str(path), "--output", str(tmp_path / "a.arpa")]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and str(path) in line


@pytest.mark.parametrize("flag", [("order", "2"), ("text_case", "upper")])
def test_what_is_of_text_alone_is_not_passed_over(flag, tmp_path, capsys):
    path = tmp_path / "a.lm.bin"
    path.write_bytes(written(GRAMS, WORDS))
    words = ["--sphinx", str(path), "--output", str(tmp_path / "a.arpa")]
    name, value = flag
    assert main([*words, f"--{name}", value]) == 2
    assert f"`{name}` is of text" in capsys.readouterr().err
    assert main(words) == 0


def test_a_smaller_model_is_still_one(tmp_path):
    """Probabilities behind every history sum to what they did."""
    rng = np.random.default_rng(0)
    names = ["a", "b", "c", "d", "e", "f"]
    unigrams = rng.dirichlet(np.ones(6))
    grams = {(w,): (math.log10(p), 0.0) for w, p in zip(names, unigrams)}
    for first in names:
        p = 0.8 * rng.dirichlet(np.ones(4))
        for second, share in zip(rng.permutation(names)[:4], p):
            grams[first, str(second)] = (math.log10(share), 0.0)
    for gram in [g for g in grams if len(g) == 2]:
        for third in [g[1] for g in grams if len(g) == 2 and g[0] == gram[1]][
            :2
        ]:
            grams[(*gram, third)] = (math.log10(0.4 * rng.uniform(0.5, 1)),)
    path = tmp_path / "a.lm.bin"
    path.write_bytes(written(grams, names))
    model = pruned(read_sphinx(path), 15)
    assert [len(o.words) for o in model.orders] == [6, 15, 15]
    found = {}
    for n, order in enumerate(model.orders, 1):
        for i, row in enumerate(model.rows(n).tolist()):
            back_off = 0.0 if n == 3 else order.back_offs[i]
            found[tuple(names[w] for w in row)] = (order.log_probs[i], back_off)

    def probability(gram):
        """By ARPA's rule."""
        if gram in found:
            return 10 ** found[gram][0]
        left = found.get(gram[:-1], (0.0, 0.0))[1]
        return 10**left * probability(gram[1:])

    assert {g for g in found if len(g) > 1} < {*grams}
    for n in (1, 2):
        for history in itertools.product(names, repeat=n):
            total = sum(probability((*history, w)) for w in names)
            assert total == pytest.approx(1.0, abs=1e-3)


def test_a_real_one_says_what_pocketsphinx_says():
    sphinx = pytest.importorskip("pocketsphinx")  # pip install pocketsphinx
    path = Path(sphinx.get_model_path(), "en-us", "en-us.lm.bin")
    theirs = sphinx.NGramModel(
        sphinx.Config(lm=None), sphinx.LogMath(), str(path)
    )
    model = read_sphinx(path)
    rng = np.random.default_rng(0)
    for n in (1, 2, 3):
        order, rows = model.orders[n - 1], model.rows(n)
        for i in rng.integers(len(rows), size=200):
            words = [model.vocabulary[w] for w in rows[i]]
            said = theirs.prob(words[::-1]) * math.log10(BASE)
            assert order.log_probs[i] == pytest.approx(said, abs=1e-3), words
