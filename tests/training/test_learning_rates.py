"""Learning rates: of parts of the model, and over a training."""

import torch
from common import batch_of, noise, start, tiny_brain, tiny_modules

import speechbrain as sb
from dld_brain.training.schedules import Exponential


def step_sizes(**settings):
    """How far each part moves in one step of SGD-like size."""
    brain = start(tiny_brain(modules=tiny_modules(), **settings))
    brain.optimizer = None
    brain.opt_class = lambda groups: torch.optim.SGD(groups, lr=1.0)
    brain.lr_scheduler = lambda opt: [
        group.update(lr=1e-3) for group in opt.param_groups
    ]
    brain.init_optimizers()
    model = brain.modules.model
    before = {k: v.detach().clone() for k, v in model.named_parameters()}
    brain.max_grad_norm = 1e9
    brain.step = 1
    brain.fit_batch(batch_of(noise(2)))
    return {
        k: (v.detach() - before[k]).abs().sum().item()
        for k, v in model.named_parameters()
    }


def test_the_head_learns_at_its_own_rate_and_the_rest_as_before():
    plain, fast = step_sizes(), step_sizes(head_lr_factor=30.0)
    ratios = {k: fast[k] / plain[k] for k in plain if plain[k] > 0}
    for name, ratio in ratios.items():
        expected = 30.0 if name.startswith("head.") else 1.0
        assert abs(ratio / expected - 1) < 1e-3, name
    assert {"head.weight", "stem.conv1.weight"} <= set(ratios)


def test_a_rate_of_zero_leaves_a_part_alone():
    still = step_sizes(head_lr_factor=0.0)
    assert still["head.weight"] == 0 < still["stem.conv1.weight"]


def test_a_part_whose_rate_is_zero_has_no_gradient_to_compute():
    brain = start(tiny_brain(head_lr_factor=0.0))
    brain.step = 1
    brain.fit_batch(batch_of(noise(2)))
    model = brain.modules.model
    assert not any(p.requires_grad for p in model.head.parameters())
    assert all(p.requires_grad for p in model.layers.parameters())


def test_a_layer_may_have_a_rate_of_its_own():
    brain = start(tiny_brain())
    brain.lr_factors = {"stem": 0.25, "layers.layers.0": 0.5, "layers": 3.0}
    brain.init_optimizers()
    model = brain.modules.model
    found = {
        id(value): group["lr_factor"]
        for group in brain.optimizer.param_groups
        for value in group["params"]
    }
    assert len(found) == len(list(model.parameters()))
    for name, value in model.named_parameters():
        expected = {"stem": 0.25, "layers": 3.0}.get(name.split(".")[0], 1.0)
        if name.startswith("layers.layers.0."):
            expected = 0.5
        assert found[id(value)] == expected, name


def rates_of(schedule, n_steps):
    """Learning rates of the first steps."""
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    found = []
    for _ in range(n_steps):
        schedule(opt)
        found.append(opt.param_groups[0]["lr"])
    return found


def test_the_papers_rate_falls_by_equal_ratios_to_the_end_of_training():
    schedule = Exponential(lr=2.0, n_warmup_steps=10)
    schedule.plan(110)
    rates = rates_of(schedule, 120)
    rises = {round(b - a, 6) for a, b in zip(rates[:9], rates[1:9])}
    falls = {round(b / a, 6) for a, b in zip(rates[9:109], rates[10:110])}
    assert len(rises) == len(falls) == 1
    assert rates[9] == 2.0 and abs(rates[109] - 0.1) < 1e-9
    assert rates[109:] == [rates[109]] * 11  # behind the end it stays


def test_a_resumed_schedule_keeps_its_length(tmp_path):
    whole, first, second = (Exponential(1.0, 5) for _ in range(3))
    whole.plan(40)
    first.plan(40)
    begun = rates_of(first, 20)
    first.save(tmp_path / "lr")
    second.load(tmp_path / "lr")
    second.plan(50)  # an epoch of another number of batches
    assert begun + rates_of(second, 20) == rates_of(whole, 40)


def test_a_run_plans_its_schedule_from_its_own_length():
    brain = tiny_brain(number_of_epochs=3)
    brain.n_train_batches, brain.grad_accumulation_factor = 7, 2
    brain.on_stage_start(sb.Stage.TRAIN, 1)
    assert brain.lr_scheduler.n_updates == 3 * 4


def test_the_head_learns_alone_at_the_beginning():
    modules = tiny_modules()
    model = modules["model"]
    model.stem.conv2.requires_grad_(False)  # what is frozen stays frozen
    brain = tiny_brain(modules=modules, freeze_body_steps=2)
    start(brain, n_batches=3)
    moved = []
    for brain.step in (1, 2, 3):
        before = {k: v.detach().clone() for k, v in model.named_parameters()}
        brain.fit_batch(batch_of(noise(2)))
        moved.append(
            {
                name.split(".")[0]
                for name, value in model.named_parameters()
                if not torch.equal(value, before[name])
            }
        )
        if brain.step <= 2:
            assert not any(p.requires_grad for p in model.layers.parameters())
    assert moved == [{"head"}, {"head"}, {"head", "layers", "stem"}]
    assert not any(p.requires_grad for p in model.stem.conv2.parameters())
