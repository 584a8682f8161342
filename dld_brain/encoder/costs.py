"""What a depth costs: parameters and multiply-accumulates that execute."""

from collections.abc import Callable, Mapping
from typing import Any, Optional

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dld_brain.audio.features import extract
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.gates.gates import Gates

#: Audio that multiply-accumulates are counted on, seconds. Attention grows
#: with the square of the length: a count holds for this one.
MACS_SECONDS = 10
#: Where the work is.
PARTS = ("stem", "layers", "head")


def executed_params(model: DynamicEncoder, gates: Gates) -> int:
    """Parameters that take part at a depth.

    All but those of closed layers, a decoder's among them, of the other
    depths' own, and of what stands in for open layers.

    Example
    -------
    >>> from dld_brain.encoder.stack import GatedLayers
    >>> layers = GatedLayers([nn.Linear(2, 2) for _ in range(3)])
    >>> model = DynamicEncoder(nn.Identity(), layers, nn.Linear(2, 1))
    >>> executed_params(model, Gates((0,), 3))
    9
    """
    stack = model.layers
    always = (model.stem, stack.norm, model.head, model.bias, model.pool)
    total = sum(n_params(part) for part in always if part is not None)
    if model.per_depth is not None:
        total += n_params(model.per_depth[gates.depth - 1])
    if gates.decoder is not None:
        decoder = enumerate(model.head.layers)
        is_open = gates.decoder.is_open
        total -= sum(n_params(y) for i, y in decoder if not is_open(i))
    for i, (layer, closed) in enumerate(zip(stack.layers, stack.closed)):
        is_open = gates.is_open(i)
        total += n_params(layer) if is_open else closed.n_params(layer)
    return total


def n_params(module: nn.Module) -> int:
    """Parameters of a module."""
    return sum(p.numel() for p in module.parameters())


@torch.no_grad()
def macs_by_part(
    modules: Mapping[str, nn.Module],
    sample_rate: int,
    decoder: Optional[Gates] = None,
) -> dict[str, float]:
    """Multiply-accumulates of the encoder for one second of audio.

    At full depth; the layers are alike, so that n of L take n / L of the
    layers' part. Counted by torch's FlopCounterMode on `MACS_SECONDS` of
    audio: matrix products and convolutions from the stem on; the features,
    norms and activations are not counted, as is usual.

    Arguments
    ---------
    sample_rate : int
        Rate of the audio, Hz.
    decoder : Gates, optional
        Of a decoder as the head; all open if not given.

    Returns
    -------
    dict of str to float
        Of each of `PARTS`: the stem does not shrink with depth.
    """
    model = modules["model"]
    device = next(model.parameters()).device
    wavs = torch.zeros(1, MACS_SECONDS * sample_rate, device=device)
    feats, lengths = extract(modules, wavs, torch.ones(1, device=device))
    macs = {}

    def count(part: str, run: Callable[..., Any], *args: Any) -> Any:
        """Runs a part and counts it."""
        with FlopCounterMode(display=False) as counter:
            out = run(*args)
        macs[part] = counter.get_total_flops() / 2 / MACS_SECONDS
        return out

    # The counter knows the products of the math backend on every device.
    with sdpa_kernel(SDPBackend.MATH):
        x, lengths = count("stem", model.stem, feats, lengths)
        x = count("layers", model.run_layers, x, lengths)
        count("head", model.run_typical_head, x, lengths, decoder)
    return macs


def macs_at(
    full: Mapping[str, float], n_layers: int, n_total: int
) -> dict[str, float]:
    """Multiply-accumulates at a depth, of those at full depth.

    Example
    -------
    >>> macs_at({"stem": 1.0, "layers": 12.0, "head": 0.5}, 3, 12)
    {'stem': 1.0, 'layers': 3.0, 'head': 0.5}
    """
    return {**full, "layers": full["layers"] * n_layers / n_total}
