"""How deep: a number, a budget, a doubt, a router; and what is none."""

import numpy as np
import pytest
import torch
from common import by_hand, tiny_modules, with_own_heads

from dld_brain.audio.features import extract
from dld_brain.encoder.deepen import deepen
from dld_brain.evaluation.escalation import climb
from dld_brain.gates.gates import Gates
from pretrained_interfaces import Budget, Escalate, Routed
from pretrained_interfaces.depths.choose import choose_depth
from pretrained_interfaces.depths.depth import Fixed

SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"


@pytest.mark.parametrize(
    "budget, depth",
    [
        (Budget(max_latency=0.15), 1),
        (Budget(max_latency=0.45), 2),
        (Budget(max_latency=9.0), 3),
        (Budget(max_rtf=0.25), 2),  # 0.5 s for 2 s
        (Budget(max_rtf=0.25, max_latency=0.2), 1),  # the tighter one
        (Budget(max_rtf=0.001, best_effort=True), 1),
    ],
)
def test_the_deepest_depth_that_fits(calibrated, budget, depth):
    assert calibrated.depth_for(2.0, budget) == depth


def test_a_budget_below_the_fastest_names_it(calibrated):
    with pytest.raises(ValueError, match=r"n_layers=1, takes 0.15 s \(real"):
        calibrated.depth_for(2.0, Budget(max_latency=0.01))


def test_a_budget_decides_the_depth_of_a_file(calibrated):
    fast = calibrated.transcribe(SPEECH, max_latency=0.12)
    slow = calibrated.transcribe(SPEECH, max_rtf=99.0)
    assert (fast.n_layers, slow.n_layers) == (1, 3)
    assert fast.text == calibrated.transcribe_file(SPEECH, n_layers=1)
    assert slow.layers == (0, 1, 2) and slow.rtf > 0
    assert 0 < slow.confidence <= 1 and slow.entropy > 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_layers": 2, "max_rtf": 1.0}, "`n_layers` or a budget .*not both"),
        ({"depth": 2, "max_latency": 1.0}, "`depth` or a budget .*not both"),
        ({"depth": 2, "n_layers": 2}, "`depth` or `n_layers`, not both"),
        (
            {"depth": Budget(max_rtf=1.0), "n_layers": 2},
            "`depth` or `n_layers`, not both",
        ),
        (
            {"depth": Escalate(1.0), "max_rtf": 1.0},
            "`depth` or a budget .`max_rtf`., not both",
        ),
        ({"max_latency": 0.0}, "`max_latency` must be more than 0, but is 0"),
        ({"best_effort": True}, "`best_effort` needs a budget"),
        ({"depth": 9}, "`n_layers` must be between 1 and 3, but is 9"),
        ({"depth": True}, "`n_layers` must be a whole number"),
        ({"depth": "2"}, "`n_layers` must be a whole number"),
        ({"depth": Escalate(1.0, ladder=[2, 1])}, "depths that rise"),
        ({"depth": Escalate(1.0, ladder=[])}, "depths that rise"),
        ({"depth": Escalate(1.0, ladder=[1, 9])}, "between 1 and 3, but is 9"),
        ({"depth": Escalate(1.0, start=9)}, "between 1 and 3, but is 9"),
        ({"depth": Escalate(1.0, start=0)}, "between 1 and 3, but is 0"),
        ({"depth": Routed()}, "Routed.. needs a model whose router looks"),
    ],
)
def test_what_contradicts_itself_is_refused(calibrated, options, message):
    with pytest.raises(ValueError, match=message):
        calibrated.transcribe("not even read", **options)


def test_values_that_are_none_are_refused_where_they_are_made():
    with pytest.raises(ValueError, match="must have `max_rtf` or `max_late"):
        Budget(best_effort=True)
    for value in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`max_rtf` must be more than 0"):
            Budget(max_rtf=value)
    with pytest.raises(ValueError, match="give `ladder` or `start`"):
        Escalate(1.0, start=1, ladder=[1, 2])
    for value in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="`threshold` must be at least 0"):
            Routed(value)


