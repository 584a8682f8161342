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
    if not re.fullmatch(r"cpu|(cuda|mps|xpu)(:(0|[1-9][0-9]{0,3}))?", name):
        raise ValueError(
            f"`device` must be auto, cpu, cuda or cuda:<n>, but is "
            f"{name[:40]!r}"
        )
    kind, _, number = name.partition(":")
    n_devices = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
        "xpu": torch.xpu.device_count(),
    }[kind]
    if int(number or 0) >= n_devices:
        raise ValueError(
            f"`device` must be there, but is {name}, and torch sees "
            f"{n_devices} of its kind: give --device=auto or cpu"
        )
    return name
