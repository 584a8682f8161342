"""What a family of encoders brings; the rest is one and the same for all.

See docs/new_encoder.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional, Union

from torch import nn

from dld_brain.encoder.depth_heads import make_per_depth
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.pool import make_pool
from dld_brain.encoder.routers.make import make_router
from dld_brain.encoder.stack import GatedLayers


class Body(NamedTuple):
    """An encoder without its head.

    Arguments
    ---------
    stem : torch.nn.Module
        `stem(feats, lengths)` gives [B, T', D] and the lengths there; its
        `min_frames` is what it needs for one of them.
    layers : sequence of torch.nn.Module
        `layer(x, padding)`, and `bias` where there is one, gives [B, T', D].
        One that ends with a norm has it as `final_norm`.
    d_model : int
        Width, D.
    norm : torch.nn.Module, optional
        Behind the last layer whatever is closed: of layers that do not end
        with a norm.
    bias : torch.nn.Module, optional
        T' -> what every layer gets beside its input and `padding`, and none
        of them owns.
    adapter : torch.nn.Module, optional
        `adapter(x, lengths)` behind the layers, whatever is open, gives
        [B, T", D'], with D' its `d_out`, and the lengths there; its `stride`
        is T' / T".
    """

    stem: nn.Module
    layers: Sequence[nn.Module]
    d_model: int
    norm: Optional[nn.Module] = None
    bias: Optional[nn.Module] = None
    adapter: Optional[nn.Module] = None

    def with_head(
        self,
        vocab_size: int,
        task: str = "transcription",
        closed: str = "identity",
        per_depth: str = "none",
        router: Union[str, Mapping[str, Any]] = "none",
    ) -> DynamicEncoder:
        """Makes the dynamic encoder.

        Arguments
        ---------
        vocab_size : int
            Tokens, the blank included, or labels, V.
        closed : str
            What a closed layer does; see GatedLayers.
        per_depth : str
            What each depth has of its own; see `make_per_depth`.
        router : mapping or str
            What may decide which layers run; see `make_router`.

        Raises
        ------
        ValueError
            If a choice is none of those that there are.
        """
        if self.norm is not None and closed != "identity":
            raise ValueError(
                f"`closed` must be identity for layers that do not end with a "
                f"norm, but is {closed!r}"
            )
        pool = make_pool(task)
        if None not in (pool, self.adapter):
            raise ValueError(
                f"`task` must be transcription for a model with an adapter, "
                f"but is {task!r}: start from one without (`add_adapter`)"
            )
        n_total, d_model = len(self.layers), self.d_model
        width = d_model if self.adapter is None else self.adapter.d_out
        return DynamicEncoder(
            stem=self.stem,
            layers=GatedLayers(self.layers, closed, self.norm, d_model),
            head=nn.Linear(width, vocab_size),
            bias=self.bias,
            pool=pool if self.adapter is None else self.adapter,
            per_depth=make_per_depth(per_depth, n_total, width, vocab_size),
            router=make_router(router, n_total, d_model, per_depth),
        )
