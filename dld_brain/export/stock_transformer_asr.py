"""One depth of a TransformerASR as stock SpeechBrain has it."""

from collections.abc import Mapping
from typing import Any

import torch

from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.transformer_asr.config import (
    ACTIVATIONS,
    FRONT_KEY,
    full_config,
)
from dld_brain.gates.gates import Gates

TEXT = """
cnn: !new:speechbrain.lobes.models.convolution.ConvolutionFrontEnd
    input_shape: [8, 10, {n_mels}]
{front}
transformer: !new:speechbrain.lobes.models.transformer.TransformerASR.TransformerASR
    tgt_vocab: {vocab_size}
    num_decoder_layers: 0
    causal: False
{body}
ctc_lin: !new:torch.nn.Linear
    in_features: {width}
    out_features: {vocab_size}
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
    compute_features: !ref <compute_features>
    normalize: !ref <normalize>
    cnn: !ref <cnn>
    transformer: !new:speechbrain.lobes.models.transformer.TransformerASR.EncoderWrapper
        transformer: !ref <transformer>
    ctc_lin: !ref <ctc_lin>
    log_softmax: !new:torch.nn.LogSoftmax
        dim: -1
weights: !new:torch.nn.ModuleList
    - [!ref <cnn>, !ref <transformer>, !ref <ctc_lin>]
"""


def values(hparams: Mapping[str, Any], gates: Gates) -> dict[str, Any]:
    """What stands in the places of TEXT, but for the features.

    Arguments
    ---------
    hparams : mapping
        Of the whole model.
    """
    body = full_config(hparams["config"])
    front = body.pop(FRONT_KEY)
    body["num_encoder_layers"] = gates.depth
    return {
        "front": _lines(front),
        "body": _lines(body),
        "width": body["d_model"],
    }


def _lines(arguments: Mapping[str, Any]) -> str:
    """Arguments as YAML, a line each."""
    return "\n".join(
        f"    {key}: {'!name:' if value in NAMES else ''}{value}"
        for key, value in arguments.items()
    )


NAMES = tuple(ACTIVATIONS)


@torch.no_grad()
def copy_weights(model: DynamicEncoder, stock: Mapping[str, Any]) -> None:
    """Gives SpeechBrain's modules our weights, every one of them.

    Arguments
    ---------
    stock : mapping
        What TEXT makes.
    """
    cnn, transformer, head = stock["weights"]
    encoder, layers = transformer.encoder, model.layers.layers
    pairs = [
        (cnn, model.stem.cnn),
        (transformer.custom_src_module, model.stem.project),
        (encoder.norm, model.layers.norm),
        (head, model.head),
    ]
    pairs += [
        (theirs, ours.stock)
        for theirs, ours in zip(encoder.layers, layers, strict=True)
    ]
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict(), strict=True)
