"""Sinusoids of relative and rotary positions, which belong to no layer."""

import torch
from torch import nn

BASE = 10000.0


class RelativePositions(nn.Module):
    """Of every distance, sines and cosines in turn: Transformer-XL's.

    https://arxiv.org/abs/1901.02860, section 3.3. The layers project them.

    Example
    -------
    >>> RelativePositions(16)(5).shape
    torch.Size([1, 9, 16])
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        rates = BASE ** -(torch.arange(0, d_model, 2).float() / d_model)
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, n_frames: int) -> torch.Tensor:
        """From T - 1 frames before to T - 1 after, [1, 2 T - 1, D]."""
        distances = torch.arange(
            n_frames - 1, -n_frames, -1, device=self.rates.device
        )
        angles = distances.unsqueeze(1) * self.rates
        pairs = torch.stack((angles.sin(), angles.cos()), dim=-1)
        return pairs.flatten(1).unsqueeze(0)


class RotaryPositions(nn.Module):
    """Cosines and sines that turn queries and keys.

    RoFormer, https://arxiv.org/abs/2104.09864.

    Arguments
    ---------
    width : int
        Of a head.

    Example
    -------
    >>> RotaryPositions(8)(5).shape
    torch.Size([2, 5, 1, 1, 8])
    """

    def __init__(self, width: int, base: float = BASE) -> None:
        super().__init__()
        rates = base ** -(torch.arange(0, width, 2).float() / width)
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, n_frames: int) -> torch.Tensor:
        """[2, T, 1, 1, D / H]: cosines, sines."""
        frames = torch.arange(n_frames, device=self.rates.device)
        angles = (frames.unsqueeze(1) * self.rates).repeat(1, 2)
        return torch.stack((angles.cos(), angles.sin()))[:, :, None, None]
