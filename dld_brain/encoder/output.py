"""What an encoder gives."""

from typing import NamedTuple, Optional

import torch

from dld_brain.encoder.routers.base import Decision
from dld_brain.gates.gates import Gates


class EncoderOutput(NamedTuple):
    """What an encoder gives.

    Arguments
    ---------
    log_probs : torch.Tensor
        Log-probabilities of the tokens, [B, T', V]; of the labels of a
        classification, [B, 1, V].
    lengths : torch.Tensor
        Valid frames, [B], whole numbers.
    gates : Gates, optional
        Which layers ran; none where a router decided for each utterance.
    routing : Decision, optional
        What the router decided: gates, outside of training 0 or 1, and the
        probabilities behind them, [L, B] each.
    tokens : torch.Tensor, optional
        Of a decoder that was told the targets, what it says untold, [B, U];
        where it was not told, the likeliest of `log_probs`.
    states : torch.Tensor, optional
        Of an encoder with a decoder behind it, its output, [B, T', D].
    frames : torch.Tensor, optional
        Valid ones of these, [B].
    """

    log_probs: torch.Tensor
    lengths: torch.Tensor
    gates: Optional[Gates] = None
    routing: Optional[Decision] = None
    tokens: Optional[torch.Tensor] = None
    states: Optional[torch.Tensor] = None
    frames: Optional[torch.Tensor] = None
