"""An n-gram language model in CTC's beam search."""

import bz2
import gzip
import itertools
import json
import lzma
import math

import pytest
import torch
from conftest import small

from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.run.main import (
    prepare,
    train as main,
)
from dld_brain.tasks import TranscriptionTask
from dld_brain.tasks.language_model import LanguageModel
from dld_brain.tasks.ngram import (
    KneserNey,
    main as make_lm,
    write_arpa,
)
from dld_brain.tasks.tokenizer import train_tokenizer
from pretrained_interfaces.__main__ import main as transcribe

kenlm = pytest.importorskip("kenlm")
SENTENCES = ["YES STOP", "STOP ONE", "ENTER SIX", "ENTER SIX", "NO", "NINE ONE"]


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    path = tmp_path_factory.mktemp("task") / "tokenizer.model"
    train_tokenizer(path, SENTENCES, "char")
    return TranscriptionTask.load(path)


@pytest.fixture
def arpa(tmp_path):
    write_arpa(tmp_path / "lm.arpa", SENTENCES)
    return tmp_path / "lm.arpa"


def outputs(task, texts, sure=0.6):
    """Posteriors that are sure of some texts, spread over the rest."""
    ids = [
        [i for t in task.encode(text) for i in (int(t), 0)] for text in texts
    ]
    size, frames = len(task.symbols), max(map(len, ids))
    p = torch.full((len(ids), frames, size), (1 - sure) / (size - 1))
    for row, sequence in zip(p, ids):
        for frame, token in enumerate(sequence):
            row[frame, token] = sure
    return EncoderOutput(p.log(), torch.tensor([len(s) for s in ids]))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_probabilities_sum_to_one_and_kenlm_reads_the_same(tmp_path, order):
    """Behind every history, of words that were seen there and others."""
    model = KneserNey(SENTENCES, order)
    write_arpa(tmp_path / "lm.arpa", SENTENCES, order)
    read = kenlm.Model(str(tmp_path / "lm.arpa"))
    assert read.order == order
    words = model.vocabulary
    for n in range(order):
        histories = itertools.product(["<s>", *words[:4]], repeat=n)
        for history in itertools.islice(histories, 40):
            if "<s>" not in history[1:]:
                found = [model.probability((*history, w)) for w in words]
                assert sum(found) == pytest.approx(1.0)
    for sentence in [*SENTENCES, "ONE ONE YES NO", "STOP UNHEARD SIX"]:
        known = [w if w in words else "<unk>" for w in sentence.split()]
        said = ["<s>", *known, "</s>"]
        ours = 0.0
        for end in range(2, len(said) + 1):
            window = tuple(said[max(0, end - order) : end])
            ours += math.log10(model.probability(window))
        assert read.score(sentence) == pytest.approx(ours, abs=1e-3)


@pytest.mark.parametrize("case", ["lower", "upper"])
def test_marks_of_sentences_are_no_words(case, tmp_path):
    """Text for CMUSphinx has them; kenlm would take the second of each."""
    begin, end, unknown = (getattr(m, case)() for m in ("<s>", "</s>", "<unk>"))
    marked = [f"{begin} {text} {unknown} {end}" for text in SENTENCES]
    for name, texts in (("marked", marked), ("plain", SENTENCES)):
        write_arpa(tmp_path / name, texts)
    found, plain = (
        (tmp_path / name).read_text() for name in ("marked", "plain")
    )
    assert found == plain
    with pytest.raises(ValueError, match="must have a word, but have none"):
        write_arpa(tmp_path / "none", [f"{begin} {end}", " "])


@pytest.mark.parametrize("order", [1, 7])
def test_an_order_that_kenlm_does_not_read_is_not_written(order, tmp_path):
    with pytest.raises(ValueError, match=f"between 2 and 6, .* but is {order}"):
        write_arpa(tmp_path / "lm.arpa", SENTENCES, order)
    assert not list(tmp_path.iterdir())
    write_arpa(tmp_path / "lm.arpa", SENTENCES, 6)
    assert kenlm.Model(str(tmp_path / "lm.arpa")).order == 6


