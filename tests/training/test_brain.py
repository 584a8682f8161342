"""The training step: what DLD's contracts and SpeechBrain's defects ask."""

import copy

import numpy as np
import pytest
import torch
from common import batch_of, noise, start, tiny_brain, tiny_modules

import speechbrain as sb
from dld_brain import losses
from dld_brain.gates.by_depth import SandwichGates
from dld_brain.gates.by_layer import BernoulliGates
from dld_brain.gates.gates import Gates, layers_computed
from dld_brain.training.checkpoints import AtomicCheckpointer


def gradients(brain):
    """Gradients by parameter, cloned."""
    return {
        name: None if p.grad is None else p.grad.clone()
        for name, p in brain.modules.model.named_parameters()
    }


@pytest.fixture
def no_step(monkeypatch):
    """Leaves gradients where they are."""
    monkeypatch.setattr(
        "dld_brain.training.brain.DLDBrain.optimizers_step", lambda self: None
    )


def test_the_loss_is_ctc_plus_weighted_kl():
    teacher = tiny_modules(seed=1)
    brain = start(
        tiny_brain(
            teacher=teacher, task_weight=0.5, **{"distillation.weight": 3.0}
        )
    )
    brain.modules.eval()
    batch = batch_of(noise(3))
    predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
    ((_, out),) = predictions.students
    loss = brain.compute_objectives(predictions, batch, sb.Stage.TRAIN)
    n_tokens = torch.full((3,), 3)
    ctc = losses.ctc(*out[:2], batch.targets.data, n_tokens)
    kl = losses.kl(predictions.teacher.log_probs, out.log_probs, out.lengths)
    assert loss.item() == pytest.approx(
        float((0.5 * ctc + 3.0 * kl).detach().mean()), rel=1e-5
    )
    assert float(kl.detach().mean()) > 0


def test_a_sandwich_learns_from_its_own_full_depth(no_step):
    sampler = SandwichGates(4, seed=3, part_weight=0.3)
    settings = {"distillation.in_place_weight": 2.0}
    brain = start(tiny_brain(gate_sampler=sampler, **settings))
    batch = batch_of(noise(3))
    predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
    runs, outs = zip(*predictions.students)
    assert runs == tuple(sampler(0))
    feats, lengths = brain.extract_features(batch, sb.Stage.TRAIN)
    for run, out in predictions.students:  # what each gives alone
        (alone,) = brain.modules.model(feats, lengths, [run.gates])
        torch.testing.assert_close(out.log_probs, alone.log_probs)
    loss = brain.compute_objectives(predictions, batch, sb.Stage.TRAIN)
    n_tokens = torch.full((3,), 3)
    expected = 0.0
    for run, out in predictions.students:
        expected = expected + run.weight * losses.ctc(
            *out[:2], batch.targets.data, n_tokens
        )
        kl = losses.kl(outs[0].log_probs, *out[:2])  # of the full depth, 0
        expected = expected + run.weight * 2.0 * kl
    assert loss.item() == pytest.approx(expected.mean().item(), rel=1e-5)
    # The full depth teaches, and is not taught by it.
    (part,) = torch.autograd.grad(
        brain.distilled(runs[1], outs[1], predictions).sum(),
        [outs[0].log_probs],
        allow_unused=True,
        retain_graph=True,
    )
    assert part is None


def test_in_place_without_the_full_depth_is_refused():
    with pytest.raises(ValueError, match="`in_place` needs gates that"):
        tiny_brain(**{"distillation.in_place_weight": 1.0})


def test_layers_that_runs_share_are_computed_once(no_step):
    brain = start(tiny_brain(gate_sampler=SandwichGates(4, seed=3)))
    calls = []
    for layer in brain.modules.model.layers.layers:
        layer.register_forward_hook(lambda *_: calls.append(1))
    brain.step = 1
    brain.fit_batch(batch_of(noise(2)))
    gates = [run.gates for run in SandwichGates(4, seed=3)(0)]
    assert len(calls) == layers_computed(gates) < sum(g.depth for g in gates)
    assert brain.group.layer_passes == 3 * len(calls)


def test_the_teacher_runs_at_full_depth_without_gradient(no_step):
    teacher = tiny_modules(seed=1)
    brain = start(tiny_brain(teacher=teacher))
    batch = batch_of(noise(2))
    predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
    feats, lengths = brain.extract_features(batch, sb.Stage.TRAIN)
    (expected,) = teacher["model"](feats, lengths)
    torch.testing.assert_close(predictions.teacher[:2], expected[:2])
    assert predictions.teacher.gates.is_full
    assert not predictions.teacher.log_probs.requires_grad


def test_the_teacher_is_bit_equal_and_in_eval_mode_after_training():
    teacher = tiny_modules(seed=1, dropout=0.5)
    before = copy.deepcopy(teacher["model"].state_dict())
    brain = start(tiny_brain(teacher=teacher), n_batches=4)
    for step in range(4):
        brain.step = step + 1
        brain.fit_batch(batch_of(noise(2, seed=step)))
    assert not any(m.training for m in teacher["model"].modules())
    for name, weight in teacher["model"].state_dict().items():
        assert torch.equal(weight, before[name])
    student = brain.modules.model.state_dict()
    assert any(not torch.equal(student[n], before[n]) for n in before)


