"""Makes an ARPA file: of transcripts (interpolated Kneser-Ney), or of sphinx's.

> dld lm --csv results/.../csv/train-clean-5.csv --output lm.arpa
> dld lm --text sentences.txt --order 3 --output lm.arpa
> dld lm --sphinx en-us.lm.bin --most 500000 --output lm.arpa

For the transcripts of a corpus: hundreds of millions of words are kenlm's
lmplz to count.
"""

import argparse
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Optional

from dld_brain.audio.csv_files import read_column
from dld_brain.audio.text import CASES, normalise
from dld_brain.audio.text_files import read_lines
from dld_brain.files.console import STATUSES, Parser, guarded, say
from dld_brain.files.whole import whole_file
from dld_brain.tasks.ngram_pruning import pruned
from dld_brain.tasks.sphinx_lm import read_sphinx

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
#: Orders that kenlm reads, as it is built on PyPI.
ORDERS = range(2, 7)
NGram = tuple[str, ...]


def words_of(sentence: str) -> list[str]:
    """Words of a sentence, its marks taken out, in whichever case they are.

    Text for CMUSphinx or SRILM has <s> and </s> around each sentence. An
    ARPA file names each mark once, and kenlm reads <UNK> as <unk>.

    Example
    -------
    >>> words_of("<s> GO ON <UNK> </s>")
    ['GO', 'ON']
    """
    marks = (BEGIN, END, UNKNOWN)
    return [w for w in sentence.split() if w.lower() not in marks]


class KneserNey:
    """Interpolated Kneser-Ney of one discount an order.

    Chen and Goodman, An Empirical Study of Smoothing Techniques for Language
    Modeling (1998), eq. 20, with D = n1 / (n1 + 2 n2). Below the highest
    order an n-gram counts as often as there are words in front of it. The
    unigrams are interpolated with the uniform distribution over the words,
    the end of a sentence and the unknown word.

    Arguments
    ---------
    sentences : iterable of str
        Words parted by spaces; see `words_of`.
    """

    def __init__(self, sentences: Iterable[str], order: int = 3) -> None:
        self.order = order
        top: Counter[NGram] = Counter()
        starts: Counter[NGram] = Counter()
        for sentence in sentences:
            words = (BEGIN, *words_of(sentence), END)
            for end in range(2, len(words) + 1):
                top[words[max(0, end - order) : end]] += 1
            for n in range(2, min(order, len(words) + 1)):
                starts[words[:n]] += 1
        self.counts = self._by_order(top, starts)
        self.discounts = [_discount(c) for c in self.counts]
        self.totals: list[Counter[NGram]] = []
        self.kinds: list[Counter[NGram]] = []
        for counts in self.counts:
            total: Counter[NGram] = Counter()
            for ngram, count in counts.items():
                total[ngram[:-1]] += count
            self.totals.append(total)
            self.kinds.append(Counter(ngram[:-1] for ngram in counts))
        self.vocabulary = [*sorted(w for (w,) in self.counts[0]), UNKNOWN]

    def _by_order(
        self, top: Counter[NGram], starts: Counter[NGram]
    ) -> list[Counter[NGram]]:
        """Counts of each order: of the highest as they are, below of kinds."""
        found = [Counter() for _ in range(self.order)]
        found[-1].update({g: c for g, c in top.items() if len(g) == self.order})
        for n in range(self.order - 1, 0, -1):
            # nothing is in front of a sentence: its n-grams count themselves
            if n > 1:
                found[n - 1].update(
                    {g: c for g, c in starts.items() if len(g) == n}
                )
            for ngram in found[n]:
                found[n - 1][ngram[1:]] += 1
        return found

    def back_off(self, history: NGram) -> float:
        """What is left for words that were not seen behind a history."""
        n = len(history)
        if not self.totals[n][history]:
            return 1.0
        kinds = self.kinds[n][history]
        return self.discounts[n] * kinds / self.totals[n][history]

    def probability(self, ngram: NGram) -> float:
        """p(last word | the words before it)."""
        *_, word = ngram
        history, n = ngram[:-1], len(ngram) - 1
        lower = self.probability(ngram[1:]) if n else 1 / len(self.vocabulary)
        total = self.totals[n][history]
        seen = max(self.counts[n][ngram] - self.discounts[n], 0.0)
        own = seen / total if total else 0.0
        return own + self.back_off(history) * lower

    def lines(self) -> Iterator[str]:
        """The lines of an ARPA file; logarithms to base 10."""
        tables = [[(w,) for w in (BEGIN, *self.vocabulary)]]
        tables += [sorted(counts) for counts in self.counts[1:]]
        yield "\\data\\"
        for n, table in enumerate(tables, 1):
            yield f"ngram {n}={len(table)}"
        for n, table in enumerate(tables, 1):
            yield f"\n\\{n}-grams:"
            for ngram in table:
                p = -99.0  # nothing leads to the beginning of a sentence
                if ngram != (BEGIN,):
                    p = math.log10(self.probability(ngram))
                line = f"{p:.6f}\t{' '.join(ngram)}"
                if n < self.order:
                    line += f"\t{math.log10(self.back_off(ngram)):.6f}"
                yield line
        yield "\n\\end\\"


