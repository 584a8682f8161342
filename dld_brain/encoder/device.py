"""Where an encoder runs."""

import re

import torch


def find_device(name: str) -> str:
    """The device of a name; `auto` is the GPU where there is one.

    Raises
    ------
    ValueError
        If torch knows no such device, or it is not there.

    Example
    -------
    >>> find_device("gpu")
    Traceback (most recent call last):
    ...
    ValueError: `device` must be auto, cpu, cuda or cuda:<n>, but is 'gpu'
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|(cuda|mps|xpu)(:\d+)?", name):
        raise ValueError(
            f"`device` must be auto, cpu, cuda or cuda:<n>, but is {name!r}"
        )
    kind, _, number = name.partition(":")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"`device` must be there, but is {name}, and torch sees "
            f"{torch.cuda.device_count()} GPUs: give --device=auto or cpu"
        )
    return name
