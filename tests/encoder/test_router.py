"""Routers: what they learn, and that what they decide is what runs."""

import json

import pytest
import torch
from common import batch_of, noise, start, tiny_brain, tiny_modules
from conftest import small

import speechbrain as sb
from dld_brain.depth_table import DepthTable
from dld_brain.encoder.routers.of_input import InputRouter
from dld_brain.encoder.routers.of_layers import (
    LayerMask,
    RelaxedTopK,
    relaxed_top_k,
)
from dld_brain.evaluation.routing import THRESHOLDS
from dld_brain.gates.gates import Gates, Routed
from dld_brain.gates.layer_sets import evenly_spread
from dld_brain.gates.sampler import GatedRun, RoutedGates, with_intermediate
from dld_brain.model_folder import load_pretrained
from dld_brain.run.main import train as main
from pretrained_interfaces import (
    DynamicEncoderASR,
    Routed as ByRouter,
)
from pretrained_interfaces.__main__ import main as shell

SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
KINDS = ["top_k", "mask", "global", "local"]
RNG = torch.Generator().manual_seed(0)
#: Utterances whose means over time differ, the same in every run.
INPUT = (
    torch.randn(3, 30, 16, generator=RNG)
    + 3 * torch.randn(3, 1, 16, generator=RNG),
    torch.tensor([30, 20, 25]),
)


def model_with(router, **overrides):
    """A tiny model in eval mode."""
    return tiny_modules(router=router, **overrides)["model"]


def decided(model, threshold):
    """Gates of each utterance, and what it gives with them."""
    with torch.no_grad():
        found = model.run_routed(*INPUT, Routed(threshold=threshold))
    return found.routing.gate.bool().T.tolist(), found


