"""Whisper's decoder, kept as the head of the gated encoder.

Whisper, https://arxiv.org/abs/2212.04356, section 2.2. Modules bear Hugging
Face's names. It is decoded here and not by transformers' `generate`, which
has no mask for a padded encoder's output: an utterance of a batch would get
another transcript than alone. Where `generate` can be asked, it says the same.
"""

from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import nn

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.costs import MACS_SECONDS
from dld_brain.encoder.encoder import DynamicEncoder, EncoderOutput
from dld_brain.encoder.whisper.attention import KeysValues, WhisperAttention
from dld_brain.encoder.whisper.config import N_POSITIONS, DecoderConfig
from dld_brain.gates.gates import Gates

#: Tokens of a second of speech: tiny.en's own transcripts of train-clean-5 have
#: 3.4 in the mean of 1012 utterances; costs are counted with it.
TYPICAL_TOKENS = 3.4
#: And at most: what says more repeats itself. The fastest of those utterances
#: has 6.0 a second, the end among them, and none has 8 a second and 8 more.
MOST_TOKENS, SPARE_TOKENS = 8, 8
#: Frames of the encoder in a second.
FRAMES = 50


class WhisperDecoderLayer(nn.Module):
    """Pre-norm: attention to the tokens, to the speech, feed-forward."""

    def __init__(self, config: DecoderConfig, width: int) -> None:
        super().__init__()
        n_heads, inner = config.decoder_attention_heads, config.decoder_ffn_dim
        self.self_attn = WhisperAttention(width, n_heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.encoder_attn = WhisperAttention(width, n_heads)
        self.encoder_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(
        self,
        x: torch.Tensor,
        speech: KeysValues,
        keep: Optional[torch.Tensor],
        before: Optional[KeysValues] = None,
    ) -> tuple[torch.Tensor, KeysValues]:
        """Reads tokens, [B, U, D] -> [B, U, D].

        Arguments
        ---------
        speech : KeysValues
            `encoder_attn.look_at` of the encoder's output.
        keep : torch.Tensor, optional
            True where that is valid, [B, 1, 1, T'].
        before : KeysValues, optional
            Of the tokens before these, of which there is one then.

        Returns
        -------
        tuple of torch.Tensor and KeysValues
            The output, and the keys and values of all tokens so far.
        """
        y = self.self_attn_layer_norm(x)
        tokens = self.self_attn.look_at(y)
        tokens = tokens if before is None else before.then(tokens)
        x = x + self.self_attn(y, tokens, is_causal=before is None)
        y = self.encoder_attn_layer_norm(x)
        x = x + self.encoder_attn(y, speech, keep)
        y = F.gelu(self.fc1(self.final_layer_norm(x)))
        return x + self.fc2(y), tokens


class WhisperDecoder(nn.Module):
    """From the encoder's output to the posteriors of tokens.

    Arguments
    ---------
    width : int
        Of the model, D.
    """

    def __init__(self, config: DecoderConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, width)
        self.embed_positions = nn.Embedding(config.max_target_positions, width)
        self.layers = nn.ModuleList(
            WhisperDecoderLayer(config, width)
            for _ in range(config.decoder_layers)
        )
        self.layer_norm = nn.LayerNorm(width)
        #: Tokens, as a linear head says them.
        self.out_features = config.vocab_size

    @property
    def n_total(self) -> int:
        """Layers in the decoder."""
        return len(self.layers)

    def open_layers(self, gates: Optional[Gates]) -> list[WhisperDecoderLayer]:
        """The layers that run; all without gates.

        Raises
        ------
        ValueError
            If the gates are of a decoder of other size.
        """
        if gates is None:
            return list(self.layers)
        if gates.n_total != self.n_total:
            raise ValueError(
                f"`decoder` gates must have one entry for each of the "
                f"{self.n_total} layers, but have {gates.n_total}"
            )
        return [self.layers[i] for i in gates.layers]

    def embed(self, tokens: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Tokens at their positions, [B, U] -> [B, U, D]."""
        positions = self.embed_positions.weight[first : first + tokens.shape[1]]
        return self.embed_tokens(tokens) + positions

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """[B, U, D] -> [B, U, V]; the embedding is the projection, too."""
        x = F.linear(self.layer_norm(x), self.embed_tokens.weight)
        return x.float().log_softmax(-1)

    def told(
        self,
        states: torch.Tensor,
        keep: Optional[torch.Tensor],
        targets: torch.Tensor,
        gates: Optional[Gates] = None,
    ) -> torch.Tensor:
        """Posteriors where the transcript is known: teacher forcing.

        Arguments
        ---------
        states : torch.Tensor
            Output of the encoder, [B, T', D].
        keep : torch.Tensor, optional
            True where it is valid, [B, 1, 1, T'].
        targets : torch.Tensor
            Token ids, [B, U].

        Returns
        -------
        torch.Tensor
            Of each token and of the end behind them, [B, U + 1, V].
        """
        x = self.embed(torch.cat((self._prompt(states), targets), dim=1))
        for layer in self.open_layers(gates):
            x, _ = layer(x, layer.encoder_attn.look_at(states), keep)
        return self.log_probs(x[:, len(self.config.prompt) - 1 :])

    @torch.no_grad()
    def untold(
        self,
        states: torch.Tensor,
        keep: Optional[torch.Tensor],
        limits: torch.Tensor,
        gates: Optional[Gates] = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The likeliest token, one after another, until the end.

        Arguments
        ---------
        states : torch.Tensor
            Output of the encoder, [B, T', D].
        keep : torch.Tensor, optional
            True where it is valid, [B, 1, 1, T'].
        limits : torch.Tensor
            Tokens that an utterance may have, [B].

        Returns
        -------
        tuple of torch.Tensor
            Posteriors of the tokens, the end among them, [B, U, V], and how
            many each utterance has, [B].
        """
        layers = self.open_layers(gates)
        speech = [layer.encoder_attn.look_at(states) for layer in layers]
        before: list[Optional[KeysValues]] = [None] * len(layers)
        tokens, first, found = self._prompt(states), 0, []
        lengths = torch.zeros_like(limits)
        is_done = limits < 1
        while not is_done.all():
            x = self.embed(tokens, first)
            for i, layer in enumerate(layers):
                x, before[i] = layer(x, speech[i], keep, before[i])
            log_probs = self.log_probs(x[:, -1:])
            found.append(self._allowed(log_probs, is_first=not found))
            first += tokens.shape[1]
            tokens = found[-1].argmax(-1)
            lengths += (~is_done).long()
            is_end = tokens[:, 0] == self.config.end
            is_done = is_done | is_end | (lengths >= limits)
        return torch.cat(found, dim=1), lengths

    def _allowed(self, log_probs: torch.Tensor, is_first: bool) -> torch.Tensor:
        """Posteriors without the tokens that a transcript must not have."""
        config = self.config
        none = list(config.suppress_tokens)
        none += list(config.begin_suppress_tokens) * is_first
        if not none:
            return log_probs
        log_probs[..., none] = -torch.inf
        return log_probs.log_softmax(-1)

    def _prompt(self, states: torch.Tensor) -> torch.Tensor:
        """What it is told first, [B, P]."""
        prompt = torch.tensor(self.config.prompt, device=states.device)
        return prompt.expand(len(states), -1)


def with_silence(
    feats: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of the same speech and silence behind it, 30 s in all.

    Silence has the least value that an utterance can have, 8 below its
    largest in log10, which is 2 below in features (`WhisperMel`).

    Arguments
    ---------
    feats : torch.Tensor
        [B, T, F].
    lengths : torch.Tensor
        Valid frames, [B].

    Returns
    -------
    tuple of torch.Tensor
        [B, 3000, F], and 3000 for each.
    """
    n_frames = 2 * N_POSITIONS
    feats = F.pad(feats, (0, 0, 0, n_frames - feats.shape[1]))
    padding = padding_mask(lengths, n_frames).unsqueeze(-1)
    top = feats.masked_fill(padding, -torch.inf).amax((1, 2), keepdim=True)
    feats = torch.where(padding, top - 2.0, feats)
    return feats, torch.full_like(lengths, n_frames)


class DynamicWhisper(DynamicEncoder):
    """A Whisper whose encoder and decoder run at any depth.

    A `DynamicEncoder` whose head is the decoder: `log_probs` are those of
    tokens, [B, U, V], and `lengths` how many there are.

    Example
    -------
    >>> from dld_brain.encoder.whisper.layers import whisper_encoder
    >>> model = whisper_encoder(
    ...     None,
    ...     dict(d_model=8, encoder_attention_heads=2, encoder_ffn_dim=8),
    ...     vocab_size=9,
    ...     decoder=dict(
    ...         vocab_size=9,
    ...         decoder_layers=2,
    ...         decoder_attention_heads=2,
    ...         decoder_ffn_dim=8,
    ...         prompt=[7],
    ...         end=8,
    ...         begin_suppress_tokens=[],
    ...     ),
    ... )
    >>> gates = Gates((0, 3), 4).with_decoder(Gates((1,), 2))
    >>> (out,) = model(
    ...     torch.randn(1, 100, 80),
    ...     torch.tensor([100]),
    ...     [gates],
    ...     targets=torch.tensor([[1, 2, 3]]),
    ...     target_lengths=torch.tensor([3]),
    ... )
    >>> out.log_probs.shape, out.lengths
    (torch.Size([1, 4, 9]), tensor([4]))
    """

    def run_head(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor,
        gates: Gates,
        targets: Optional[torch.Tensor] = None,
        target_lengths: Optional[torch.Tensor] = None,
        is_answered: bool = False,
    ) -> EncoderOutput:
        """From the last layer to the posteriors of tokens.

        Arguments
        ---------
        x : torch.Tensor
            Output of the layers, [B, T', D].
        lengths : torch.Tensor
            Valid frames, [B].
        gates : Gates
            What ran, and of the decoder what is to run.
        targets : torch.Tensor, optional
            Token ids of the transcripts, [B, U]: the posteriors are those
            of these tokens and of the end. Without them, of what is said.
        target_lengths : torch.Tensor, optional
            Tokens, [B].
        is_answered : bool
            Whether `tokens` are to be found beside them.

        Returns
        -------
        EncoderOutput
            Log-probabilities [B, U + 1, V] and lengths [B].
        """
        padding = padding_mask(lengths, x.shape[1])
        keep = ~padding[:, None, None, :] if padding.any() else None
        tokens = None
        if targets is None or is_answered:
            found, n_found = self.head.untold(
                x, keep, self.limits(lengths), gates.decoder
            )
            if targets is None:
                return EncoderOutput(found, n_found, gates)
            tokens = found.argmax(-1).masked_fill(
                padding_mask(n_found, found.shape[1]), self.head.config.end
            )
        log_probs = self.head.told(x, keep, targets, gates.decoder)
        return EncoderOutput(
            log_probs, target_lengths + 1, gates, None, tokens, x, lengths
        )

    @torch.no_grad()
    def teach(
        self, feats: torch.Tensor, lengths: torch.Tensor, **given: Any
    ) -> EncoderOutput:
        """What a student learns from: the full depth, on 30 s.

        A Whisper was trained on 30 s, the rest of them silence, and is unsure
        of speech at its true length: of 25 utterances tiny.en has 35 % of the
        words wrong there.

        Arguments
        ---------
        feats : torch.Tensor
            Features, [B, T, F].
        lengths : torch.Tensor
            Valid frames, [B].
        """
        return super().teach(*with_silence(feats, lengths), **given)

    def limits(self, lengths: torch.Tensor) -> torch.Tensor:
        """Tokens that speech of so many frames may have, [B]."""
        most = lengths * MOST_TOKENS // FRAMES + SPARE_TOKENS
        config = self.head.config
        return most.clamp(max=config.max_target_positions - len(config.prompt))

    def run_typical_head(self, x: torch.Tensor, lengths: torch.Tensor) -> None:
        """Computes a transcript of usual length; costs are counted of it."""
        n_tokens = round(TYPICAL_TOKENS * MACS_SECONDS)
        targets = torch.zeros(1, n_tokens, dtype=torch.long, device=x.device)
        counted = torch.tensor([n_tokens], device=x.device)
        full = Gates.full(self.n_total)
        self.run_head(x, lengths, full, targets, counted)
