"""Where a model is loaded from, and where it runs."""

import os
from pathlib import Path
from typing import Any, Optional, Union

from dld_brain.encoder.device import find_device
from pretrained_interfaces.inputs import check_source
from pretrained_interfaces.remote import fetch_folder
from pretrained_interfaces.shipped import shipped_model


def find_folder(source: Union[str, Path, None], *where: Any) -> tuple[str, str]:
    """The folder of a model, fetched from the Hub if it is there alone.

    Arguments
    ---------
    source : str or Path, optional
        Of the model that ships with this package if not given.
    *where
        Arguments of `fetch_folder` behind the source.

    Returns
    -------
    tuple of str
        The source, checked, and the folder; they are the same unless it was
        fetched.
    """
    source = check_source(shipped_model() if source is None else source)
    if Path(source).is_dir():
        return source, source
    return source, _fetched(source, *where)


def _fetched(source: str, *where: Any) -> str:
    """The folder of a model of the Hub; one line for both readings if none."""
    try:
        return fetch_folder(source, *where)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"`source` must be a folder or a model of the Hugging Face Hub, "
            f"but there is no folder {os.path.abspath(source)}, and {error}"
        ) from None


def run_options(
    run_opts: Optional[dict[str, Any]], device: Optional[str]
) -> dict[str, dict[str, Any]]:
    """`run_opts` of SpeechBrain, with a device that is there; {} if none is.

    Arguments
    ---------
    device : str, optional
        auto, cpu, cuda or cuda:<n>; that of `run_opts` if not given.
    """
    options = {**(run_opts or {})}
    device = options.get("device") if device is None else device
    if device is None:
        return {}
    return {"run_opts": {**options, "device": find_device(str(device))}}