def _discount(counts: Counter[NGram]) -> float:
    """n1 / (n1 + 2 n2); 0.5 where no n-gram was seen twice, or none once."""
    once, twice = (sum(c == k for c in counts.values()) for k in (1, 2))
    return once / (once + 2 * twice) if once and twice else 0.5


def write_arpa(path: Path, sentences: Iterable[str], order: int = 3) -> int:
    """Writes an ARPA file; answers with how many words it knows."""
    if order not in ORDERS:
        raise ValueError(
            f"`order` must be between {ORDERS[0]} and {ORDERS[-1]}, which "
            f"kenlm reads, but is {order}"
        )
    texts = [text for text in sentences if words_of(text)]
    if not texts:
        raise ValueError(
            "`sentences` must have a word, but have none: is the text empty?"
        )
    model = KneserNey(texts, order)
    with whole_file(path) as unfinished:
        text = "\n".join(model.lines())
        Path(unfinished).write_text(text + "\n", encoding="utf-8")
    return len(model.vocabulary) - 2  # the end, and the unknown word


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line."""
    parser = Parser(prog="dld lm", epilog=STATUSES)
    parser.add_argument(
        "--csv", nargs="+", default=[], help="CSV files, with a column wrd"
    )
    parser.add_argument(
        "--text", nargs="+", default=[], help="files of a sentence a line"
    )
    parser.add_argument(
        "--sphinx",
        type=Path,
        help="a trie binary of CMUSphinx (*.lm.bin), to be written as ARPA",
    )
    parser.add_argument(
        "--most",
        type=int,
        help="of --sphinx, n-grams that are kept of each order above 1 "
        "(default: all)",
    )
    parser.add_argument("--order", type=int, help="of text (default: 3)")
    parser.add_argument(
        "--text_case", choices=[*CASES], help="of text (default: keep)"
    )
    parser.add_argument("--output", required=True, help="the ARPA file")
    told = parser.parse_args(arguments)

    def run() -> int:
        """Reads, counts and writes."""
        if told.sphinx is not None:
            return _convert(told)
        if told.most is not None:
            raise ValueError("`most` needs --sphinx, whose n-grams are counted")
        lines = [t for path in told.csv for t in read_column(Path(path), "wrd")]
        for path in told.text:
            lines += [line for _, line in read_lines(Path(path))]
        case, order = told.text_case or "keep", told.order
        texts = [normalise(line, case) for line in lines]
        order = 3 if order is None else order
        n_words = write_arpa(Path(told.output), texts, order)
        say(f"{told.output}: {len(texts)} sentences, {n_words} words")
        return 0

    return guarded(run, (OSError, ValueError))


def _convert(told: argparse.Namespace) -> int:
    """Writes a model of CMUSphinx; gives the exit status."""
    if told.csv or told.text:
        raise ValueError("give --sphinx, or --csv and --text, not both")
    for name in ("order", "text_case"):
        if getattr(told, name) is not None:
            raise ValueError(
                f"`{name}` is of text that is counted: leave it out with "
                f"--sphinx, whose n-grams are taken as they are (words are "
                f"looked up in the case of the file)"
            )
    if told.most is not None and told.most < 1:
        raise ValueError(f"`most` must be at least 1, but is {told.most}")
    model = read_sphinx(told.sphinx)
    if told.most is not None:
        model = pruned(model, told.most)
    with whole_file(Path(told.output)) as unfinished:
        with open(unfinished, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in model.lines())
    sizes = " + ".join(str(len(order.words)) for order in model.orders)
    say(f"{told.output}: {sizes} n-grams")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
