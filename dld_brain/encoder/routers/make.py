"""Makes the router that an hparams file names."""

from typing import Optional

from dld_brain.encoder.routers.base import Router
from dld_brain.encoder.routers.of_input import InputRouter
from dld_brain.encoder.routers.of_layers import LayerMask, RelaxedTopK


def make_router(
    kind: str,
    n_total: int,
    d_model: int,
    per_depth: str = "none",
    min_layers: int = 2,
    anneal_steps: int = 100,
) -> Optional[Router]:
    """Makes a router.

    Arguments
    ---------
    per_depth : str
        What each depth has of its own: none, where a router decides.
    min_layers : int
        Of top_k, where k ends; of mask, how many layers it opens.
    anneal_steps : int
        Of top_k: optimizer steps from one k to the next.

    Raises
    ------
    ValueError
        If there is no such kind, or it does not go with `per_depth`.

    Example
    -------
    >>> make_router("mask", n_total=3, d_model=4)
    LayerMask()
    """
    kinds = {
        "none": lambda: None,
        "top_k": lambda: RelaxedTopK(n_total, min_layers, anneal_steps),
        "mask": lambda: LayerMask(n_total, min_layers),
        "global": lambda: InputRouter(n_total, d_model, "global"),
        "local": lambda: InputRouter(n_total, d_model, "local"),
    }
    if kind not in kinds:
        raise ValueError(
            f"`router` must be one of {', '.join(kinds)}, but is {kind!r}"
        )
    if kind != "none" and per_depth != "none":
        raise ValueError(
            f"`per_depth` must be none with a router, whose depth differs "
            f"from utterance to utterance, but is {per_depth!r}"
        )
    return kinds[kind]()
