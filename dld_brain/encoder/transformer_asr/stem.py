"""The front of SpeechBrain's TransformerASR: from features to frames.

SpeechBrain's modules and weights. Its convolutions reflect the frames at the
end of the batch; here at the end of each utterance, so that it has in a batch
what it has alone.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from dld_brain.encoder.conformer import sinusoidal_positions
from speechbrain.lobes.models.convolution import ConvBlock, ConvolutionFrontEnd
from speechbrain.nnet.CNN import Conv2d


class TransformerASRStem(nn.Module):
    """Convolutions on the features, projection, positions if absolute."""

    min_frames = 1  # reflection gives the others

    def __init__(
        self,
        cnn: ConvolutionFrontEnd,
        project: nn.Module,
        has_positions: bool,
        is_frozen: bool,
    ) -> None:
        super().__init__()
        self.cnn, self.project = cnn, project
        self.has_positions = has_positions
        self.cnn.requires_grad_(not is_frozen)

    @property
    def stride(self) -> int:
        """Frames from one to the next."""
        modules = [m for b in self.cnn.children() for m in b.convs.children()]
        return math.prod(m.stride[0] for m in modules if isinstance(m, Conv2d))

    def forward(
        self, feats: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T, F] and frames [B] -> [B, T', D] and the frames there."""
        x = feats.unsqueeze(-1)
        for block in self.cnn.children():
            x, lengths = _run_block(block, x, lengths)
        x = self.project(x.flatten(2))  # [B, T', F', C] -> [B, T', D]
        if self.has_positions:
            x = x + sinusoidal_positions(x.shape[1], x.shape[2]).to(x)
        return x, lengths


def _run_block(
    block: ConvBlock, x: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, T, F, C] -> [B, T', F', C'], with its residual path."""
    y, y_lengths = _run(block.convs, x, lengths)
    if block.reduce_conv is not None:
        y = block.drop(y + _run(block.reduce_conv, x, lengths)[0])
    return y, y_lengths


def _run(
    modules: nn.Module, x: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Convolutions, and what looks at one frame at a time."""
    for module in modules.children():
        if not isinstance(module, Conv2d):
            x = module(x)
            continue
        kernel, stride = module.kernel_size[0], module.stride[0]
        reach = module.dilation[0] * (kernel - 1)
        # SpeechBrain's "same" forgets the dilation where there is a stride.
        n = kernel // 2 if stride > 1 else reach // 2
        x = reflect(x, lengths, n).transpose(1, -1)  # [B, C, F, T + 2 n]
        x = module.conv(F.pad(x, (0, 0, n, n), mode="reflect"))
        x = x.transpose(1, -1)
        lengths = (lengths + 2 * n - reach - 1) // stride + 1
    return x, lengths


def reflect(x: torch.Tensor, lengths: torch.Tensor, n: int) -> torch.Tensor:
    """Reflects the frames at both ends of each utterance, n of them.

    Of one that is shorter, again at the other end.

    Arguments
    ---------
    x : torch.Tensor
        [B, T, ...].
    lengths : torch.Tensor
        Valid frames, [B].

    Returns
    -------
    torch.Tensor
        [B, T + 2 n, ...].

    Example
    -------
    >>> reflect(torch.tensor([[1, 2, 3, 0]]), torch.tensor([3]), 1)
    tensor([[2, 1, 2, 3, 2, 1]])
    """
    frames = torch.arange(-n, x.shape[1] + n, device=x.device).abs()
    period = (2 * (lengths - 1)).clamp(min=1).unsqueeze(1)
    frames = frames.unsqueeze(0) % period
    frames = torch.minimum(frames, period - frames)
    frames = torch.minimum(frames, lengths.unsqueeze(1) - 1)  # of one alone
    return x[torch.arange(x.shape[0], device=x.device).unsqueeze(1), frames]
