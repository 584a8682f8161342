"""Parameters of each depth's own, in front of, or beside, the shared head.

All are zero when made: a student that starts from a teacher starts as the
teacher. A model of one depth needs none: `DepthHead.fold` puts them into its head.
"""

from typing import Optional

import torch
import torch.nn.functional as F
from torch import nn

#: Parameters of a depth, by what it has of its own: names and shapes, of the
#: head's outputs V and the width D.
KINDS = {"bias": {"bias": "V"}, "norm": {"scale": "D", "shift": "D"}}
KINDS["head"] = {"weight": "VD", "bias": "V"}


class DepthHead(nn.Module):
    """What one depth has of its own: head((1 + s) x + t) + W x + b.

    Of kind "norm", s and t: on top of those of the norm that the last layer
    ends with, a LayerNorm of the depth's own (slimmable networks,
    https://arxiv.org/abs/1812.08928, have batch norms so). Of kind "head", W
    and b: as the exits of an early-exit Conformer have
    (https://arxiv.org/abs/2309.09546), but for the sum with the shared head,
    which is ours, so that it starts as that. Of kind "bias", b.
    """

    def __init__(self, kind: str, d_model: int, vocab_size: int) -> None:
        super().__init__()
        sizes = {"D": d_model, "V": vocab_size}
        for name in ("scale", "shift", "weight", "bias"):
            shape = [sizes[letter] for letter in KINDS[kind].get(name, "")]
            parameter = nn.Parameter(torch.zeros(shape)) if shape else None
            self.register_parameter(name, parameter)

    def forward(self, head: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Runs the head.

        Arguments
        ---------
        x : torch.Tensor
            [B, T', D].

        Returns
        -------
        torch.Tensor
            [B, T', V].
        """
        if self.scale is not None:
            return head(torch.addcmul(self.shift, x, 1 + self.scale))
        if self.weight is not None:
            return head(x) + F.linear(x, self.weight, self.bias)
        return head(x) + self.bias

    def fold(
        self, weight: torch.Tensor, bias: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What a head has that gives the same.

        Arguments
        ---------
        weight : torch.Tensor
            Of the shared head, [V, D].
        bias : torch.Tensor
            Of the shared head, [V].
        """
        if self.scale is not None:
            return weight * (1 + self.scale), bias + weight @ self.shift
        if self.weight is not None:
            weight = weight + self.weight
        return weight, bias + self.bias


def make_per_depth(
    kind: str, n_total: int, d_model: int, vocab_size: int
) -> Optional[nn.ModuleList]:
    """Makes what each depth has of its own.

    Arguments
    ---------
    kind : str
        none, bias (V parameters a depth), norm (2 D) or head (V D + V).

    Returns
    -------
    torch.nn.ModuleList
        That of depth n is its entry n - 1; None if there is none.

    Example
    -------
    >>> own = make_per_depth("norm", n_total=3, d_model=4, vocab_size=5)
    >>> x, head = torch.randn(1, 2, 4), nn.Linear(4, 5)
    >>> torch.equal(own[1](head, x), head(x))  # as long as it is not trained
    True
    """
    if kind == "none":
        return None
    if kind not in KINDS:
        raise ValueError(
            f"`per_depth` must be none, {', '.join(KINDS)}, but is {kind!r}"
        )
    return nn.ModuleList(
        DepthHead(kind, d_model, vocab_size) for _ in range(n_total)
    )
