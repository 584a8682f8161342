"""Evaluation over depth: against the interface, by hand, as documented."""

import json
import statistics

import numpy as np
import pytest
from common import (
    batch_of,
    by_hand,
    noise,
    tiny_modules,
    transcription,
    with_own_heads,
)

from dld_brain.evaluation.escalation import escalation_curve
from dld_brain.evaluation.evaluate import DepthEvaluation, default_depths
from dld_brain.evaluation.report import Report
from dld_brain.evaluation.scores import Answers
from dld_brain.gates.gates import Gates
from dld_brain.tasks.confidence import mean_entropy

ALL, ENDS, TWO = Gates.full(4), Gates((0, 3), 4), Gates((0, 1), 4)


class CharDecoder:
    """A decoder that writes the likeliest token of each frame as a word."""

    def __call__(self, out):
        ids = [
            row[:n].tolist()
            for row, n in zip(out.log_probs.argmax(-1), out.lengths)
        ]
        return [" ".join(map(str, row)) for row in ids], ids


TASK = transcription(CharDecoder())


@pytest.fixture(params=["none", "head"])
def evaluation(request):
    modules = tiny_modules(per_depth=request.param)
    if request.param != "none":
        with_own_heads(modules)
    return DepthEvaluation(
        modules,
        TASK,
        16000,
        {"even": {2: ENDS, 4: ALL}, "prefix": {2: TWO, 4: ALL}},
        random_draws=2,
    )


def test_each_depth_gives_what_the_model_gives(evaluation):
    batch = batch_of(noise(3))
    result = evaluation.answer([batch], "noise")
    for gates in (ENDS, TWO, ALL):
        out = by_hand(evaluation.modules, batch.sig, gates)
        assert result.answers[gates] == CharDecoder()(out)[0]
        expected = mean_entropy(out).tolist()
        assert result.entropies[gates] == pytest.approx(expected, rel=1e-4)
    assert len(result.answers) == 3  # full depth is run once
    assert result.ids == ["utt0", "utt1", "utt2"]
    seconds = sum(len(u["sig"]) for u in noise(3)) / 16000
    assert result.audio_seconds == pytest.approx(seconds, rel=1e-4)


def test_random_layers_are_run_as_any_others(evaluation):
    utterances = noise(3)
    found = evaluation.answer([batch_of(utterances)], "noise").random_answers
    for draw in range(2):
        for i, utterance in enumerate(utterances):
            rng = np.random.default_rng([0, 2, draw, i])
            gates = Gates.of(rng.choice(4, 2, replace=False).tolist(), 4)
            sig = batch_of([utterance]).sig
            (expected,) = CharDecoder()(
                by_hand(evaluation.modules, sig, gates)
            )[0]
            assert found[2, draw][i] == expected


def test_random_layers_do_not_depend_on_the_batch(evaluation):
    together = evaluation.answer([batch_of(noise(3))], "noise")
    alone = evaluation.answer([batch_of([u]) for u in noise(3)], "noise")
    for draw in range(2):
        found = together.random_answers[2, draw]
        assert found == alone.random_answers[2, draw]
    assert found != together.random_answers[2, 0]
    assert (4, 0) not in together.random_answers  # nothing to draw


def test_scores_by_hand(evaluation):
    result = Answers(
        ids=["a", "b"],
        references=["ONE TWO THREE", "FOUR"],
        answers={
            ENDS: ["ONE TOO", "FOUR FOUR"],
            TWO: ["", "FOUR"],
            ALL: ["ONE TWO THREE", "FOUR"],
        },
        random_answers={
            (2, 0): ["ONE TWO THREE", ""],
            (2, 1): ["", ""],
        },
        seconds={
            ("stem", None): 1.0,
            ("layers", ENDS): 0.25,
            ("head", ENDS): 0.25,
            ("layers", TWO): 0.25,
            ("head", TWO): 0.25,
            ("layers", ALL): 1.5,
            ("head", ALL): 0.5,
        },
        audio_seconds=10.0,
    )
    two, four, prefix, _, random = evaluation.scores(result)
    # Substitution, deletion, insertion over four words.
    assert two.rate == 75.0 and four.rate == 0.0
    assert (prefix.selection, prefix.layers) == ("prefix", [0, 1])
    assert prefix.rate == 75.0
    assert (two.rtf, four.rtf) == pytest.approx((0.15, 0.3))
    assert four.rtf_parts == {"stem": 0.1, "layers": 0.15, "head": 0.05}
    assert two.layers == [0, 3] and random.layers is None
    assert random.rate == statistics.mean([25.0, 100.0])
    assert random.std == statistics.pstdev([25.0, 100.0])
    assert two.params < four.params
    assert two.macs_per_second < four.macs_per_second


