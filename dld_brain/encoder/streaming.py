"""The layers of a stream: chunk by chunk, with caches, at any depth.

A chunk gives what the pass of the whole audio under the mask of the same
chunks gives (dld_brain.encoder.chunks).
"""

from collections import deque
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
        that when the layer opens: the keys and values are then those of a
        layer that was never closed. Otherwise it begins with none: a shorter
        left context.
    """

    def __init__(
        self, layer: ConformerLayer, chunks: DynChunkTrainConfig, refill: bool
    ) -> None:
        self.layer = layer
        self.n_left = chunks.left_context_size_frames()
        self.reach = layer.convolution_module.conv.kernel_size[0] // 2
        n_kept = chunks.left_context_size if refill else 0
        #: Inputs since the layer closed, [1, C, D] each.
        self.missed: deque[torch.Tensor] = deque(maxlen=n_kept)
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
        """The layer runs on a chunk, [1, C, D] -> [1, C, D]."""
        if self.n_missed:
            missed = list(self.missed)
            if self.n_missed > len(missed):  # what is kept is no neighbour
                self.clear()
            self.missed.clear()
            self.n_missed = 0
            for each in missed:
                self._run(each)
        return self._run(x)

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        """See `ConformerLayer.forward`."""
        layer = self.layer
        x = x + 0.5 * layer._feed_forward(x, layer.ffn_module1)
        q, k, v = layer.project(layer.norm1(x))
        if self.keys is not None:
            k = torch.cat((self.keys, k), dim=2)
            v = torch.cat((self.values, v), dim=2)
        x = x + layer.attend(q, k, v)
        self.keys, self.values = (
            kept[:, :, max(0, kept.shape[2] - self.n_left) :].clone()
            for kept in (k, v)
        )
        x = x + self._convolve(x)
        return layer.norm2(x + 0.5 * layer._feed_forward(x, layer.ffn_module2))

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        """The convolution module, [1, C, D] -> [1, C, D]."""
        module = self.layer.convolution_module
        if self.convolved is None:
            self.convolved = x.new_zeros(1, self.reach, x.shape[2])
        x = torch.cat((self.convolved, self.layer.bottleneck(x)), dim=1)
        self.convolved = x[:, x.shape[1] - self.reach :].clone()
        x = F.pad(x, (0, 0, 0, self.reach)).transpose(1, 2)
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
