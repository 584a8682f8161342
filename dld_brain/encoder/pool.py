"""What stands between the layers and the head of a classification."""

from typing import Optional

import torch
from torch import nn

from dld_brain.audio.lengths import padding_mask


class MeanOverTime(nn.Module):
    """Mean over the valid frames: one vector for each utterance.

    SpeechBrain's `StatisticsPooling` adds noise to the mean, in inference
    as well, and goes through the batch one by one.

    Example
    -------
    >>> x = torch.tensor([[[1.0], [3.0], [8.0]]])
    >>> MeanOverTime()(x, torch.tensor([2]))
    (tensor([[[2.]]]), tensor([1]))
    """

    stride = 1  # its one vector is of no time

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Averages.

        Arguments
        ---------
        x : torch.Tensor
            [B, T, D].
        lengths : torch.Tensor
            Valid frames, [B].

        Returns
        -------
        tuple of torch.Tensor
            [B, 1, D], and ones, [B].
        """
        padding = padding_mask(lengths, x.shape[1]).unsqueeze(-1)
        total = x.masked_fill(padding, 0.0).sum(1, keepdim=True)
        return total / lengths.view(-1, 1, 1), torch.ones_like(lengths)


def make_pool(task: str) -> Optional[nn.Module]:
    """What stands between layers and head: of a classification, a mean.

    Example
    -------
    >>> make_pool("classification"), make_pool("transcription")
    (MeanOverTime(), None)
    """
    return MeanOverTime() if task == "classification" else None
