"""The losses of DLD: pure functions of tensors.

Both are sums over the frames of an utterance, averaged over the batch, so
that the paper's 1 : 1 weighting is one nat against one nat.
"""

import functools
from collections.abc import Callable
from typing import Optional

import torch
import torch.nn.functional as F

from dld_brain.audio.lengths import padding_mask

#: Token that CTC's blank takes: SentencePiece's <unk>, as in SpeechBrain.
BLANK_ID = 0


def states_distance(
    teacher: torch.Tensor, student: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Squared distance of an encoder's outputs, summed over the frames.

    Of the teacher's variance over its dimensions and frames: a student that
    says the mean has 1 a frame.

    Arguments
    ---------
    teacher, student : torch.Tensor
        Outputs behind the last norm, [B, T, D]; the teacher's T may be more.
    lengths : torch.Tensor
        Valid frames, [B].

    Returns
    -------
    torch.Tensor
        [B].

    Example
    -------
    >>> x = torch.tensor([[[1.0, -1.0], [5.0, 5.0]]])
    >>> states_distance(x, x - 1.0, torch.tensor([1]))
    tensor([1.])
    """
    teacher = teacher[:, : student.shape[1]]
    padding = padding_mask(lengths, student.shape[1])
    scale = teacher[~padding].var(correction=0)
    distances = (student - teacher).square().mean(-1) / scale
    return distances.masked_fill(padding, 0.0).sum(1)


def ctc_frames_needed(
    targets: torch.Tensor, target_lengths: torch.Tensor
) -> torch.Tensor:
    """Counts the frames that CTC needs to emit each target.

    One frame for each token, and one blank between two equal neighbours
    (Graves et al. 2006, https://doi.org/10.1145/1143844.1143891).

    Arguments
    ---------
    targets : torch.Tensor
        Token ids, [B, U].
    target_lengths : torch.Tensor
        Tokens of each utterance, [B].

    Returns
    -------
    torch.Tensor
        Frames, [B].

    Example
    -------
    >>> ctc_frames_needed(torch.tensor([[5, 5, 6]]), torch.tensor([3]))
    tensor([4])
    """
    repeated = targets[:, 1:] == targets[:, :-1]
    valid = ~padding_mask(target_lengths, targets.shape[1])[:, 1:]
    return target_lengths + (repeated & valid).sum(1)


def ctc(
    log_probs: torch.Tensor,
    lengths: torch.Tensor,
    targets: torch.Tensor,
    target_lengths: torch.Tensor,
    blank: int = 0,
) -> torch.Tensor:
    """CTC loss of each utterance.

    An utterance whose target cannot be emitted in its frames gives 0 and
    no gradient; count it with `ctc_frames_needed`.

    Arguments
    ---------
    log_probs : torch.Tensor
        Log-probabilities, [B, T, V].
    lengths : torch.Tensor
        Valid frames, [B].
    targets : torch.Tensor
        Token ids, [B, U].
    target_lengths : torch.Tensor
        Tokens, [B].

    Returns
    -------
    torch.Tensor
        Negative log-likelihood in nats, [B].

    Example
    -------
    >>> log_probs = torch.tensor([[[0.5, 0.5]]]).log()
    >>> one = torch.tensor([1])
    >>> ctc(log_probs, one, one.view(1, 1), one)
    tensor([0.6931])
    """
    return F.ctc_loss(
        log_probs.transpose(0, 1).float(),  # [B, T, V] -> [T, B, V]
        targets,
        lengths,
        target_lengths,
        blank=blank,
        reduction="none",
        zero_infinity=True,
    )


def kl(
    teacher_log_probs: torch.Tensor,
    student_log_probs: torch.Tensor,
    lengths: torch.Tensor,
    temperature: float = 1.0,
    neighbours: Optional[int] = None,
) -> torch.Tensor:
    """KL(teacher || student) of each utterance, padding left out (DLD).

    With a temperature, of both posteriors to the power of 1 / temperature,
    times its square (Hinton et al., https://arxiv.org/abs/1503.02531,
    section 2). With `neighbours`, of the frames where the teacher's likeliest
    token is no blank, and as many on each side, alone (Hilmes et al.,
    https://arxiv.org/abs/2506.01503: symmetric selection).

    Arguments
    ---------
    teacher_log_probs : torch.Tensor
        Log-probabilities of the teacher, [B, T, V].
    student_log_probs : torch.Tensor
        Log-probabilities of the student, [B, T, V].
    lengths : torch.Tensor
        Valid frames, [B].
    temperature : float
        1 for the paper's.
    neighbours : int, optional
        Frames kept on each side of a token; all frames if not given.

    Returns
    -------
    torch.Tensor
        Divergence in nats, summed over the frames of an utterance, [B].

    Example
    -------
    >>> p = torch.tensor([[[0.5, 0.5]]]).log()
    >>> q = torch.tensor([[[0.25, 0.75]]]).log()
    >>> kl(p, q, torch.tensor([1]))
    tensor([0.1438])
    """
    check_shapes(teacher_log_probs, student_log_probs)
    teacher, student = teacher_log_probs.float(), student_log_probs.float()
    if temperature != 1.0:
        teacher = (teacher / temperature).log_softmax(-1)
        student = (student / temperature).log_softmax(-1)
    per_frame = temperature**2 * F.kl_div(
        student, teacher, reduction="none", log_target=True
    ).sum(-1)  # [B, T, V] -> [B, T]
    left_out = padding_mask(lengths, per_frame.shape[1])
    if neighbours is not None:
        left_out = left_out | ~near_tokens(
            teacher_log_probs, lengths, neighbours
        )
    return per_frame.masked_fill(left_out, 0.0).sum(1)


def l2(
    teacher_log_probs: torch.Tensor,
    student_log_probs: torch.Tensor,
    lengths: torch.Tensor,
) -> torch.Tensor:
    """Squared distance of log-probabilities, mean over tokens.

    As the DLD authors' earlier code aligns log-softmax outputs (ETF4ASR,
    https://arxiv.org/abs/2505.16991), but for the sum over the frames of an
    utterance, which is ours: the unit of the other losses here.

    Arguments
    ---------
    teacher_log_probs : torch.Tensor
        Log-probabilities of the teacher, [B, T, V].
    student_log_probs : torch.Tensor
        Log-probabilities of the student, [B, T, V].
    lengths : torch.Tensor
        Valid frames, [B].

    Returns
    -------
    torch.Tensor
        Squared nats, summed over the frames of an utterance, [B].

    Example
    -------
    >>> p = torch.tensor([[[0.5, 0.5]]]).log()
    >>> q = p - torch.tensor([1.0, 3.0])
    >>> l2(p, q, torch.tensor([1]))
    tensor([5.])
    """
    check_shapes(teacher_log_probs, student_log_probs)
    difference = teacher_log_probs.float() - student_log_probs.float()
    per_frame = difference.square().mean(-1)
    padding = padding_mask(lengths, per_frame.shape[1])
    return per_frame.masked_fill(padding, 0.0).sum(1)


def near_tokens(
    log_probs: torch.Tensor, lengths: torch.Tensor, neighbours: int
) -> torch.Tensor:
    """Marks frames whose likeliest token is no blank, and those beside.

    Arguments
    ---------
    log_probs : torch.Tensor
        Log-probabilities, [B, T, V].
    lengths : torch.Tensor
        Valid frames, [B]: what stands in padding marks nothing.

    Returns
    -------
    torch.Tensor
        [B, T], true where a frame is near.

    Example
    -------
    >>> ids = torch.tensor([[0, 0, 5, 0, 0, 7]])
    >>> log_probs = torch.nn.functional.one_hot(ids).float()
    >>> near_tokens(log_probs, torch.tensor([5]), neighbours=1)
    tensor([[False,  True,  True,  True, False, False]])
    """
    padding = padding_mask(lengths, log_probs.shape[1])
    is_token = (log_probs.argmax(-1) != BLANK_ID) & ~padding
    return F.max_pool1d(
        is_token.float(), 2 * neighbours + 1, stride=1, padding=neighbours
    ).bool()


def check_shapes(teacher: torch.Tensor, student: torch.Tensor) -> None:
    """Raises unless teacher and student have the same shape.

    Arguments
    ---------
    student : torch.Tensor
        Log-probabilities, [B, T, V].
    """
    if teacher.shape != student.shape:
        raise ValueError(
            f"teacher and student must give the same [B, T, V], but give "
            f"{list(teacher.shape)} and {list(student.shape)}"
        )


#: (teacher's log-probs, student's log-probs, lengths) -> [B], nats.
Divergence = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def make_kl(temperature: float = 1.0) -> Divergence:
    """`kl` over all frames."""
    _check_temperature(temperature)
    return functools.partial(kl, temperature=temperature)


def make_near_tokens(
    temperature: float = 1.0, neighbours: int = 2
) -> Divergence:
    """`kl` over the frames near a token of the teacher's."""
    _check_temperature(temperature)
    if neighbours < 0:
        raise ValueError(
            f"`neighbours` must be at least 0, but is {neighbours}"
        )
    return functools.partial(kl, temperature=temperature, neighbours=neighbours)


def make_l2() -> Divergence:
    """`l2`, which has no options."""
    return l2


def _check_temperature(temperature: float) -> None:
    """Raises unless a temperature is above 0."""
    if temperature <= 0:
        raise ValueError(f"`temperature` must be above 0, but is {temperature}")


#: By the name that an hparams file gives them.
DIVERGENCES: dict[str, Callable[..., Divergence]] = {
    "kl": make_kl,
    "near_tokens": make_near_tokens,
    "l2": make_l2,
}
