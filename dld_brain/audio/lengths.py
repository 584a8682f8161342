"""Lengths: relative ones made whole, and what is padding."""

import torch


def padding_mask(lengths: torch.Tensor, max_length: int) -> torch.Tensor:
    """Marks the frames that are padding.

    Arguments
    ---------
    lengths : torch.Tensor
        Valid frames of each utterance, [B], whole numbers.

    Returns
    -------
    torch.Tensor
        [B, T], true where a frame is padding.

    Example
    -------
    >>> padding_mask(torch.tensor([1, 3]), 3)
    tensor([[False,  True,  True],
            [False, False, False]])
    """
    frames = torch.arange(max_length, device=lengths.device)
    return frames.unsqueeze(0) >= lengths.unsqueeze(1)


def absolute_lengths(rel_lens: torch.Tensor, n_max: int) -> torch.Tensor:
    """Turns SpeechBrain's relative lengths into whole numbers.

    Arguments
    ---------
    rel_lens : torch.Tensor
        Lengths relative to the longest, [B].

    Returns
    -------
    torch.Tensor
        [B], whole numbers.

    Example
    -------
    >>> absolute_lengths(torch.tensor([1.0, 1 / 3]), 9)
    tensor([9, 3])
    """
    # Single precision is off by half a sample from 2 ** 23 on (9 minutes).
    return (rel_lens.double() * n_max).round().long()
