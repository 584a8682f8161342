"""This model with these layers alone: a part.

One algorithm, on state dicts: `part_state`. Everything that takes layers out
of a model loads what it gives, strictly.
"""

import copy
from collections.abc import Mapping

import torch

from dld_brain.encoder.closed import CLOSED, LAYERS
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.stack import GatedLayers
from dld_brain.gates.gates import Gates

#: What a DynamicEncoder may have beside the weights of the model that it
#: starts from.
DEPTH_HEADS, ROUTER = "per_depth.", "router."
HEAD, DECODER = "head.", "head.layers."
ADDED = (DEPTH_HEADS, ROUTER, CLOSED)


@torch.no_grad()
def part_of(model: DynamicEncoder, gates: Gates) -> DynamicEncoder:
    """A model that gives at full depth what another gives with these gates.

    It has that one depth: what the depth has of its own is in its head. A
    decoder behind the layers has those that its gates leave open.

    Returns
    -------
    DynamicEncoder
        Of copies: neither model changes with the other.

    Raises
    ------
    ValueError
        If the layers by themselves are not what gates make of all.
    """
    state = part_state(model.state_dict(), gates, model.layers)
    state = _alone(model, state, gates.depth)
    layers = [model.layers.layers[i] for i in gates.layers]
    parts = (model.stem, layers, model.layers.norm)
    stem, layers, norm = copy.deepcopy(parts)
    if gates.decoder is None:
        head = copy.deepcopy(model.head)
    else:
        head = model.head.part(gates.decoder)
    found = type(model)(
        stem,
        GatedLayers(layers, norm=norm),
        head,
        bias=copy.deepcopy(model.bias),
        pool=copy.deepcopy(model.pool),
    )
    found.load_state_dict(state, strict=True)
    return found.train(model.training)


def part_state(
    state: Mapping[str, torch.Tensor], gates: Gates, stack: GatedLayers
) -> dict[str, torch.Tensor]:
    """The weights of a model that has these layers, numbered anew.

    It can run at every depth up to theirs. What the layers that are left out
    did while they were closed goes into those that are kept; a router, which
    decides on all layers, is left out.

    Arguments
    ---------
    state : mapping of str to torch.Tensor
        Of the whole model.
    stack : GatedLayers
        Its stack, or one like it: says what closed layers do.

    Raises
    ------
    ValueError
        If the layers by themselves are not what gates make of all.

    Example
    -------
    >>> stack = GatedLayers([torch.nn.Identity()])
    >>> part_state({"layers.layers.4.w": 1}, Gates((0, 4), 5), stack)
    {'layers.layers.1.w': 1}
    >>> heads = {"per_depth.1.bias": 1, "per_depth.3.bias": 2, "head.w": 3}
    >>> part_state(heads, Gates((0, 4), 5), stack)
    {'per_depth.1.bias': 1, 'head.w': 3}
    """
    numbered = {str(old): new for new, old in enumerate(gates.layers)}
    numbers = {
        # Layers are numbered anew; depths, of which the deeper go, stay.
        LAYERS: numbered,
        CLOSED: numbered,
        DEPTH_HEADS: {str(i): i for i in range(gates.depth)},
    }
    found = {}
    if gates.decoder is not None:
        layers = gates.decoder.layers
        numbers[DECODER] = {str(old): new for new, old in enumerate(layers)}
    for name in state:  # of a file, what is left out is not read
        if name.startswith(ROUTER):
            continue
        for prefix, kept in numbers.items():
            if name.startswith(prefix):
                number, _, rest = name.removeprefix(prefix).partition(".")
                if number in kept:
                    found[f"{prefix}{kept[number]}.{rest}"] = state[name]
                break
        else:
            found[name] = state[name]
    return found | stack.closed[0].fold(state, gates, stack.layers[0])


def _alone(
    model: DynamicEncoder, state: Mapping[str, torch.Tensor], depth: int
) -> dict[str, torch.Tensor]:
    """Without what a model of one depth, all of it open, has no use for."""
    found = {k: v for k, v in state.items() if not k.startswith(ADDED)}
    if model.per_depth is not None:
        own = model.per_depth[depth - 1]
        weight, bias = own.fold(state["head.weight"], state["head.bias"])
        found |= {"head.weight": weight, "head.bias": bias}
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
