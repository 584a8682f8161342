"""What a depth costs: parameters and multiply-accumulates that execute.

Authors
 * The dld_brain authors 2026
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dld_brain.encoders.gated import DynamicEncoder
from dld_brain.features import extract
from dld_brain.gates import Gates

#: Audio that multiply-accumulates are counted on, seconds. Attention grows
#: with the square of the length: a count holds for this one.
MACS_SECONDS = 10


def executed_params(model: DynamicEncoder, gates: Gates) -> int:
    """Parameters that take part at a depth: all but the closed layers'.

    Arguments
    ---------
    model : DynamicEncoder
        The model.
    gates : tuple of bool
        One gate for each layer.

    Returns
    -------
    int

    Example
    -------
    >>> from dld_brain.encoders.gated import GatedLayers
    >>> layers = GatedLayers([nn.Linear(2, 2) for _ in range(3)])
    >>> model = DynamicEncoder(nn.Identity(), layers, nn.Linear(2, 1))
    >>> executed_params(model, (True, False, False))
    9
    """
    total = sum(p.numel() for p in model.parameters())
    for layer, is_open in zip(model.layers.layers, gates):
        if not is_open:
            total -= sum(p.numel() for p in layer.parameters())
            if model.layers.closed == "norm":
                total += sum(p.numel() for p in layer.final_norm.parameters())
    return total


@torch.no_grad()
def macs_by_part(
    modules: Mapping[str, nn.Module], gates: Gates, sample_rate: int
) -> dict[str, float]:
    """Multiply-accumulates of the encoder for one second of audio.

    Counted by torch's FlopCounterMode on `MACS_SECONDS` of audio: matrix
    products and convolutions from the stem on; the features, norms and
    activations are not counted, as is usual.

    Arguments
    ---------
    modules : mapping of str to torch.nn.Module
        Has `compute_features`, `normalize` and `model`.
    gates : tuple of bool
        One gate for each layer.
    sample_rate : int
        Rate of the audio, Hz.

    Returns
    -------
    dict of str to float
        Of "stem", "layers" and "head": the stem does not shrink with depth.
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
        x = count("layers", model.run_layers, x, lengths, gates)
        count("head", model.run_head, x, lengths)
    return macs
