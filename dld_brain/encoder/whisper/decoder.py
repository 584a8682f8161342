"""Whisper's decoder, kept as the head of the gated encoder.

Whisper, https://arxiv.org/abs/2212.04356, section 2.2. Modules bear Hugging
Face's names. It is decoded here and not by transformers' `generate`, which
has no mask for a padded encoder's output: an utterance of a batch would get
another transcript than alone. Where `generate` can be asked, it says the same.
"""

import copy
from dataclasses import replace
from typing import Optional

import torch
import torch.nn.functional as F
from torch import nn

from dld_brain.encoder.whisper.attention import KeysValues, WhisperAttention
from dld_brain.encoder.whisper.config import DecoderConfig
from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import decoder_gates


class WhisperDecoderLayer(nn.Module):
    """Pre-norm: attention to the tokens, to the speech, feed-forward."""

    kept_exact = ("fc2",)  # not made int8, as the values of its attention

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
        x, tokens = self.read(x, before)
        y = self.encoder_attn_layer_norm(x)
        x = x + self.encoder_attn(y, speech, keep)
        y = F.gelu(self.fc1(self.final_layer_norm(x)))
        return x + self.fc2(y), tokens

    def read(
        self, x: torch.Tensor, before: Optional[KeysValues] = None
    ) -> tuple[torch.Tensor, KeysValues]:
        """The attention to the tokens alone; see `forward`."""
        y = self.self_attn_layer_norm(x)
        tokens = self.self_attn.look_at(y)
        tokens = tokens if before is None else before.then(tokens)
        return x + self.self_attn(y, tokens, is_causal=before is None), tokens


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
        #: Where the projection is no longer the embedding; see `untie`.
        self.projection: Optional[nn.Module] = None
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

    def gates_for(self, n_layers: Optional[int]) -> Optional[Gates]:
        """The gates of a depth; None, for all open, where none is given."""
        if n_layers is None:
            return None
        return decoder_gates(n_layers, self.n_total)

    def part(self, gates: Optional[Gates]) -> "WhisperDecoder":
        """A decoder that has these layers alone, of copies."""
        found = copy.deepcopy(self)
        kept = range(self.n_total) if gates is None else gates.layers
        found.layers = nn.ModuleList(found.open_layers(gates))
        own = [p for p in self.config.alignment_heads if p[0] in kept]
        found.config = replace(
            self.config,
            decoder_layers=found.n_total,
            alignment_heads=[(kept.index(i), head) for i, head in own],
        )
        return found

    def embed(self, tokens: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Tokens at their positions, [B, U] -> [B, U, D]."""
        positions = self.embed_positions.weight[first : first + tokens.shape[1]]
        return self.embed_tokens(tokens) + positions

    def untie(self) -> None:
        """Makes the projection a module, in whose place an int8 one can be.

        It is most of what a token costs: 20 of 28 M multiply-accumulates in
        tiny.en, whose weights are read anew for each.
        """
        weight = self.embed_tokens.weight
        with torch.device("meta"):
            self.projection = nn.Linear(*weight.shape[::-1], bias=False)
        self.projection.weight = weight

    def log_probs(self, x: torch.Tensor) -> torch.Tensor:
        """[B, U, D] -> [B, U, V]; the embedding is the projection, too."""
        x = self.layer_norm(x)
        if self.projection is None:
            x = F.linear(x, self.embed_tokens.weight)
        else:
            x = self.projection(x)
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
        return self.log_probs(self.read(states, keep, targets, gates))

    def read(
        self,
        states: torch.Tensor,
        keep: Optional[torch.Tensor],
        targets: torch.Tensor,
        gates: Optional[Gates] = None,
    ) -> torch.Tensor:
        """Output of the layers, [B, U + 1, D]; see `told`."""
        x = self.embed(torch.cat((self._prompt(states), targets), dim=1))
        for layer in self.open_layers(gates):
            x, _ = layer(x, layer.encoder_attn.look_at(states), keep)
        return x[:, len(self.config.prompt) - 1 :]

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
