"""How sure an output is, before it is calibrated.

What an interface gives as confidence is `DepthTable.confidence` of the mean
probability: the share of the words that are to be expected to be right, or
how likely a label is.
"""

import torch

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.encoder import EncoderOutput


def mean_confidence(out: EncoderOutput) -> torch.Tensor:
    """Mean probability of the likeliest token.

    Returns
    -------
    torch.Tensor
        [B], in (0, 1].

    Example
    -------
    >>> log_probs = torch.tensor([[[0.75, 0.25], [0.5, 0.5]]]).log()
    >>> mean_confidence(EncoderOutput(log_probs, torch.tensor([2])))
    tensor([0.6250])
    """
    return mean_over_frames(out.log_probs.amax(-1).exp(), out.lengths)


def mean_entropy(out: EncoderOutput) -> torch.Tensor:
    """Mean entropy of the posterior of a frame: - sum p log p.

    Returns
    -------
    torch.Tensor
        [B], nats.

    Example
    -------
    >>> log_probs = torch.tensor([[[0.5, 0.5]]]).log()
    >>> mean_entropy(EncoderOutput(log_probs, torch.tensor([1])))
    tensor([0.6931])
    """
    entropy = torch.special.entr(out.log_probs.exp()).sum(-1)  # 0 log 0 = 0
    return mean_over_frames(entropy, out.lengths)


def mean_over_frames(
    values: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Mean over the valid frames.

    Arguments
    ---------
    values : torch.Tensor
        [B, T].
    lengths : torch.Tensor
        Valid frames, [B].

    Returns
    -------
    torch.Tensor
        [B].
    """
    padding = padding_mask(lengths, values.shape[1])
    return values.masked_fill(padding, 0.0).sum(1) / lengths