def test_the_report_has_the_documented_form(evaluation, tmp_path):
    result = evaluation.answer([batch_of(noise(2))], "noise")
    scores = evaluation.scores(result)
    curve = escalation_curve(result, [ENDS, ALL], TASK, n_points=3)
    found = Report(
        experiment="trial",
        seed=7,
        recipe="conformer_dld",
        command="python train.py hparams/conformer_dld.yaml",
        commit="0" * 12,
        machine={"processor": "?", "cores": 2, "device": "cpu"},
        date="2026-01-31",
        corpus="AN4",
        train_splits=["train"],
        train_hours=0.6,
        gates="bernoulli",
        starts_from_model=True,
        metric="WER",
        higher_is_better=False,
        sets={"noise": scores},
        epochs={3: {"noise": scores}},
        layer_importance=[9.0] * 5,
        gates_seen={1: 3, 4: 2},
        escalation={"noise": curve},
        judged_by_teacher=["dev", "noise"],
    )
    markdown = found.write(str(tmp_path))
    report = json.loads((tmp_path / "depth_report.json").read_text())
    assert (report["experiment"], report["seed"]) == ("trial", 7)
    even = [r for r in report["sets"]["noise"] if r["selection"] == "even"]
    assert [row["n_layers"] for row in even] == [2, 4]
    for row in even:
        assert set(row) == {
            "n_layers",
            "layers",
            "selection",
            "params",
            "macs_per_second",
            "macs_parts",
            "rates",
            "rtf",
            "rtf_parts",
        }
        assert sum(row["rtf_parts"].values()) == pytest.approx(row["rtf"])
        assert len(row["layers"]) == row["n_layers"]
    assert report["gates_seen"] == {"1": 3, "4": 2}
    assert len(report["escalation"]["noise"]) == 3
    pictures = ("wer_vs_depth", "wer_vs_rtf", "layer_importance", "gates_seen")
    for name in (*pictures, "escalation"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    for row in scores:
        assert f"| {row.n_layers} |" in markdown
    said = "WER against the teacher's transcripts: nobody transcribed"
    assert said in markdown and said in found.summary()
    found.judged_by_teacher = ["dev"]
    assert said not in found.markdown() + found.summary()


def test_a_curve_goes_from_all_deep_to_all_shallow():
    shallow, deep = ENDS, ALL
    result = Answers(
        ids=["a", "b"],
        references=["ONE", "TWO"],
        answers={shallow: ["ONE", "TOO"], deep: ["ONE", "TWO"]},
        entropies={shallow: [0.1, 0.9], deep: [0.1, 0.1]},
    )
    points = escalation_curve(result, [shallow, deep], TASK, n_points=3)
    found = [(p.mean_depth, p.mean_computed, p.rate) for p in points]
    # Going from (0, 3) to all keeps layer 0: three more are computed.
    assert found == [(4, 5, 0.0), (3, 3.5, 0.0), (2, 2, 50.0)]


def test_a_depth_that_the_model_has_not_is_refused():
    with pytest.raises(ValueError, match="between 0 and 3"):
        Gates((4,), 4)
    with pytest.raises(ValueError, match="each of the 4 layers, but has 5"):
        DepthEvaluation(
            tiny_modules(), TASK, 16000, {"mine": {1: Gates((4,), 5)}}
        )


def test_depths_are_the_papers():
    assert default_depths(12) == [2, 4, 6, 8, 10, 12]