def test_the_short_ways_stand_for_the_long_ones():
    assert choose_depth() == Fixed() == choose_depth(None)
    assert choose_depth(3) == choose_depth(n_layers=3) == Fixed(3)
    budget = Budget(max_rtf=0.5, max_latency=2.0, best_effort=True)
    assert budget == choose_depth(
        max_rtf=0.5, max_latency=2.0, best_effort=True
    )
    for depth in (budget, Escalate(0.1), Routed(0.3)):
        assert choose_depth(depth) is depth


def test_a_number_is_a_depth_wherever_it_stands(asr):
    texts = [
        asr.transcribe(SPEECH, 2).text,
        asr.transcribe(SPEECH, n_layers=2).text,
        asr.transcribe_file(SPEECH, 2),
        asr(SPEECH, depth=2).text,
    ]
    assert len(set(texts)) == 1
    found = asr.transcribe(SPEECH, 2)
    assert (found.n_layers, found.layers) == (2, asr.layers(2))
    assert asr.transcribe(SPEECH).n_layers == 3


@pytest.mark.parametrize("kind", ["identity", "norm", "own heads"])
@torch.no_grad()
def test_going_deeper_gives_what_each_depth_gives_alone(kind):
    if kind == "own heads":
        modules = with_own_heads(tiny_modules(per_depth="head"))
    else:
        modules = tiny_modules(closed=kind)
    sig = 0.1 * torch.randn(2, 8000), torch.tensor([1.0, 0.7])
    model = modules["model"]
    x, lengths = model.stem(*extract(modules, *sig))
    sets = [(0, 3), (0, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3)]
    many = [Gates(layers, 4) for layers in sets]
    steps = list(deepen(model, x, lengths, many))
    for gates, step in zip(many, steps, strict=True):
        alone = by_hand(modules, sig, gates)
        assert step.gates == gates
        torch.testing.assert_close(step.out.log_probs, alone.log_probs)
    # Layer 0 is taken over, then nothing behind the first that differs.
    assert [step.n_computed for step in steps] == [2, 2, 3, 0]


def test_confidence_decides_whether_to_go_deeper(asr):
    for row, offset in zip(asr.table.rows, (-5.0, 5.0, 5.0), strict=True):
        row.confidence_slope, row.confidence_offset = 0.0, offset
    found = asr.transcribe(SPEECH, Escalate(min_confidence=0.9, start=1))
    assert found.n_layers > 1
    assert found.confidence == pytest.approx(1 / (1 + np.exp(-5.0)))
    found = asr.transcribe(SPEECH, Escalate(min_confidence=0.001, start=1))
    assert found.n_layers == 1
    asr.table.rows[0].confidence_slope = None
    with pytest.raises(ValueError, match="depth 1 has none: evaluate the mod"):
        asr.transcribe("not even read", Escalate(min_confidence=0.9, start=1))
    for both in ({}, {"max_entropy": 1.0, "min_confidence": 0.5}):
        with pytest.raises(ValueError, match="either `max_entropy` or `min_"):
            Escalate(**both)


def test_going_deeper_computes_no_more_than_it_says():
    model = tiny_modules()["model"]
    calls = []
    for layer in model.layers.layers:
        layer.register_forward_hook(lambda *_: calls.append(1))
    x, lengths = torch.randn(1, 30, 16), torch.tensor([30])
    steps = deepen(model, x, lengths, [Gates((0, 1), 4), Gates.full(4)])
    next(steps)
    assert len(calls) == 2
    next(steps)
    assert len(calls) == 4


def test_it_goes_deeper_only_where_unsure(asr):
    sure = asr.transcribe(SPEECH, Escalate(99.0, start=1))
    unsure = asr.transcribe(SPEECH, Escalate(0.0, start=1))
    assert (sure.n_layers, sure.layers_computed) == (1, 1)
    assert unsure.n_layers == 3 and unsure.layers_computed > 3
    assert unsure.text == asr.transcribe_file(SPEECH)
    two = asr.transcribe(SPEECH, Escalate(0.0, ladder=[1, 2]))
    assert two.n_layers == 2 and two.text == asr.transcribe_file(SPEECH, 2)
    # A third of the layers, if nothing is said.
    assert asr.transcribe(SPEECH, Escalate(99.0)).n_layers == 1
    assert climb([0.5, 0.2, 0.1], 0.3) == 1
