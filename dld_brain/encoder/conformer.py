"""The paper's Conformer: its stem, and SpeechBrain's layers behind it."""

from collections.abc import Mapping
from typing import Any, Union

import torch
import torch.nn.functional as F
from torch import nn

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.conformer_layer import ConformerLayer
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.family import Body

#: What the stem may add to say where a frame is.
POSITIONS = ("sinusoidal", "none")
#: What may stand behind each convolution of the stem.
ACTIVATIONS = {"gelu": nn.GELU, "identity": nn.Identity}


def conformer_layers(
    n_total: int,
    d_model: int,
    d_ffn: int,
    n_heads: int,
    kernel_size: int = 31,
    dropout: float = 0.0,
) -> list[ConformerLayer]:
    """Makes the layers of a stack.

    Example
    -------
    >>> len(conformer_layers(3, d_model=16, d_ffn=32, n_heads=2))
    3
    """
    return [
        ConformerLayer(d_model, d_ffn, n_heads, kernel_size, dropout)
        for _ in range(n_total)
    ]


class ConvStem(nn.Module):
    """Two strided convolutions and sinusoidal positions: 4 frames to 1.

    Convolutions without padding, as in LDASR, the authors' earlier code: a
    valid output frame sees valid input frames only, so that padding cannot
    enter. LDASR has no activation between them (`activation=nn.Identity`).

    Arguments
    ---------
    activation : type
        Class of the module behind each convolution.
    has_positions : bool
        Whether sinusoidal positions are added; without them it is the
        layers' convolutions that tell before from behind, and a stream has
        no end.

    Example
    -------
    >>> stem = ConvStem(n_mels=80, d_model=16)
    >>> x, lengths = stem(torch.randn(1, 100, 80), torch.tensor([100]))
    >>> x.shape, lengths
    (torch.Size([1, 24, 16]), tensor([24]))
    """

    #: Frames under, and between, the windows of both convolutions.
    KERNEL, STRIDE = 3, 2

    def __init__(
        self,
        n_mels: int,
        d_model: int,
        dropout: float = 0.0,
        activation: type[nn.Module] = nn.GELU,
        has_positions: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(n_mels, d_model, self.KERNEL, self.STRIDE)
        self.conv2 = nn.Conv1d(d_model, d_model, self.KERNEL, self.STRIDE)
        self.activation = activation()
        self.has_positions = has_positions
        self.drop = nn.Dropout(dropout)

    @property
    def min_frames(self) -> int:
        """Frames that give one: (1 - 1) 2 + 3 = 3, and (3 - 1) 2 + 3 = 7."""
        return 7

    @property
    def stride(self) -> int:
        """Frames from one to the next."""
        return self.STRIDE**2

    def forward(
        self, feats: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Subsamples and adds positions.

        Arguments
        ---------
        feats : torch.Tensor
            Features, [B, T, F].
        lengths : torch.Tensor
            Valid frames, [B].

        Returns
        -------
        tuple of torch.Tensor
            [B, T', D], and the valid frames there, [B], at least 1: an
            utterance of fewer than `min_frames` is filled up with zeros.
        """
        padding = padding_mask(lengths, feats.shape[1]).unsqueeze(-1)
        feats = feats.masked_fill(padding, 0.0)
        missing = max(0, self.min_frames - feats.shape[1])
        x = self.subsample(F.pad(feats, (0, 0, 0, missing)))
        for _ in (self.conv1, self.conv2):
            lengths = (lengths - self.KERNEL) // self.STRIDE + 1
        if self.has_positions:
            x = x + sinusoidal_positions(x.shape[1], x.shape[2]).to(x)
        return self.drop(x), lengths.clamp(min=1)

    def subsample(self, feats: torch.Tensor) -> torch.Tensor:
        """The convolutions, [B, T, F] -> [B, T', D], T at least 7."""
        x = feats.transpose(1, 2)  # [B, F, T]
        for conv in (self.conv1, self.conv2):
            x = self.activation(conv(x))
        # [B, D, T'] -> [B, T', D], laid out so: the layers keep the strides
        # of their input, and matrix products of others are slow.
        return x.transpose(1, 2).contiguous()


def sinusoidal_positions(
    n_frames: int, d_model: int, first: int = 0
) -> torch.Tensor:
    """Positions of "Attention is all you need", section 3.5, of any length.

    SpeechBrain's `PositionalEncoding` gives the same up to a fixed length,
    beyond which a model that has it cannot go.

    Arguments
    ---------
    first : int
        The position that is counted from.

    Returns
    -------
    torch.Tensor
        [T, D].

    Example
    -------
    >>> sinusoidal_positions(1, 4)
    tensor([[0., 1., 0., 1.]])
    """
    rates = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    angles = torch.arange(first, first + n_frames).unsqueeze(1) * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def conformer_encoder(
    n_total: int,
    d_model: int,
    d_ffn: int,
    n_heads: int,
    vocab_size: int,
    kernel_size: int = 31,
    dropout: float = 0.0,
    n_mels: int = 80,
    stem_activation: str = "gelu",
    task: str = "transcription",
    closed: str = "identity",
    per_depth: str = "none",
    router: Union[str, Mapping[str, Any]] = "none",
    positions: str = "sinusoidal",
) -> DynamicEncoder:
    """Makes the paper's dynamic encoder.

    Arguments
    ---------
    kernel_size : int
        Frames under the depthwise convolution.
    vocab_size : int
        Tokens, the blank included, or labels, V.
    stem_activation : str
        Behind each convolution of the stem: gelu, or identity (LDASR).
    closed : str
        What a closed layer does; see GatedLayers.
    per_depth : str
        What each depth has of its own; see `make_per_depth`.
    router : mapping or str
        What may decide which layers run; see `make_router`.
    positions : str
        What the stem adds: sinusoidal, or none.

    Raises
    ------
    ValueError
        If a choice is none of those that there are.

    Example
    -------
    >>> model = conformer_encoder(3, 16, 32, n_heads=2, vocab_size=5)
    >>> feats, lengths = torch.randn(1, 100, 80), torch.tensor([100])
    >>> model(feats, lengths)[0].log_probs.shape
    torch.Size([1, 24, 5])
    """
    if stem_activation not in ACTIVATIONS:
        raise ValueError(
            f"`stem_activation` must be one of {', '.join(ACTIVATIONS)}, but "
            f"is {stem_activation!r}"
        )
    if positions not in POSITIONS:
        raise ValueError(
            f"`positions` must be one of {', '.join(POSITIONS)}, but is "
            f"{positions!r}"
        )
    layers = conformer_layers(
        n_total, d_model, d_ffn, n_heads, kernel_size, dropout
    )
    stem = ConvStem(
        n_mels,
        d_model,
        dropout,
        ACTIVATIONS[stem_activation],
        has_positions=positions != "none",
    )
    body = Body(stem, layers, d_model)
    return body.with_head(vocab_size, task, closed, per_depth, router)
