"""A run whose depth changes from chunk to chunk, all chunks at once.

Each layer is computed for all frames, and its output taken where it is
open; a frame attends to the chunks before it as if the layer had been open
there. That is what a stream with refilled caches gives
(dld_brain.encoder.streaming).
"""

from typing import TYPE_CHECKING

import torch

from dld_brain.gates.gates import ChunkedGates
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig

if TYPE_CHECKING:
    from dld_brain.encoder.encoder import DynamicEncoder, EncoderOutput


def run_chunked(
    model: "DynamicEncoder",
    x: torch.Tensor,
    lengths: torch.Tensor,
    gates: ChunkedGates,
    chunks: DynChunkTrainConfig,
) -> "EncoderOutput":
    """Runs layers and head.

    Arguments
    ---------
    model : DynamicEncoder
        Its layers know chunks.
    x : torch.Tensor
        Output of the stem, [B, T', D].
    lengths : torch.Tensor
        Valid frames there, [B].
    chunks : DynChunkTrainConfig
        Frames of a chunk, and how many chunks before it are seen.

    Example
    -------
    >>> from dld_brain.encoder.conformer import conformer_encoder
    >>> from dld_brain.gates.gates import Gates
    >>> model = conformer_encoder(3, 16, 32, n_heads=2, vocab_size=5)
    >>> gates = ChunkedGates((Gates((0,), 3), Gates.full(3)))
    >>> x, lengths = torch.randn(1, 10, 16), torch.tensor([10])
    >>> chunks = DynChunkTrainConfig(4, 2)
    >>> run_chunked(model, x, lengths, gates, chunks).log_probs.shape
    torch.Size([1, 10, 5])
    """
    chunk = torch.arange(x.shape[1], device=x.device) // chunks.chunk_size
    which = chunk % len(gates.of_chunks)  # [T'], of the gates
    context = model.context(x, lengths, chunks)
    for i in range(model.n_total):
        is_open = [g.is_open(i) for g in gates.of_chunks]
        if len(set(is_open)) == 1:
            x = model.layers.step(i, x, is_open[0], context)
            continue
        x = torch.where(
            torch.tensor(is_open, device=x.device)[which][None, :, None],
            model.layers.step(i, x, True, context),
            model.layers.step(i, x, False, context),
        )
    return _run_heads(model, model.layers.norm(x), lengths, gates, which)


def _run_heads(
    model: "DynamicEncoder",
    x: torch.Tensor,
    lengths: torch.Tensor,
    gates: ChunkedGates,
    which: torch.Tensor,
) -> "EncoderOutput":
    """Of each frame the head of its depth, [B, T', D] -> [B, T', V]."""
    depths = torch.tensor([g.depth for g in gates.of_chunks], device=x.device)
    of_frames = depths[which][None, :, None]
    outs = {
        g.depth: model.run_head(x, lengths, g)
        for g in {g.depth: g for g in gates.of_chunks}.values()
    }
    out = next(iter(outs.values()))
    log_probs = out.log_probs
    for depth, other in outs.items():
        log_probs = torch.where(of_frames == depth, other.log_probs, log_probs)
    return out._replace(log_probs=log_probs, gates=None)
