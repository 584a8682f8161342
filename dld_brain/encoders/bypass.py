"""What a closed layer does where it does not just pass its input on.

Authors
 * The dld_brain authors 2026
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

#: Where a DynamicEncoder has its layers, and what passes them by.
LAYERS, BYPASSES = "layers.layers.", "layers.bypass."


class Bypass(nn.Module):
    """Scales and shifts what passes a closed layer by: (1 + s) x + t.

    It is the identity when made. Layers behind a gap were trained for what
    the layers in it give: with 2 D parameters a layer, each gap has a
    LayerNorm of its own, as the sub-models of slimmable networks have batch
    norms (https://arxiv.org/abs/1812.08928); to have it behind gaps alone is
    ours. A model of one depth needs none, `fold_bypass`.

    Arguments
    ---------
    d_model : int
        Width, D.

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


def count_layers(state: Mapping[str, torch.Tensor]) -> int:
    """Layers in the stack of a model, by its weights.

    Arguments
    ---------
    state : mapping of str to torch.Tensor
        Of a DynamicEncoder.

    Returns
    -------
    int

    Example
    -------
    >>> count_layers({"layers.layers.0.w": 1, "layers.layers.1.w": 2})
    2
    """
    names = (name for name in state if name.startswith(LAYERS))
    return len({name.removeprefix(LAYERS).partition(".")[0] for name in names})


def norm_names(layer: nn.Module) -> tuple[str, str]:
    """Names, in a layer, of scale and shift of the norm that it ends with.

    Arguments
    ---------
    layer : torch.nn.Module
        Has `final_norm`.

    Returns
    -------
    tuple of str

    Example
    -------
    >>> from dld_brain.encoders.conformer import conformer_layers
    >>> norm_names(conformer_layers(1, 16, 32, n_heads=2)[0])
    ('norm2.norm.weight', 'norm2.norm.bias')
    """
    names = {id(p): name for name, p in layer.named_parameters()}
    weight, bias = layer.final_norm.parameters()
    return names[id(weight)], names[id(bias)]


def fold_bypass(
    state: Mapping[str, torch.Tensor], layers: Sequence[int], layer: nn.Module
) -> dict[str, torch.Tensor]:
    """Puts the bypasses of layers that are left out into those in front.

    Exact: behind a kept layer comes the scale and shift of its norm, or of
    its own bypass, and what follows on these is a scale and shift, too.

    Arguments
    ---------
    state : mapping of str to torch.Tensor
        Of a DynamicEncoder.
    layers : sequence of int
        Layers that are kept.
    layer : torch.nn.Module
        One of them, or one like them.

    Returns
    -------
    dict of str to torch.Tensor
        Entries of the kept layers that change, by their new numbers; empty
        for a model without bypasses.

    Raises
    ------
    ValueError
        If layers in front of the first that is kept have a bypass.
    """
    if not any(name.startswith(BYPASSES) for name in state):
        return {}
    n_total = count_layers(state)
    if layers[0] != 0:
        raise ValueError(
            f"a part of a model with closed=affine must have layer 0, which "
            f"takes over what the layers behind it did, but has {layers}: "
            f"choose layers with layer_selection=even or trained"
        )
    norm = norm_names(layer)
    found = {}
    for new, (old, end) in enumerate(zip(layers, (*layers[1:], n_total))):
        weight, bias = (state[f"{LAYERS}{old}.{name}"] for name in norm)
        scale = 1 + state[f"{BYPASSES}{old}.scale"]
        shift = state[f"{BYPASSES}{old}.shift"]
        for gone in range(old + 1, end):
            factor = 1 + state[f"{BYPASSES}{gone}.scale"]
            offset = state[f"{BYPASSES}{gone}.shift"]
            weight, bias = weight * factor, bias * factor + offset
            scale, shift = scale * factor, shift * factor + offset
        found[f"{LAYERS}{new}.{norm[0]}"] = weight
        found[f"{LAYERS}{new}.{norm[1]}"] = bias
        found[f"{BYPASSES}{new}.scale"] = scale - 1
        found[f"{BYPASSES}{new}.shift"] = shift
    return found
