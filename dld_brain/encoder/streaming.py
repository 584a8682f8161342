"""The layers of a stream: chunk by chunk, with caches, at any depth.

A chunk gives what the pass of the whole audio under the mask of the same
chunks gives (dld_brain.encoder.chunks).
"""

from collections import deque
from math import ceil
from typing import Optional

import torch
import torch.nn.functional as F

from dld_brain.encoder.chunks import depthwise_convolution
from dld_brain.encoder.conformer import ConformerLayer
from dld_brain.encoder.encoder import DynamicEncoder, EncoderOutput
from dld_brain.gates.gates import Gates
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig


class LayerCache:
    """What a layer keeps of the past; bounded.

    Arguments
    ---------
    layer : ConformerLayer
        Is not changed.
    chunks : DynChunkTrainConfig
        With a left context that is bounded.
    refill : bool
        Whether the input of a closed layer is kept, and its cache made of
        that when the layer opens: the layer then goes on as if it had never
        been closed. Otherwise it begins with none: a shorter left context.
    """

    def __init__(
        self, layer: ConformerLayer, chunks: DynChunkTrainConfig, refill: bool
    ) -> None:
        self.layer = layer
        self.size = chunks.chunk_size
        self.n_left = chunks.left_context_size_frames()
        self.reach = layer.convolution_module.conv.kernel_size[0] // 2
        #: Chunks whose end the next one's convolution sees.
        self.n_convolved = ceil(self.reach / self.size)
        n_kept = chunks.left_context_size + self.n_convolved
        #: Inputs since the layer closed, [1, C, D] each.
        self.missed: deque[torch.Tensor] = deque(maxlen=n_kept if refill else 0)
        self.n_missed = 0
        self.refill = refill
        self.clear()

    def clear(self) -> None:
        """Forgets the past."""
        self.keys: Optional[torch.Tensor] = None
        self.values: Optional[torch.Tensor] = None
        self.convolved: Optional[torch.Tensor] = None
        self.missed.clear()
        self.n_missed = 0

    def skip(self, x: torch.Tensor) -> None:
        """The layer is closed for a chunk, [1, C, D]."""
        if not self.refill:
            self.clear()
        self.missed.append(x)
        self.n_missed += 1

    def step(self, x: torch.Tensor) -> torch.Tensor:
        """The layer runs on a chunk, [1, C, D] -> [1, C, D].

        See `ConformerLayer.forward`.
        """
        if self.n_missed:
            self._refill()
        layer = self.layer
        x, q, k, v = self._project(x)
        x = x + layer.attend(q, k, v)
        self._keep(k, v)
        x = x + self._convolve(x)
        return layer.norm2(x + 0.5 * layer._feed_forward(x, layer.ffn_module2))

    def _refill(self) -> None:
        """Computes what later chunks see of those that were missed.

        Keys and values of all at once; what the convolution sees of the last
        ones alone. No more: it is one step that has to wait for it.
        """
        missed = list(self.missed)
        if self.n_missed > len(missed):  # what is kept is no neighbour
            self.clear()
        self.missed.clear()
        self.n_missed = 0
        if not missed:
            return
        x, q, k, v = self._project(torch.cat(missed, dim=1))
        n_before = k.shape[2] - x.shape[1]
        starts = range(0, x.shape[1], self.size)
        for first in starts[max(0, len(starts) - self.n_convolved) :]:
            frames = slice(first, first + self.size)
            end = n_before + frames.stop
            seen = slice(max(0, end - self.size - self.n_left), end)
            y = self.layer.attend(q[:, :, frames], k[:, :, seen], v[:, :, seen])
            self._extend(x[:, frames] + y)
        self._keep(k, v)

    def _project(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Up to the attention, [1, T, D]; keys and values with those kept."""
        layer = self.layer
        x = x + 0.5 * layer._feed_forward(x, layer.ffn_module1)
        q, k, v = layer.project(layer.norm1(x))
        if self.keys is not None:
            k = torch.cat((self.keys, k), dim=2)
            v = torch.cat((self.values, v), dim=2)
        return x, q, k, v

    def _keep(self, k: torch.Tensor, v: torch.Tensor) -> None:
        """Keeps what the next chunk attends to, [1, H, T, D / H]."""
        self.keys, self.values = (
            kept[:, :, max(0, kept.shape[2] - self.n_left) :].clone()
            for kept in (k, v)
        )

    def _extend(self, x: torch.Tensor) -> torch.Tensor:
        """What stands in front of the convolution, with that kept before.

        [1, C, D] -> [1, reach + C, D]
        """
        if self.convolved is None:
            self.convolved = x.new_zeros(1, self.reach, x.shape[2])
        x = torch.cat((self.convolved, self.layer.bottleneck(x)), dim=1)
        self.convolved = x[:, x.shape[1] - self.reach :].clone()
        return x

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        """The convolution module, [1, C, D] -> [1, C, D]."""
        module = self.layer.convolution_module
        x = F.pad(self._extend(x), (0, 0, 0, self.reach)).transpose(1, 2)
        x = depthwise_convolution(x, module.conv, 0)
        return module.after_conv(x.transpose(1, 2))


class StreamedLayers:
    """The layers and the head of a model, for one stream.

    The model holds nothing of it: several streams share one.

    Arguments
    ---------
    model : DynamicEncoder
        In eval mode.
    chunks : DynChunkTrainConfig
        With a left context that is bounded.
    refill : bool
        See `LayerCache`.

    Raises
    ------
    ValueError
        If the layers know no chunks, or the left context is not bounded.

    Example
    -------
    >>> from dld_brain.encoder.conformer import conformer_encoder
    >>> model = conformer_encoder(3, 16, 32, n_heads=2, vocab_size=5).eval()
    >>> layers = StreamedLayers(model, DynChunkTrainConfig(4, 2))
    >>> layers.step(torch.randn(1, 4, 16), Gates.full(3)).log_probs.shape
    torch.Size([1, 4, 5])
    """

    def __init__(
        self,
        model: DynamicEncoder,
        chunks: DynChunkTrainConfig,
        refill: bool = True,
    ) -> None:
        model.check_chunks()
        if model.pool is not None:
            raise ValueError(
                "a stream must have a model of transcription, but it has one "
                "of classification: classify files"
            )
        if chunks.is_infinite_left_context():
            raise ValueError(
                "`left_context_size` must be a number of chunks in a stream, "
                "but is None: memory would not be bounded"
            )
        self.model = model
        self.caches = [
            LayerCache(layer, chunks, refill) for layer in model.layers.layers
        ]

    def clear(self) -> None:
        """Forgets the past."""
        for cache in self.caches:
            cache.clear()

    @torch.no_grad()
    def step(self, x: torch.Tensor, gates: Gates) -> EncoderOutput:
        """Runs a chunk.

        Arguments
        ---------
        x : torch.Tensor
            Output of the stem, [1, C, D]; the last of a stream may be
            shorter.
        gates : Gates
            Of this chunk; the next may have others.
        """
        layers = self.model.layers
        layers.check(gates)
        for i, cache in enumerate(self.caches):
            if gates.is_open(i):
                x = cache.step(x)
            else:
                cache.skip(x)
                x = layers.step(i, x, False, {})
        lengths = torch.tensor([x.shape[1]], device=x.device)
        return self.model.run_head(layers.norm(x), lengths, gates)
