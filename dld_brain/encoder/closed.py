"""What a closed layer does: its input passes on, as it is or changed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Optional

import torch
from torch import nn

from dld_brain.gates.gates import Gates

#: Where the state dict of a DynamicEncoder has its layers, and what stands
#: in for them while they are closed.
LAYERS, CLOSED = "layers.layers.", "layers.closed."
State = Mapping[str, torch.Tensor]


class Closed(nn.Module, ABC):
    """What one layer does while it is closed."""

    @abstractmethod
    def forward(self, x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
        """Passes the layer by, [B, T, D] -> [B, T, D]."""

    @abstractmethod
    def n_params(self, layer: nn.Module) -> int:
        """Parameters that take part while the layer is closed."""

    @staticmethod
    @abstractmethod
    def fold(
        state: State, gates: Gates, layer: nn.Module
    ) -> dict[str, torch.Tensor]:
        """Entries of the layers of a part that change, by their new numbers.

        What the layers that are left out did goes into those in front.

        Arguments
        ---------
        state : mapping of str to torch.Tensor
            Of the whole model.
        layer : torch.nn.Module
            One of its layers, or one like them.

        Raises
        ------
        ValueError
            If no part can do what the model does with these gates.
        """


class Identity(Closed):
    """Passes the input on as it is (DLD, eq. 1)."""

    def forward(self, x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]."""
        return x

    def n_params(self, layer: nn.Module) -> int:
        """None."""
        return 0

    @staticmethod
    def fold(
        state: State, gates: Gates, layer: nn.Module
    ) -> dict[str, torch.Tensor]:
        """Nothing changes."""
        return {}


class KeepNorm(Closed):
    """Applies the layer's `final_norm` alone: LDASR, the authors' earlier code."""

    def forward(self, x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]."""
        return layer.final_norm(x)

    def n_params(self, layer: nn.Module) -> int:
        """Those of the norm."""
        return sum(p.numel() for p in layer.final_norm.parameters())

    @staticmethod
    def fold(
        state: State, gates: Gates, layer: nn.Module
    ) -> dict[str, torch.Tensor]:
        """Raises unless all layers stay: a part has not the norms of others."""
        if not gates.is_full:
            raise ValueError(
                f"a model whose closed layers keep their norm (closed=norm) "
                f"must stay whole, but {gates.depth} of {gates.n_total} layers "
                f"were asked for: run it at that depth, or train with "
                f"closed=identity or affine"
            )
        return {}


class ScaleShift(Closed):
    """Scales and shifts the input: (1 + s) x + t.

    It is the identity when made. Layers behind a gap were trained for what
    the layers in it give: with 2 D parameters a layer, each gap has a
    LayerNorm of its own, as the sub-models of slimmable networks have batch
    norms (https://arxiv.org/abs/1812.08928); to have it behind gaps alone is
    ours.

    Example
    -------
    >>> x = torch.randn(1, 5, 4)
    >>> torch.equal(ScaleShift(4)(x, nn.Identity()), x)
    True
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(d_model))
        self.shift = nn.Parameter(torch.zeros(d_model))

    def forward(self, x: torch.Tensor, layer: nn.Module) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]."""
        return torch.addcmul(self.shift, x, 1 + self.scale)

    def n_params(self, layer: nn.Module) -> int:
        """Scale and shift, 2 D."""
        return self.scale.numel() + self.shift.numel()

    @staticmethod
    def fold(
        state: State, gates: Gates, layer: nn.Module
    ) -> dict[str, torch.Tensor]:
        """Goes into the norm, or the scale and shift, of the layer in front.

        Exact: behind a kept layer comes the scale and shift of its norm, or
        of its own, and what follows on these is a scale and shift, too.

        Raises
        ------
        ValueError
            If no layer stands in front of one that is left out.
        """
        if not gates.is_open(0):
            raise ValueError(
                f"a part of a model with closed=affine must have layer 0, "
                f"which takes over what the layers behind it did, but has "
                f"{gates.layers}: choose layers with --selection=even or "
                f"trained"
            )
        weight_name, bias_name = norm_names(layer)
        ends = (*gates.layers[1:], gates.n_total)
        found = {}
        for new, (old, end) in enumerate(zip(gates.layers, ends)):
            weight = state[f"{LAYERS}{old}.{weight_name}"]
            bias = state[f"{LAYERS}{old}.{bias_name}"]
            scale, shift = _scale_and_shift(state, old)
            for gone in range(old + 1, end):
                factor, offset = _scale_and_shift(state, gone)
                weight, bias = weight * factor, bias * factor + offset
                scale, shift = scale * factor, shift * factor + offset
            found[f"{LAYERS}{new}.{weight_name}"] = weight
            found[f"{LAYERS}{new}.{bias_name}"] = bias
            found[f"{CLOSED}{new}.scale"] = scale - 1
            found[f"{CLOSED}{new}.shift"] = shift
        return found


def make_closed(kind: str, d_model: Optional[int] = None) -> Closed:
    """Makes what one layer does while it is closed.

    Arguments
    ---------
    kind : str
        identity, norm or affine.
    d_model : int, optional
        Width, D; affine needs it.

    Example
    -------
    >>> make_closed("norm")
    KeepNorm()
    """
    kinds = ("identity", "norm", "affine")
    if kind not in kinds:
        raise ValueError(f"`closed` must be one of {kinds}, but is {kind!r}")
    if kind == "affine":
        if d_model is None:
            raise ValueError("`d_model` must be given with closed=affine")
        return ScaleShift(d_model)
    return Identity() if kind == "identity" else KeepNorm()


def norm_names(layer: nn.Module) -> tuple[str, str]:
    """Names, in a layer, of scale and shift of the norm that it ends with.

    Example
    -------
    >>> from dld_brain.encoder.conformer import conformer_layers
    >>> norm_names(conformer_layers(1, 16, 32, n_heads=2)[0])
    ('norm2.norm.weight', 'norm2.norm.bias')
    """
    names = {id(p): name for name, p in layer.named_parameters()}
    weight, bias = layer.final_norm.parameters()
    return names[id(weight)], names[id(bias)]


def _scale_and_shift(
    state: State, layer: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """1 + s and t of a layer, [D]."""
    scale = state[f"{CLOSED}{layer}.scale"]
    return 1 + scale, state[f"{CLOSED}{layer}.shift"]
