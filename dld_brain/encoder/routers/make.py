"""Makes the router that an hparams file names."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Optional, Union

from dld_brain.encoder.routers.base import Router
from dld_brain.encoder.routers.of_input import InputRouter
from dld_brain.encoder.routers.of_layers import LayerMask, RelaxedTopK


def global_router(n_total: int, d_model: int, hidden: int = 32) -> Router:
    """Looks at the input of the encoder once."""
    return InputRouter(n_total, d_model, "global", hidden)


def local_router(n_total: int, d_model: int, hidden: int = 32) -> Router:
    """Looks at the input of each layer."""
    return InputRouter(n_total, d_model, "local", hidden)


#: What each takes beside `n_total` and `d_model` are its options.
ROUTERS: dict[str, Optional[Callable[..., Router]]] = {
    "none": None,
    "top_k": RelaxedTopK,
    "mask": LayerMask,
    "global": global_router,
    "local": local_router,
}


def make_router(
    router: Union[str, Mapping[str, Any]],
    n_total: int,
    d_model: int,
    per_depth: str = "none",
) -> Optional[Router]:
    """Makes a router.

    Arguments
    ---------
    router : mapping or str
        `kind`, one of `ROUTERS`, and its options; or the kind alone.
    per_depth : str
        What each depth has of its own: none, where a router decides.

    Raises
    ------
    ValueError
        If there is no such kind, or it does not go with `per_depth`.

    Example
    -------
    >>> make_router({"kind": "mask", "n_layers": 1}, n_total=3, d_model=4)
    LayerMask()
    """
    options = {"kind": router} if isinstance(router, str) else dict(router)
    kind = options.pop("kind")
    if kind not in ROUTERS:
        raise ValueError(
            f"`router.kind` must be one of {', '.join(ROUTERS)}, but is "
            f"{kind!r}"
        )
    if kind != "none" and per_depth != "none":
        raise ValueError(
            f"`per_depth` must be none with a router, whose depth differs "
            f"from utterance to utterance, but is {per_depth!r}"
        )
    maker = ROUTERS[kind]
    if maker is None:
        return None
    sizes = {"n_total": n_total, "d_model": d_model}
    known = inspect.signature(maker).parameters
    return maker(**{k: v for k, v in sizes.items() if k in known}, **options)