def test_what_is_written_is_likelier_than_what_is_not():
    model = KneserNey(SENTENCES)
    written, not_written = (
        model.probability(("<s>", "ENTER", word)) for word in ("SIX", "ONE")
    )
    assert written > 5 * not_written


def test_a_language_model_decides_what_the_encoder_leaves_open(arpa, task):
    """SIX and SIS are as likely; without it, the first letter of the two."""
    out = outputs(task, ["ENTER SIX"], 0.9)
    position = [t for t, i in enumerate(out.log_probs[0].argmax(-1)) if i][-1]
    wrong, right = (int(task.encode(w)[-1]) for w in ("SIS", "SIX"))
    out.log_probs[0, position, [wrong, right]] = math.log(0.45)
    out.log_probs[0, position, wrong] += 0.05
    assert task.decode(out) == ["ENTER SIS"]
    beam = task.with_decoding("beam", {"kenlm_model_path": str(arpa)})
    assert beam.decode(out) == ["ENTER SIX"]


def test_without_weight_the_best_text_is_no_worse_than_the_best_path(
    arpa, task
):
    torch.manual_seed(0)
    logits = 3 * torch.randn(4, 24, len(task.symbols))
    logits[:, ::2, 0] += 6.0  # room for what the text alone has not
    out = EncoderOutput(logits.log_softmax(-1), torch.tensor([24, 18, 22, 14]))
    options = {"alpha": 0.0, "beta": 0.0, "unk_score_offset": 0.0}
    options |= {"beam_size": 200, "token_prune_min_logp": -30.0}
    options |= {"beam_prune_logp": -30.0, "kenlm_model_path": str(arpa)}
    searched = task.with_decoding("beam", options).decode(out)
    plain = {k: v for k, v in options.items() if k != "kenlm_model_path"}
    assert task.with_decoding("beam", plain).decode(out) == searched

    def cost(i, text):
        ids = task.encode(text).unsqueeze(0)
        alone = EncoderOutput(out.log_probs[i : i + 1], out.lengths[i : i + 1])
        return float(task.loss(alone, ids, torch.tensor([ids.shape[1]])))

    for i, (found, greedy) in enumerate(zip(searched, task.decode(out))):
        assert cost(i, found) <= cost(i, greedy) + 1e-4


def test_the_last_frame_counts_at_every_length(task):
    """29 / 30 * 30 is less than 29."""
    beam = task.with_decoding("beam")
    for frames, total in itertools.product((7, 29, 47), (30, 50, 61)):
        logits = torch.full((1, total, len(task.symbols)), -20.0)
        logits[:, :, 0] = 0.0
        if frames <= total:
            logits[0, frames - 1, 0], token = -20.0, task.encode("N")[-1]
            logits[0, frames - 1, token] = 0.0
            out = EncoderOutput(logits, torch.tensor([frames]))
            assert beam.decode(out) == task.decode(out) != [""]


