"""What a decoder looks at while it writes a text that is known."""

from typing import NamedTuple, Optional

import torch

from dld_brain.encoder.whisper.decoder import WhisperDecoder
from dld_brain.gates.gates import Gates


class Looks(NamedTuple):
    """Where the tokens of one utterance were heard, and how surely.

    Arguments
    ---------
    weights : torch.Tensor
        Of the heads that follow the speech, [H, P + U + 1, T']: row i is
        what is looked at to say token i + 1 of prompt, text and end.
    probabilities : torch.Tensor
        Of the tokens of the text among all that can be text, [U].
    n_prompt : int
        Tokens in front of the text, P.
    """

    weights: torch.Tensor
    probabilities: torch.Tensor
    n_prompt: int


@torch.no_grad()
def looks_at(
    decoder: WhisperDecoder,
    states: torch.Tensor,
    tokens: torch.Tensor,
    gates: Optional[Gates] = None,
) -> Looks:
    """Attention of the heads that follow the speech, for one utterance.

    As `find_alignment` of openai-whisper's timing.py (release 20250625),
    up to what is done with it.

    Arguments
    ---------
    states : torch.Tensor
        Output of the encoder, all of it valid, [1, T', D].
    tokens : torch.Tensor
        Token ids of the text, [U].
    gates : Gates, optional
        Of the decoder; all open if not given.
    """
    config = decoder.config
    written = [*config.prompt, *tokens.tolist(), config.end]
    x = decoder.embed(torch.tensor([written], device=states.device))
    layers = range(decoder.n_total) if gates is None else gates.layers
    heads = config.heads_of(layers)
    found = []
    for i, layer in zip(layers, decoder.open_layers(gates)):
        speech = layer.encoder_attn.look_at(states)
        if own := [head for k, head in heads if k == i]:
            y = layer.encoder_attn_layer_norm(layer.read(x)[0])
            found.append(layer.encoder_attn.weights(y, speech.keys)[0, own])
        x, _ = layer(x, speech, None)
    n_prompt = len(config.prompt)
    x = decoder.log_probs(x[:, n_prompt - 1 : -2])[0, :, : config.end]
    told = torch.tensor(written[n_prompt:-1], device=states.device)
    sure = x.softmax(-1).gather(1, told[:, None])[:, 0]
    return Looks(torch.cat(found), sure, n_prompt)
