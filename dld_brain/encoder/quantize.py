"""int8 on the CPU, in torch."""

import warnings

import torch
from torch import nn
from torch.ao.quantization import per_channel_dynamic_qconfig


def quantize_linear(module: nn.Module) -> nn.Module:
    """Makes the linear layers of a module int8, in place.

    Weights are quantised once, with a scale for each row; activations at each
    call (torch's dynamic quantisation). What is no `torch.nn.Linear`,
    attention's projections of SpeechBrain's Conformer among them, stays as it
    is; a module that shares a weight with its projection is asked to `untie`
    it.

    Example
    -------
    >>> net = quantize_linear(nn.Sequential(nn.Linear(8, 8)))
    >>> net(torch.ones(1, 8)).shape
    torch.Size([1, 8])
    """
    devices = {p.device.type for p in module.parameters()}
    if devices - {"cpu"}:
        raise ValueError(
            f"int8 needs the model on the CPU, but it is on "
            f"{', '.join(sorted(devices))}"
        )
    for child in list(module.modules()):
        if hasattr(child, "untie"):
            child.untie()
    with warnings.catch_warnings():
        # torch.ao moves to torchao, which has no release for torch 2.11.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "torch.quantize_per", UserWarning)
        return torch.ao.quantization.quantize_dynamic(
            module,
            {nn.Linear: per_channel_dynamic_qconfig},
            dtype=torch.qint8,
            inplace=True,
        )
