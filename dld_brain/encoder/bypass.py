"""What a closed layer does where it does not just pass its input on."""

import torch
from torch import nn


class Bypass(nn.Module):
    """Scales and shifts what passes a closed layer by: (1 + s) x + t.

    It is the identity when made. Layers behind a gap were trained for what
    the layers in it give: with 2 D parameters a layer, each gap has a
    LayerNorm of its own, as the sub-models of slimmable networks have batch
    norms (https://arxiv.org/abs/1812.08928); to have it behind gaps alone is
    ours. A model of one depth needs none, `fold_bypass`.

    Example
    -------
    >>> x = torch.randn(1, 5, 4)
    >>> torch.equal(Bypass(4)(x), x)
    True
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(d_model))
        self.shift = nn.Parameter(torch.zeros(d_model))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Passes a layer by.

        Arguments
        ---------
        x : torch.Tensor
            Its input, [B, T, D].

        Returns
        -------
        torch.Tensor
            [B, T, D].
        """
        return torch.addcmul(self.shift, x, 1 + self.scale)