def test_gates_follow_the_optimizer_step_and_closed_layers_stay(monkeypatch):
    brain = start(tiny_brain(weight_decay=0.1), n_batches=6)
    sampler = BernoulliGates(4, seed=3)
    for step in range(6):
        before = copy.deepcopy(brain.modules.model.state_dict())
        assert brain.optimizer_step == step
        brain.step = step + 1
        brain.fit_batch(batch_of(noise(2)))
        after = brain.modules.model.state_dict()
        gates = sampler.gates(step)
        for i in range(4):
            name = f"layers.layers.{i}.norm2.norm.weight"
            # Neither gradient, momentum nor decay moves a closed layer.
            is_same = torch.equal(before[name], after[name])
            assert is_same != gates.is_open(i)


def test_a_padded_batch_has_the_gradient_of_its_utterances_alone(no_step):
    utterances = noise(3)
    modules = tiny_modules()
    joined = start(tiny_brain(modules, teacher=tiny_modules(seed=1)))
    joined.step = 1
    joined.fit_batch(batch_of(utterances))
    expected = gradients(joined)
    total = {}
    for utterance in utterances:
        joined.zero_grad(set_to_none=True)
        joined.fit_batch(batch_of([utterance]))
        for name, gradient in gradients(joined).items():
            if gradient is not None:
                total[name] = total.get(name, 0) + gradient / 3
    for name, gradient in expected.items():
        if gradient is None:
            assert name not in total
        else:
            torch.testing.assert_close(
                gradient, total[name], atol=1e-4, rtol=1e-3
            )


def test_accumulation_steps_on_the_last_incomplete_group():
    brain = start(
        tiny_brain(run_opts={"grad_accumulation_factor": 4}), n_batches=6
    )
    steps = []
    for step in range(1, 7):
        brain.step = step
        brain.fit_batch(batch_of(noise(1, seed=step)))
        steps.append(brain.optimizer_step)
    assert steps == [0, 0, 0, 1, 1, 2]


def test_accumulation_weighs_an_incomplete_group_as_a_whole_one(no_step):
    batch = noise(2)
    modules = tiny_modules()
    plain = start(tiny_brain(modules))
    plain.step = 1
    plain.fit_batch(batch_of(batch))
    expected = gradients(plain)
    plain.zero_grad(set_to_none=True)
    plain.grad_accumulation_factor, plain.n_train_batches = 4, 2
    for plain.step in (1, 2):
        plain.fit_batch(batch_of(batch))
    for name, gradient in gradients(plain).items():
        if gradient is not None:
            torch.testing.assert_close(gradient, expected[name])


def test_all_parameter_groups_are_clipped_together():
    brain = start(
        tiny_brain(
            run_opts={
                "remove_vector_weight_decay": True,
                "max_grad_norm": 1e-3,
            }
        )
    )
    assert len(brain.optimizer.param_groups) == 2
    seen = {}

    def look(optimizer, *_):
        grads = [
            p.grad
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        seen["norm"] = torch.cat([g.flatten() for g in grads]).norm().item()

    brain.optimizer.register_step_pre_hook(look)
    brain.step = 1
    brain.fit_batch(batch_of(noise(2)))
    assert seen["norm"] == pytest.approx(1e-3, rel=1e-3)


def test_impossible_transcripts_are_counted_and_training_stays_finite():
    brain = start(tiny_brain())
    utterances = noise(2)
    utterances[1]["targets"] = torch.ones(40, dtype=torch.long)
    brain.step = 1
    loss = brain.fit_batch(batch_of(utterances))
    assert torch.isfinite(loss)
    stats = brain.stats.summary(float(loss))
    assert stats["impossible"] == 1
    for p in brain.modules.model.parameters():
        assert torch.isfinite(p).all()


def test_a_resumed_run_draws_the_gates_it_would_have_drawn(tmp_path):
    def run(folder, n_steps, gates):
        checkpointer = AtomicCheckpointer(folder)
        brain = start(tiny_brain(checkpointer=checkpointer), n_batches=6)
        draw = brain.gate_sampler.gates
        brain.gate_sampler.gates = lambda s: gates.append(draw(s)) or gates[-1]
        for step in range(brain.optimizer_step, n_steps):
            brain.step = step + 1
            brain.fit_batch(batch_of(noise(2, seed=step)))
        checkpointer.save_checkpoint(end_of_epoch=False)
        return brain.modules.model.state_dict()

    whole, parts = [], []
    expected = run(tmp_path / "whole", 6, whole)
    run(tmp_path / "parts", 3, parts)
    torch.manual_seed(123), np.random.seed(123)
    found = run(tmp_path / "parts", 6, parts)
    assert parts == whole and len(whole) == 6
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])


def test_validation_scores_the_depths_asked_for():
    brain = tiny_brain()
    assert [r.depth for r in brain.runs(sb.Stage.VALID)] == [4]
    brain.valid_depths = [2, 4]
    brain.on_stage_start(sb.Stage.VALID, 1)
    brain.evaluate_batch(batch_of(noise(2)), sb.Stage.VALID)
    # References "A B", hypotheses "A": one of two words is missing.
    stats = brain.stats.summary(1.0)
    assert stats["WER"] == stats["WER n=2"] == stats["WER n=4"] == 50.0


def test_a_run_with_too_few_gates_is_refused():
    model = tiny_modules()["model"]
    feats, lengths = torch.randn(1, 60, 20), torch.tensor([60])
    with pytest.raises(ValueError, match="for each of the 4 layers, but has 2"):
        model(feats, lengths, [Gates.full(4), Gates((0,), 2)])
