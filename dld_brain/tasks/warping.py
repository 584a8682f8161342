"""When tokens were said, by what a decoder looked at while it wrote them.

The method of openai-whisper (timing.py of release 20250625): attention of the
heads that follow the speech, normalised, smoothed by a median, and dynamic
time warping. Checked against it, and against transformers, in
tests/tasks/test_warping.py.
"""

import numpy as np
import torch

#: Frames that a median is taken of.
WIDTH = 7


def smoothed(weights: torch.Tensor, width: int = WIDTH) -> torch.Tensor:
    """The median of each frame and its neighbours, [..., T] -> [..., T].

    Arguments
    ---------
    width : int
        Frames of a median, odd. At its ends the signal is mirrored; a signal
        of half of them is left as it is.

    Example
    -------
    >>> smoothed(torch.tensor([[0.0, 9, 0, 1, 1]]), width=3)
    tensor([[9., 0., 1., 1., 1.]])
    """
    side = width // 2
    if weights.shape[-1] <= side:
        return weights
    flat = weights.reshape(1, -1, weights.shape[-1])
    flat = torch.nn.functional.pad(flat, (side, side), mode="reflect")
    return flat.unfold(-1, width, 1).median(-1).values.view(weights.shape)


def closeness(weights: torch.Tensor) -> torch.Tensor:
    """How much rather a token than the others looks at a frame.

    Arguments
    ---------
    weights : torch.Tensor
        Attention of heads, [H, U, T'].

    Returns
    -------
    torch.Tensor
        Mean over the heads, each normalised over the tokens, [U, T'].
    """
    std, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    least = torch.finfo(std.dtype).tiny  # of a head that looks at all alike
    return smoothed((weights - mean) / std.clamp_min(least)).mean(0)


def first_frames(weights: torch.Tensor, n_prompt: int) -> list[int]:
    """The frame that each token begins with, and the end behind them.

    Arguments
    ---------
    weights : torch.Tensor
        Attention of heads while prompt, text and end were read,
        [H, P + U + 1, T'].
    n_prompt : int
        Tokens in front of the text, P; the last of them is where its first
        token is said.

    Returns
    -------
    list of int
        Of U tokens and of the end, rising.
    """
    near = closeness(weights)[n_prompt - 1 : -1]
    return warped(-near.double().cpu().numpy()).tolist()


def warped(costs: np.ndarray) -> np.ndarray:
    """The first frame of each token on the cheapest path: time warping.

    A path goes from the first token and frame to the last ones, a step in
    tokens, in frames or in both at once. The costs of a diagonal depend on
    the two before it alone, and are computed together.

    Arguments
    ---------
    costs : numpy.ndarray
        Of a token being said in a frame, [U, T'].

    Returns
    -------
    numpy.ndarray
        Frames, that never fall, [U].

    Example
    -------
    >>> warped(np.array([[0, 0, 9, 9], [9, 9, 0, 0]]))
    array([0, 2])
    """
    n_tokens, n_frames = costs.shape
    # float32, and the same choice between equals, as in openai-whisper
    total = np.full((n_tokens + 1, n_frames + 1), np.inf, dtype=np.float32)
    total[0, 0] = 0.0
    came = np.zeros(total.shape, dtype=np.int8)
    flat, steps = total.reshape(-1), came.reshape(-1)
    own = np.pad(costs.astype(np.float64), ((1, 0), (1, 0))).reshape(-1)
    width = n_frames + 1
    for k in range(2, n_tokens + n_frames + 1):
        first, last = max(1, k - n_frames), min(n_tokens, k - 1)
        here = np.arange(first, last + 1) * (width - 1) + k
        both, token, frame = (
            flat[here - back] for back in (width + 1, width, 1)
        )
        is_both = (both < token) & (both < frame)
        is_token = (token < both) & (token < frame)
        steps[here] = np.where(is_both, BOTH, np.where(is_token, TOKEN, FRAME))
        best = np.where(is_both, both, np.where(is_token, token, frame))
        flat[here] = own[here] + best
    return _first_frames(came)


#: Steps of a path: to the next token and frame, to the next token, frame.
BOTH, TOKEN, FRAME = 0, 1, 2


def _first_frames(came: np.ndarray) -> np.ndarray:
    """Walks a path back, by the step that leads to each place of it."""
    i, j = came.shape[0] - 1, came.shape[1] - 1
    came[0, :], came[:, 0] = FRAME, TOKEN
    found = np.zeros(i, dtype=np.int64)
    while i > 0 and j > 0:
        found[i - 1] = j - 1  # the last that is written is the first frame
        step = came[i, j]
        i -= step != FRAME
        j -= step != TOKEN
    return found