@pytest.mark.parametrize("closed", ["identity", "norm", "affine"])
@pytest.mark.parametrize("kind", ["global", "local"])
@torch.no_grad()
def test_an_utterance_runs_the_layers_that_are_decided(kind, closed):
    model = model_with(kind, closed=closed)
    for net in model.router.nets:  # utterances that differ
        torch.nn.init.normal_(net[-1].weight, std=1.0)
        torch.nn.init.zeros_(net[-1].bias)
    gates, out = decided(model, 0.5)
    assert len({tuple(g) for g in gates}) > 1
    x, lengths = INPUT
    for i, (own, length) in enumerate(zip(gates, lengths)):
        alone = x[i : i + 1, :length], lengths[i : i + 1]
        layers = Gates.of((i for i, is_open in enumerate(own) if is_open), 4)
        y = model.run_layers(*alone, layers)
        expected = model.run_head(y, alone[1], layers).log_probs
        torch.testing.assert_close(
            out.log_probs[i : i + 1, :length], expected, atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("kind", ["global", "local"])
def test_thresholds_go_from_one_layer_to_all(kind):
    model = model_with(kind)
    depths = [
        [sum(g) for g in decided(model, threshold)[0]]
        for threshold in (0.0, 0.85, 1.0)
    ]
    assert depths[0] == [4, 4, 4]
    assert depths[-1] == [1, 1, 1]  # never all closed


def test_a_closed_layer_is_not_computed():
    model = model_with("global")
    calls = []
    for layer in model.layers.layers:
        layer.register_forward_hook(lambda *a: calls.append(len(a[1][0])))
    decided(model, 1.0)
    assert calls == [3]  # the last, for all three


@pytest.mark.parametrize("kind", KINDS)
def test_the_losses_reach_the_router(kind):
    router = {"kind": kind}
    if kind == "top_k":
        router["anneal_steps"] = 1
    settings = {"router": router}
    brain = tiny_brain(
        modules=tiny_modules(**settings),
        gate_sampler=RoutedGates(
            4, seed=3, full_weight=1.0, part_weight=0.3, rate_penalty=100.0
        ),
        **settings,
    )
    start(brain)
    brain.optimizer_step = 2  # k = 2
    batch = batch_of(noise(3))
    predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
    assert [run.weight for run, _ in predictions.students] == [1.0, 0.3]
    rates = predictions.students[-1][1].routing.rate
    assert rates.shape == (4, 3)
    loss = brain.compute_objectives(predictions, batch, sb.Stage.TRAIN)
    without = tiny_brain(
        modules=brain.modules, gate_sampler=brain.gate_sampler, **settings
    )
    without.gate_sampler.rate_penalty = 0.0
    plain = without.compute_objectives(predictions, batch, sb.Stage.TRAIN)
    expected = 100.0 * (rates.mean() - 0.5) ** 2
    assert loss.item() == pytest.approx((plain + expected).item(), rel=1e-5)
    for name, parameter in brain.modules.model.router.named_parameters():
        (grad,) = torch.autograd.grad(plain, [parameter], retain_graph=True)
        assert grad.abs().sum() > 0, name  # of the task's loss alone


def test_gates_are_a_function_of_seed_and_step():
    router = InputRouter(4, 16)
    x, lengths = INPUT

    def gates(routed):
        torch.rand(3)  # the global generator says nothing
        decide = router.begin(x, lengths, routed)
        return torch.stack([decide(i, x).gate for i in range(4)]).tolist()

    runs = {step: gates(Routed(step, seed=7)) for step in range(40)}
    assert runs == {step: gates(Routed(step, seed=7)) for step in range(40)}
    assert runs != {step: gates(Routed(step, seed=8)) for step in range(40)}
    assert {0.0, 1.0} == {g for r in runs.values() for row in r for g in row}


def test_relaxed_top_k_is_exact_where_scores_are_far_apart():
    scores = torch.tensor([0.0, 5.0, 3.0, -2.0])
    for k, expected in (
        (1, [0, 1, 0, 0]),
        (2, [0, 1, 1, 0]),
        (3, [1, 1, 1, 0]),
    ):
        torch.testing.assert_close(
            relaxed_top_k(scores, k, temperature=0.1),
            torch.tensor(expected).float(),
            atol=1e-4,
            rtol=0,
        )
    soft = relaxed_top_k(torch.zeros(4), 3, temperature=0.1)
    torch.testing.assert_close(soft, torch.full((4,), 0.75), atol=1e-4, rtol=0)


def test_the_mask_and_the_top_k_are_what_evaluation_runs():
    mask, top = LayerMask(4, 2), RelaxedTopK(4, min_layers=2, anneal_steps=1)
    for router in (mask, top):
        router.eval()
        router.scores.data = torch.tensor([1.0, -2.0, 3.0, -1.0])
        assert router.gates(step=99)[0].tolist() == [1.0, 0.0, 1.0, 0.0]
        assert [router.gates_for(n).layers for n in (1, 2, 3)] == [
            (2,),
            (0, 2),
            (0, 2, 3),
        ]
    assert LayerMask(12, 4).gates_for(4) == evenly_spread(4, 12)


def test_a_mask_opens_the_layers_that_lower_the_loss():
    """Whatever it begins with, and never more of them than asked for."""
    mask = LayerMask(12, n_layers=4)
    worth = torch.zeros(12)
    worth[[1, 2, 5, 10]] = 1.0  # none of them among the first four open
    optimizer = torch.optim.Adam(mask.parameters(), lr=0.05)
    for step in range(100):
        gates, _ = mask.gates(step)
        assert gates.sum() == 4
        optimizer.zero_grad()
        (gates - worth).square().sum().backward()
        optimizer.step()
    assert mask.gates_for(4).layers == (1, 2, 5, 10)


def test_routed_runs_stand_beside_fixed_ones():
    model = model_with("mask")
    model.router.scores.data = torch.tensor([1.0, -2.0, 3.0, -1.0])
    feats, lengths = torch.randn(2, 60, 20), torch.tensor([60, 50])
    fixed = Gates.of((0, 2), 4)
    with torch.no_grad():
        first, routed, again = model(feats, lengths, [fixed, Routed(), fixed])
    torch.testing.assert_close(routed[:2], first[:2])
    torch.testing.assert_close(again[:2], first[:2])
    assert first.gates == again.gates == fixed and first.routing is None
    assert routed.gates is None
    assert routed.routing.gate.T.tolist() == [[1.0, 0.0, 1.0, 0.0]] * 2
    with pytest.raises(ValueError, match="must have a router"):
        model_with("none")(feats, lengths, [Routed()])


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match="`per_depth` must be none with a rou"):
        model_with("global", per_depth="head")
    with pytest.raises(
        ValueError, match="`router.kind` must be one of none, top_k"
    ):
        model_with("odd")
    with pytest.raises(ValueError, match="`anneal_steps` must be at least 1"):
        model_with({"kind": "top_k", "anneal_steps": 0})


