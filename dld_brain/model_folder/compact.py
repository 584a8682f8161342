"""Weights in fewer bytes on disk: float16 or int8; float32 once they are read.

int8: rows of matrices are whole numbers from -127 to 127 and a scale. A scale
is bfloat16, whose 8 bits times their 7 are exact in float32: what is read,
written so again, is the same to the last bit.
"""

from typing import Optional

import torch

DTYPES = ("float16", "int8")
#: Behind the name of an int8 tensor, that of its scales; no module is so named.
SCALE = ":scale"
LARGEST = 127
#: Shorter rows stay float16: a scale of their own would save little.
SHORTEST = 64


def compact_state(
    module: torch.nn.Module, dtype: str
) -> dict[str, torch.Tensor]:
    """The state of a module in fewer bytes.

    Arguments
    ---------
    dtype : str
        float16, or int8: then matrices and kernels are int8, and the rest,
        buffers and vectors, float16.

    Raises
    ------
    ValueError
        If `dtype` is neither.

    Example
    -------
    >>> state = compact_state(torch.nn.Linear(64, 2), "int8")
    >>> {name: str(value.dtype) for name, value in state.items()}
    {'weight': 'torch.int8', 'weight:scale': 'torch.bfloat16', 'bias': 'torch.float16'}
    """
    if dtype not in DTYPES:
        raise ValueError(
            f"`dtype` must be {' or '.join(DTYPES)}, but is {dtype!r}"
        )
    matrices = {
        name
        for name, p in module.named_parameters(remove_duplicate=False)
        if dtype == "int8" and _has_rows(p)
    }
    found = {}
    for name, value in module.state_dict().items():
        value = value.detach().cpu().contiguous()
        if name in matrices:
            found[name], found[f"{name}{SCALE}"] = quantised(value)
        else:
            found[name] = _halved(value)
    return found


def quantised(value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 and the scales of its rows, [N, ...] and [N].

    Example
    -------
    >>> quantised(torch.tensor([[127.0, -3.4], [0.0, 0.0]]))[0]
    tensor([[127,  -3],
            [  0,   0]], dtype=torch.int8)
    """
    rows = value.float().flatten(1)
    scale = (rows.abs().amax(1) / LARGEST).bfloat16()
    divisor = scale.float().where(scale > 0, 1.0).unsqueeze(1)
    whole = (rows / divisor).round().clamp(-LARGEST, LARGEST)
    return whole.to(torch.int8).view_as(value), scale


def expanded(
    name: str, value: torch.Tensor, scale: Optional[torch.Tensor]
) -> torch.Tensor:
    """A tensor of a file as a module has it.

    Arguments
    ---------
    scale : torch.Tensor, optional
        Of an int8 one, [N].

    Raises
    ------
    ValueError
        If value and scale do not belong together.
    """
    if scale is None:
        is_half = value.dtype in (torch.float16, torch.bfloat16)
        return value.float() if is_half else value
    is_fit = value.dtype == torch.int8 and scale.dtype == torch.bfloat16
    if not (is_fit and value.ndim > 1 and scale.shape == value.shape[:1]):
        raise ValueError(
            f"{name} must be int8 with a bfloat16 scale for each row, but is "
            f"{value.dtype} {list(value.shape)[:6]} with {scale.dtype} "
            f"{list(scale.shape)[:6]}"
        )
    return value * scale.float().view(-1, *[1] * (value.ndim - 1))


def _has_rows(value: torch.Tensor) -> bool:
    """Whether it has several rows, and long ones."""
    return value.ndim > 1 and value.numel() >= SHORTEST * len(value) > SHORTEST


def _halved(value: torch.Tensor) -> torch.Tensor:
    """float16 of what is floating and within its range."""
    if not value.is_floating_point():
        return value
    half = value.half()
    return half if half.isfinite().all() else value
