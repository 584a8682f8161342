"""One text for tokenizer, targets and reference."""

import io
import sys
import unicodedata

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from dld_brain.audio.csv_files import read_rows
from dld_brain.audio.references import check_references, find_unspelled
from dld_brain.audio.text import CASES, normalise
from dld_brain.tasks import ClassificationTask, TranscriptionTask

#: Composed and not, ligatures, fractions, width, spaces, marks, directions.
TEXTS = [
    "Die zwo\u0308lf Boxka\u0308mpfer \u00bd \u2026",
    "ﬁne  office\tＡＢＣ\u00a0x",
    "\ufeffnaïve\u2028caf\u00e9\u200b!",
    "क्षत्रिय ไทย 日本 𝒜 ▁ ⁇",
    "it's \u2019cause $5",
]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Writes transcripts, each of an own utterance, as a CSV file."""

    def write(texts, name="train"):
        path = tmp_path_factory.mktemp("csv") / f"{name}.csv"
        rows = [f'u{i},1.0,a.wav,"{text}"\n' for i, text in enumerate(texts)]
        path.write_text("ID,duration,wav,wrd\n" + "".join(rows), "utf-8")
        return path

    return write


def own(table, texts, case="keep", kind="char", size=99):
    """A task whose vocabulary is trained on these texts."""
    csv = table(texts)
    folder = str(csv.parent / "a folder")
    return TranscriptionTask.make(folder, str(csv), kind, size, case)


def foreign(texts, case="keep"):
    """A task with a vocabulary as SentencePiece makes it by default."""
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(normalise(text, case) for text in texts),
        model_writer=model,
        model_type="char",
        character_coverage=1.0,
        minloglevel=2,
    )
    tokenizer = SentencePieceProcessor(model_proto=model.getvalue())
    return TranscriptionTask(tokenizer, text_case=case)


@pytest.mark.parametrize("case", CASES)
def test_a_form_is_one_form(case):
    for start in range(0, sys.maxunicode + 1, 97):
        stop = min(start + 97, sys.maxunicode + 1)
        text = "".join(map(chr, range(start, stop)))
        text = text.encode("utf-8", "ignore").decode()  # no surrogates
        found = normalise(text, case)
        assert normalise(found, case) == found
        assert unicodedata.is_normalized("NFC", found)
        assert found.split() == [w for w in found.split(" ") if w]
        decomposed = unicodedata.normalize("NFD", text)
        if case == "keep":
            assert normalise(decomposed) == found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("make", [own, foreign], ids=lambda make: make.__name__)
def test_what_writes_its_targets_has_no_error(make, case, table):
    task = make(table, TEXTS, case) if make is own else make(TEXTS, case)
    references = [task.text(text) for text in TEXTS]
    targets = [task.encode(text).tolist() for text in TEXTS]
    answers = [task.vocabulary.decode_ids(ids) for ids in targets]
    assert all(answers)
    assert answers == references
    assert set(task.rates(TEXTS, answers).values()) == {0.0}
    assert not any(map(task.unspelled, " ".join(references).split()))


def test_training_leaves_text_as_it_is(table):
    task = own(table, TEXTS)
    assert task.text("\u00bd ﬁ\u2026 Ａ") == "\u00bd ﬁ\u2026 Ａ"
    assert set(own(table, ["ab"], "upper").symbols[1:]) == {"▁", "A", "B"}
    long = ["ab " * 3000, "c"]  # as SentencePiece leaves out by default
    assert own(table, long).unspelled("abc") == ""


def test_a_vocabulary_that_does_not_come_out_is_said(table):
    with pytest.raises(ValueError, match="no unigram tokenizer of `vocab_size"):
        own(table, ["ab"], kind="unigram")


def test_what_cannot_be_spelled_is_counted_by_letter(table):
    task = own(table, ["ABC DEF"])
    texts = {"u0": "ÄBC DEF ÄÄ", "u1": "ABC 5 5"}
    found = find_unspelled(texts, task)
    assert (found.n_words, found.n_all) == (4, 6)
    assert found.characters == {"Ä": 3, "5": 2}
    assert found.examples == {"Ä": ("ÄBC", "u0"), "5": ("5", "u1")}
    assert task.encode("ÄBC").tolist() == task.encode(" BC").tolist()


@pytest.mark.parametrize("vocabulary", ["own", "foreign"])
def test_many_are_refused_and_few_are_told(vocabulary, table, caplog):
    texts = ["ABC DEF"]
    task = own(table, texts) if vocabulary == "own" else foreign(texts)
    csv = table(["abc def"], "valid")
    rows = read_rows(csv, "", "wrd")
    references = {name: item["wrd"] for name, item in rows.items.items()}
    with pytest.raises(ValueError) as error:
        check_references(references, task, str(csv))
    message = str(error.value)
    for part in (
        f"{csv}: 2 of 2 words (100 %)",
        "'a' (1, as in 'abc' of u0)",
        "Try --text_case=upper",
    ):
        assert part in message
    assert len(message) < 500
    check_references(references, task.with_text_case("upper"), str(csv))
    assert not caplog.text
    check_references({"u0": "ABC 5 DEF"}, task, "told", 0.34)
    assert "told: 1 of 3 words (33.3 %)" in caplog.text
    with pytest.raises(ValueError, match="Train another vocabulary"):
        check_references({"u0": "ABC 5 DEF"}, task, "told", 0.33)


def test_labels_have_the_form_too(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("ID;intent\na;caf\u00e9 on\nb;cafe\u0301  on \n", "utf-8")
    task = ClassificationTask.make(str(tmp_path), str(path), "", 2)
    assert task.symbols == ["caf\u00e9 on"]
    assert int(task.encode("cafe\u0301 on")) == 0
