"""This model with these layers alone: a part."""

import copy
from collections.abc import Mapping, Sequence
from typing import Optional

import torch
from torch import nn

from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.stack import GatedLayers
from dld_brain.gates.layer_sets import Layers


def cut(model: DynamicEncoder, layers: Layers) -> DynamicEncoder:
    """The same model with some layers alone.

    Returns
    -------
    DynamicEncoder
        Stem and pool are those of the model, not copies.

    Raises
    ------
    ValueError
        If the layers by themselves are not what gates make of all.
    """
    model.layers.check_part(layers, model.n_total)
    found = copy.copy(model)
    found._modules = dict(model._modules)
    stack = copy.copy(model.layers)
    stack._modules = dict(stack._modules)
    stack.bypass = None  # no layer is closed
    stack.layers = nn.ModuleList(model.layers.layers[i] for i in layers)
    if model.layers.bypass is not None:
        folded = fold_bypass(model.state_dict(), layers, stack.layers[0])
        stack.layers = copy.deepcopy(stack.layers)
        for name, value in folded.items():
            if name.startswith(LAYERS):
                stack.layers.get_parameter(
                    name.removeprefix(LAYERS)
                ).data = value
    found.layers = stack
    found.head = folded_head(model.head, model.per_depth, len(layers))
    found.per_depth = found.router = None
    return found


def count_layers(state: Mapping[str, torch.Tensor]) -> int:
    """Layers in the stack of a model, by its weights.

    Example
    -------
    >>> count_layers({"layers.layers.0.w": 1, "layers.layers.1.w": 2})
    2
    """
    names = (name for name in state if name.startswith(LAYERS))
    return len({name.removeprefix(LAYERS).partition(".")[0] for name in names})


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


def fold_bypass(
    state: Mapping[str, torch.Tensor], layers: Sequence[int], layer: nn.Module
) -> dict[str, torch.Tensor]:
    """Puts the bypasses of layers that are left out into those in front.

    Exact: behind a kept layer comes the scale and shift of its norm, or of
    its own bypass, and what follows on these is a scale and shift, too.

    Arguments
    ---------
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


#: Where a DynamicEncoder has its layers, and what passes them by.
LAYERS, BYPASSES = "layers.layers.", "layers.bypass."


def folded_head(
    head: nn.Linear, per_depth: Optional[nn.ModuleList], n_layers: int
) -> nn.Linear:
    """The head of a model that has one depth alone.

    Arguments
    ---------
    per_depth : torch.nn.ModuleList, optional
        What the depths have of their own.

    Returns
    -------
    torch.nn.Linear
        The shared head itself, where depths have nothing of their own.
    """
    if per_depth is None:
        return head
    folded = nn.Linear(head.in_features, head.out_features)
    values = per_depth[n_layers - 1].fold(head.weight, head.bias)
    for parameter, value in zip((folded.weight, folded.bias), values):
        parameter.data.copy_(value)
    return folded.to(head.weight.device)


def layers_of(
    state: Mapping[str, torch.Tensor],
    layers: Layers,
    stack: GatedLayers,
) -> dict[str, torch.Tensor]:
    """Takes some layers out of a state dict and numbers them anew.

    The others' bypasses, if they have some, go into those that are kept.

    Raises
    ------
    ValueError
        If a bypass stands in front of the first layer that is kept.

    Example
    -------
    >>> stack = GatedLayers([torch.nn.Identity()])
    >>> layers_of({"layers.layers.4.w": 1, "head.w": 2}, (0, 4), stack)
    {'layers.layers.1.w': 1, 'head.w': 2}
    >>> heads = {"per_depth.1.bias": 1, "per_depth.3.bias": 2}
    >>> layers_of(heads, (0, 4), stack)
    {'per_depth.1.bias': 1}
    """
    numbered = {str(old): new for new, old in enumerate(layers)}
    numbers = {
        # Layers are numbered anew; depths, of which the deeper go, stay.
        LAYERS: numbered,
        BYPASSES: numbered,
        "per_depth.": {str(i): i for i in range(len(layers))},
    }
    found = {}
    for name, value in state.items():
        if name.startswith("router."):  # it decides on all layers
            continue
        for prefix, kept in numbers.items():
            if name.startswith(prefix):
                number, _, rest = name.removeprefix(prefix).partition(".")
                if number in kept:
                    found[f"{prefix}{kept[number]}.{rest}"] = value
                break
        else:
            found[name] = value
    return found | fold_bypass(state, layers, stack.layers[0])
