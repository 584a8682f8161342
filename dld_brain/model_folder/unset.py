"""Modules whose weights are about to be loaded, and need no beginning."""

from typing import Any, Optional

from torch.overrides import TorchFunctionMode


class Unset(TorchFunctionMode):
    """Modules that are made within it leave their weights unset.

    As `torch.nn.utils.skip_init`, for all modules that are made; what is
    loaded later is not drawn first. On the meta device the normal
    distribution would import torch._dynamo and sympy besides: over two
    seconds of processor time.

    Example
    -------
    >>> import torch
    >>> with torch.device("meta"), Unset():
    ...     torch.nn.Embedding(10**9, 512).weight.shape
    torch.Size([1000000000, 512])
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Optional[dict[str, Any]] = None,
    ) -> Any:
        """Gives back a tensor that was to be initialised."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
