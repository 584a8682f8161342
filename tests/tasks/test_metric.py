"""What models, layers and depths are compared by, and where."""

import json

import pytest
from common import transcription
from conftest import run_train, small
from sentencepiece import SentencePieceProcessor

from dld_brain.tasks import TranscriptionTask
from dld_brain.tasks.metric import with_default_metric

REFERENCES = ["今天天气很好我们去公园", "你好世界"]
#: Of 15 characters: two are wrong, none is there.
NEAR, FAR = ["今天天气很好我们去公圆", "你好世"], ["", ""]


class WithLetters(TranscriptionTask):
    """A task whose vocabulary has some letters."""

    letters = "abc"

    @property
    def symbols(self):
        return list(self.letters)


def task_of(letters, language=None):
    task = WithLetters(SentencePieceProcessor())
    task.letters = letters
    return with_default_metric(task, language)


@pytest.mark.parametrize(
    "letters, language, metric",
    [
        ("ABC", "en", "WER"),
        ("ABC", None, "WER"),
        ("ABC", "zh-CN", "CER"),
        ("你好世界A", None, "CER"),
        ("กขค", None, "CER"),
        ("한국어", None, "WER"),  # which has spaces
        ("你好世界", "vi", "WER"),  # as somebody said
    ],
)
def test_languages_without_spaces_are_compared_by_characters(
    letters, language, metric
):
    task, reason = task_of(letters, language)
    assert task.metric == metric and bool(reason) == (metric == "CER")


def test_what_is_nearer_is_better_without_spaces():
    task, _ = task_of("你好世界", "zh")
    near, far = (task.rates(REFERENCES, a) for a in (NEAR, FAR))
    assert near["WER"] == far["WER"] == 100.0
    assert near[task.metric] == pytest.approx(100 * 2 / 15)
    assert list(near) == ["CER", "WER"]  # the own first: `DepthScore.rate`
    beam = task.with_decoding("greedy")
    assert beam.metric == "CER"


def test_a_metric_that_a_task_has_not_is_refused():
    with pytest.raises(ValueError, match="must be one of WER, CER, but is 'ac"):
        transcription().with_metric("accuracy")


@pytest.mark.slow
def test_the_whole_of_a_run_goes_by_the_metric(tmp_path):
    found = run_train(
        "hparams/conformer_teacher.yaml",
        *small(
            output_folder=f"{tmp_path}/1",
            number_of_epochs=1,
            language="zh",
            selection="exhaustive",
        ),
    )
    assert "compared by CER, because `language` zh" in found.stdout
    report = json.loads((tmp_path / "1/depth_report.json").read_text())
    assert report["metric"] == "CER" and not report["higher_is_better"]
    for row in report["sets"]["test"]:
        assert list(row["rates"]) == ["CER", "WER"]
    names = {path.name for path in (tmp_path / "1").iterdir()}
    assert {"cer_vs_depth.png", "cer_test_n3.txt"} <= names
    text = (tmp_path / "1/depth_report.md").read_text()
    assert "CER in % on development speech" in text
    assert "| CER % | WER % |" in text
    log = (tmp_path / "1/train_log.txt").read_text()
    assert "valid CER" in log or "CER: " in log and "WER: " in log