def test_nothing_is_half_way_through_a_routed_run():
    assert len(with_intermediate([GatedRun(Routed())], 0.3)) == 1


@pytest.fixture(scope="module")
def routed_model(tmp_path_factory, pretrained):
    """A model whose router looks at the input, trained for two epochs."""
    folder = tmp_path_factory.mktemp("routed")
    main(
        [
            "hparams/conformer_rd.yaml",
            *small(
                output_folder=f"{folder}/1",
                number_of_epochs=2,
                init_from=pretrained,
                gates="{sampler: routed, rate_penalty: 100.0}",
                router="local",
            ),
        ]
    )
    return folder / "1/pretrained"


def test_the_report_shows_every_threshold(routed_model):
    report = json.loads((routed_model / "depth_report.json").read_text())
    (points,) = report["routing"].values()
    assert [p["threshold"] for p in points] == list(THRESHOLDS)
    depths = [p["mean_depth"] for p in points]
    assert depths == sorted(depths, reverse=True)
    assert (routed_model / "routing.png").is_file()
    assert (
        "Layers that the input decides"
        in (routed_model / "depth_report.md").read_text()
    )


def test_a_model_transcribes_with_the_layers_that_its_router_decides(
    routed_model, capsys
):
    asr = DynamicEncoderASR.from_hparams(source=routed_model)
    found = asr.transcribe(SPEECH, ByRouter(0.0))
    assert found.layers == (0, 1, 2) and found.layers_computed == 3
    assert found.text == asr.transcribe_file(SPEECH)
    assert asr.transcribe(SPEECH, ByRouter(0.999)).n_layers == 1
    with pytest.raises(ValueError, match="`threshold` must be at least 0 and"):
        asr.transcribe(SPEECH, ByRouter(1.0))
    with pytest.raises(ValueError, match="`depth` or `n_layers`, not both"):
        asr.transcribe(SPEECH, ByRouter(), n_layers=2)
    source = ["transcribe", "--source", str(routed_model)]
    assert shell([*source, "--open_threshold", "0.5", SPEECH]) == 0
    assert capsys.readouterr().out.startswith(SPEECH)
    # The layers of one depth alone need no router.
    alone = DynamicEncoderASR.from_hparams(source=routed_model, n_layers=2)
    assert alone.transcribe_file(SPEECH) == asr.transcribe_file(SPEECH, 2)
    with pytest.raises(ValueError, match="Routed.. needs a model whose rou"):
        alone.transcribe("not even read", ByRouter())


def test_layers_are_learnt_and_then_trained(tmp_path, pretrained):
    learnt = tmp_path / "learnt/1"
    options = {"number_of_epochs": 2, "init_from": pretrained}
    main(
        [
            "hparams/conformer_rd.yaml",
            *small(
                **options,
                output_folder=learnt,
                gates="{sampler: routed, full_weight: 1.0, part_weight: 0.3}",
                router="{kind: top_k, min_layers: 1, anneal_steps: 1}",
                router_lr_factor=1000.0,
                averaged="last",
                avg_checkpoints=1,
                selection="trained",
            ),
        ]
    )
    table = DepthTable()
    table.read(learnt / "pretrained/depth_table.json")
    assert set(table.layers(1)) < set(table.layers(2))
    options["init_from"] = learnt / "pretrained"
    main(
        [
            "hparams/conformer_rd.yaml",
            *small(
                **options,
                output_folder=tmp_path / "sandwich/1",
                gates="sandwich",
                **{
                    "gates.family": "table",
                    "gates.table": learnt / "pretrained",
                },
                selection="trained",
            ),
        ]
    )
    model = load_pretrained(str(tmp_path / "sandwich/1/pretrained"))
    assert model.table.layers(2) == table.layers(2)
    assert model.modules["model"].router is None
