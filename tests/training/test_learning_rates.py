"""Learning rates: of parts of the model, and over a training."""

import torch
from common import batch_of, noise, start, tiny_brain, tiny_modules


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
