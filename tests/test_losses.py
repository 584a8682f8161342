"""Losses by algebra: against enumeration and torch's own distributions."""

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from dld_brain.audio.lengths import padding_mask
from dld_brain.losses import ctc, ctc_frames_needed, kl, l2


@pytest.fixture
def log_probs():
    torch.manual_seed(0)
    return torch.randn(3, 7, 5).log_softmax(-1)


LENGTHS = torch.tensor([7, 4, 1])


def test_kl_of_a_distribution_with_itself_is_zero(log_probs):
    assert torch.equal(kl(log_probs, log_probs, LENGTHS), torch.zeros(3))


def test_kl_is_torch_distributions_summed_over_valid_frames(log_probs):
    student = torch.randn(3, 7, 5).log_softmax(-1)
    per_frame = kl_divergence(
        Categorical(logits=log_probs), Categorical(logits=student)
    )
    expected = [per_frame[i, :n].sum() for i, n in enumerate(LENGTHS)]
    found = kl(log_probs, student, LENGTHS)
    torch.testing.assert_close(found, torch.stack(expected))
    assert (found > 0).all()
    # Teacher first: the divergence is not symmetric.
    assert not torch.allclose(found, kl(student, log_probs, LENGTHS))


def test_kl_ignores_padding_and_gives_it_no_gradient(log_probs):
    student = torch.randn(3, 7, 5).log_softmax(-1).requires_grad_()
    other = student.detach().clone()
    other[1, 4:] = 9.0
    loss = kl(log_probs, student, LENGTHS)
    torch.testing.assert_close(loss, kl(log_probs, other, LENGTHS))
    loss.sum().backward()
    assert (student.grad[1, 4:] == 0).all() and (student.grad[2, 1:] == 0).all()
    assert (student.grad[1, :4] != 0).any()


def test_kl_refuses_two_shapes(log_probs):
    with pytest.raises(ValueError, match=r"\[3, 7, 5\] and \[3, 7, 4\]"):
        kl(log_probs, log_probs[..., :4], LENGTHS)


def test_ctc_is_the_sum_over_all_paths(log_probs):
    targets = torch.tensor([[1, 1, 2]])

    def collapse(path):
        return [k for k, _ in itertools.groupby(path) if k != 0]

    paths = itertools.product(range(5), repeat=6)
    p = sum(
        math.exp(sum(log_probs[0, t, k].item() for t, k in enumerate(path)))
        for path in paths
        if collapse(path) == [1, 1, 2]
    )
    found = ctc(
        log_probs[:1, :6], torch.tensor([6]), targets, torch.tensor([3])
    )
    assert found.item() == pytest.approx(-math.log(p), rel=1e-5)


def test_ctc_ignores_padding_of_frames_and_tokens(log_probs):
    targets = torch.tensor([[1, 2, 9], [3, 4, 9]])
    n = torch.tensor([2, 2])
    padded = ctc(log_probs[:2], torch.tensor([5, 4]), targets[:, :2], n)
    alone = ctc(log_probs[1:2, :4], torch.tensor([4]), targets[1:, :2], n[1:])
    torch.testing.assert_close(padded[1:], alone)


def test_a_target_that_does_not_fit_is_counted_and_has_no_gradient(log_probs):
    # Three tokens, two of them equal neighbours: four frames; there are 3.
    targets, n = torch.tensor([[1, 1, 2]]), torch.tensor([3])
    assert ctc_frames_needed(targets, n).tolist() == [4]
    student = log_probs[:1].clone().requires_grad_()
    for frames, fits in ((3, False), (4, True)):
        loss = ctc(student, torch.tensor([frames]), targets, n)
        assert torch.isfinite(loss).all()
        assert (loss.item() > 0) == fits
        (gradient,) = torch.autograd.grad(loss.sum(), student)
        assert torch.isfinite(gradient).all()
        assert bool(gradient.any()) == fits


def test_repeats_behind_the_end_of_a_target_need_no_frame():
    targets = torch.tensor([[1, 2, 0, 0], [3, 3, 3, 1]])
    needed = ctc_frames_needed(targets, torch.tensor([2, 4]))
    assert needed.tolist() == [2, 6]


def test_padding_mask_is_true_behind_the_length():
    assert padding_mask(torch.tensor([0, 2]), 2).tolist() == [
        [True, True],
        [False, False],
    ]


def test_a_temperature_softens_both_and_keeps_the_scale():
    teacher, student = (
        torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(i))
        for i in (0, 1)
    )
    lengths = torch.tensor([5, 3])
    found = kl(
        teacher.log_softmax(-1), student.log_softmax(-1), lengths, temperature=2
    )
    p, q = (x / 2 for x in (teacher, student))
    p, q = p.softmax(-1), q.softmax(-1)
    per_frame = 4 * (p * (p / q).log()).sum(-1)
    expected = [per_frame[0].sum(), per_frame[1, :3].sum()]
    torch.testing.assert_close(found, torch.stack(expected))


def test_frames_far_from_tokens_are_left_out():
    ids = torch.tensor([[0, 0, 0, 5, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 6]])
    teacher = (8.0 * torch.nn.functional.one_hot(ids, 7)).log_softmax(-1)
    student = torch.randn(2, 8, 7).log_softmax(-1)
    lengths = torch.tensor([8, 7])  # the second's token is padding
    found = kl(teacher, student, lengths, neighbours=1)
    kept = kl(teacher[:, 2:5], student[:, 2:5], torch.tensor([3, 3]))
    torch.testing.assert_close(found[0], kept[0])
    assert found[1] == 0.0
    torch.testing.assert_close(
        kl(teacher, student, lengths, neighbours=8)[0],
        kl(teacher, student, lengths)[0],
    )


def test_l2_is_that_of_log_probabilities_without_padding():
    teacher = torch.zeros(2, 3, 4)
    student = torch.full((2, 3, 4), 2.0)
    assert l2(teacher, student, torch.tensor([3, 1])).tolist() == [12.0, 4.0]
    assert l2(teacher, teacher, torch.tensor([3, 1])).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="must give the same"):
        l2(teacher, student[:, :2], torch.tensor([2, 1]))