@pytest.mark.parametrize("case", ["upper", "lower"])
def test_a_file_in_the_other_case_is_looked_up_in_it_and_it_is_said(
    case, tmp_path, task, caplog
):
    write_arpa(tmp_path / "lm.arpa", [getattr(s, case)() for s in SENTENCES])
    options = {"kenlm_model_path": str(tmp_path / "lm.arpa"), "alpha": 2.0}
    answer = task.with_decoding("beam", options)
    assert answer.decode(outputs(task, ["STOP ONE"])) == ["STOP ONE"]
    said = "is in lower case, the model's text in upper"
    assert (said in caplog.text) == (case == "lower")


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "is no file"),
        ("hello\n", r"with a section \\1-grams:, but .* is none"),
        ("mmap lm http://kheafield.com/code format", "is a binary of kenlm"),
        *(
            pytest.param(
                pack(b"\\data\\"),
                r"is compressed: unpack it first \(gunzip",
                id=pack.__module__,
            )
            for pack in (gzip.compress, bz2.compress, lzma.compress)
        ),
        (["▁EN TER ▁SIX", "▁ONE"], "units of .* are pieces of words, as ▁"),
        ([*("ABCDEFGHIJKLMN")], "units of .* are single letters"),
        (["ДА НЕТ"], "it cannot spell 2 of 2 of .*, as ДА"),
    ],
)
def test_other_files_are_refused(text, message, tmp_path, task):
    path = tmp_path / "lm.arpa"
    if isinstance(text, str):
        path.write_text(text)
    elif isinstance(text, bytes):
        path.write_bytes(text)
    elif text:
        write_arpa(path, text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        options = {"kenlm_model_path": str(path)}
        task.with_decoding("beam", options)


def test_a_cut_file_is_refused(arpa, task):
    arpa.write_text(arpa.read_text().split("\\3-grams:")[0])
    with pytest.raises(ValueError, match="must be a whole ARPA file"):
        options = {"kenlm_model_path": str(arpa)}
        task.with_decoding("beam", options)


@pytest.mark.parametrize(
    "recipe, text, message",
    [
        ("conformer_dld", "hello\n", "ARPA file, .* is none: dld lm makes one"),
        ("conformer_dld", None, "lm.arpa is no file"),
        (
            "whisper_any_depth",
            "hello\n",
            "a head for CTC, .* is seq2seq: leave",
        ),
        (
            "conformer_slu_dld",
            "hello\n",
            "for CTC, .* is classification: leave",
        ),
    ],
)
def test_it_is_read_before_any_model(recipe, text, message, tmp_path):
    lm, out = tmp_path / "lm.arpa", tmp_path / "1"
    if text is not None:
        lm.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        options = [f"--lm={lm}", f"--output_folder={out}", "--corpus=AN4"]
        options += ["--data_folder=tests/samples/AN4"]
        prepare([f"hparams/{recipe}.yaml", *options])
    assert not out.exists()


def test_nothing_is_said_while_it_is_read(arpa, task, capfd):
    task.with_decoding("beam", {"kenlm_model_path": str(arpa)})
    out = capfd.readouterr()
    assert out.out == out.err == ""


@pytest.mark.slow
def test_every_depth_is_scored_with_it_and_the_shell_takes_it(tmp_path, capsys):
    text, lm = tmp_path / "text.txt", tmp_path / "lm #1.arpa"
    text.write_text("\n".join(SENTENCES))
    assert make_lm(["--text", str(text), "--output", str(lm)]) == 0
    assert len(LanguageModel.read(lm).words) == 7
    options = small(
        output_folder=tmp_path / "1",
        number_of_epochs=1,
        lm=lm,
        lm_beta=1.0,
        decoding="{search: beam, beam_size: 5}",
    )
    main(["hparams/conformer_teacher.yaml", *options])
    report = json.loads((tmp_path / "1/depth_report.json").read_text())
    assert report["lm"]["file"] == "lm #1.arpa" and "alpha" in report["lm"]
    for row in report["sets"]["test"]:
        assert (set(row["lm_rates"]) == {"WER", "CER"}) == bool(row["layers"])
    table = (tmp_path / "1/depth_report.md").read_text()
    assert "With the language model lm #1.arpa in a beam search" in table
    source, wav = tmp_path / "1/pretrained", "tests/samples/AN4/wav"
    wav += "/an4test_clstk/fddd/an5-fddd-b.flac"
    given = ["transcribe", "--source", str(source), "--n_layers", "2", wav]
    assert transcribe([*given, "--lm", str(lm), "--lm_alpha", "1"]) == 0
    assert transcribe([*given, "--lm", str(text)]) == 2
    assert "`lm` must be an ARPA file" in capsys.readouterr().err
    assert transcribe([*given, "--lm_beta", "1"]) == 2
