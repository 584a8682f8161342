"""A Whisper whose encoder and decoder run at any depth."""

from typing import Any, Optional

import torch
import torch.nn.functional as F

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.costs import MACS_SECONDS
from dld_brain.encoder.encoder import DynamicEncoder, EncoderOutput
from dld_brain.encoder.whisper.config import N_POSITIONS
from dld_brain.gates.gates import Gates

#: Tokens of a second of speech: tiny.en's own transcripts of train-clean-5 have
#: 3.4 in the mean of 1012 utterances; costs are counted with it.
TYPICAL_TOKENS = 3.4
#: And at most: what says more repeats itself. The fastest of those utterances
#: has 6.0 a second, the end among them, and none has 8 a second and 8 more.
MOST_TOKENS, SPARE_TOKENS = 8, 8
#: Frames of the encoder in a second.
FRAMES = 50


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
                return EncoderOutput(
                    found, n_found, gates, states=x, frames=lengths
                )
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

        A Whisper was trained on 30 s, the rest of them silence, and is less
        sure of speech at its true length.

        Arguments
        ---------
        feats : torch.Tensor
            Features, [B, T, F].
        lengths : torch.Tensor
            Valid frames, [B].
        """
        return super().teach(*with_silence(feats, lengths), **given)

    def heard(
        self, feats: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the full depth makes of speech, and of its transcripts.

        Arguments
        ---------
        feats : torch.Tensor
            Features, [B, T, F], all of them valid.
        lengths : torch.Tensor
            T for each, [B].
        targets : torch.Tensor
            Token ids, [B, U].

        Returns
        -------
        tuple of torch.Tensor
            The encoder's output, [B, T', D], and that of the decoder's layers
            for each token and the end, [B, U + 1, D].
        """
        x, lengths = self.stem(feats, lengths)
        context = self.context(x, lengths, None)
        ((_, x),) = self.layers.run_many(
            x, [Gates.full(self.n_total)], **context
        )
        return x, self.head.read(x, None, targets)

    def limits(self, lengths: torch.Tensor) -> torch.Tensor:
        """Tokens that speech of so many frames may have, [B]."""
        most = lengths * MOST_TOKENS // FRAMES + SPARE_TOKENS
        config = self.head.config
        return most.clamp(max=config.max_target_positions - len(config.prompt))

    def run_typical_head(
        self,
        x: torch.Tensor,
        lengths: torch.Tensor,
        decoder: Optional[Gates] = None,
    ) -> None:
        """Computes a transcript of usual length; costs are counted of it."""
        n_tokens = round(TYPICAL_TOKENS * MACS_SECONDS)
        targets = torch.zeros(1, n_tokens, dtype=torch.long, device=x.device)
        counted = torch.tensor([n_tokens], device=x.device)
        gates = Gates.full(self.n_total).with_decoder(decoder)
        self.run_head(x, lengths, gates, targets, counted)
