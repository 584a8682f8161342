"""One depth of the Conformer as stock SpeechBrain has it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.gates.gates import Gates

TEXT = """
transformer: !new:speechbrain.lobes.models.transformer.TransformerASR.TransformerASR
    input_size: {d_model}
    tgt_vocab: {vocab_size}
    d_model: {d_model}
    nhead: {n_heads}
    num_encoder_layers: {n_total}
    num_decoder_layers: 0
    d_ffn: {d_ffn}
    dropout: 0.0
    activation: !name:torch.nn.SiLU
    encoder_module: conformer
    conformer_activation: !name:torch.nn.SiLU
    attention_type: regularMHA
    kernel_size: {kernel_size}
    normalize_before: True
    causal: False
    max_length: {max_length}
asr: !new:speechbrain.nnet.containers.LengthsCapableSequential
    conv1: !new:speechbrain.nnet.CNN.Conv1d
        in_channels: {n_mels}
        out_channels: {d_model}
        kernel_size: 3
        stride: 2
        padding: valid
    activation1: !new:{activation}
    conv2: !new:speechbrain.nnet.CNN.Conv1d
        in_channels: {d_model}
        out_channels: {d_model}
        kernel_size: 3
        stride: 2
        padding: valid
    activation2: !new:{activation}
    encoder: !new:speechbrain.lobes.models.transformer.TransformerASR.EncoderWrapper
        transformer: !ref <transformer>
    head: !new:torch.nn.Linear
        in_features: {d_model}
        out_features: {vocab_size}
    log_softmax: !new:torch.nn.LogSoftmax
        dim: -1
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
    compute_features: !ref <compute_features>
    normalize: !ref <normalize>
    asr: !ref <asr>
# The modules of `asr` that have weights: its table of {max_length} positions is
# computed, not stored.
weights: !new:torch.nn.ModuleDict
    modules:
        conv1: !apply:operator.getitem [!ref <asr>, conv1]
        conv2: !apply:operator.getitem [!ref <asr>, conv2]
        source: !apply:getattr [!ref <transformer>, custom_src_module]
        layers: !apply:getattr [!ref <transformer>, encoder]
        head: !apply:operator.getitem [!ref <asr>, head]
"""
#: Frames of 40 ms that the model has positions for: 67 minutes.
MAX_LENGTH = 100_000


def values(hparams: Mapping[str, Any], gates: Gates) -> dict[str, Any]:
    """What stands in the places of TEXT, but for the sizes.

    Arguments
    ---------
    hparams : mapping
        Of the whole model.
    """
    activation = type(hparams["model"].stem.activation)
    return {
        "activation": f"torch.nn.{activation.__name__}",
        "max_length": MAX_LENGTH,
    }


@torch.no_grad()
def copy_weights(model: DynamicEncoder, stock: Mapping[str, Any]) -> None:
    """Gives SpeechBrain's encoder our weights, every one of them.

    SpeechBrain projects behind the stem, which becomes the identity, and
    has a norm behind the last layer. A LayerNorm of what has mean 0 and
    variance 1 changes nothing (but for its eps): that norm takes over the
    scale and shift of the last layer's own, which become 1 and 0.

    Arguments
    ---------
    stock : mapping
        What TEXT makes.
    """
    asr = stock["asr"]
    asr.conv1.conv.load_state_dict(model.stem.conv1.state_dict())
    asr.conv2.conv.load_state_dict(model.stem.conv2.state_dict())
    asr.head.load_state_dict(model.head.state_dict())
    transformer = asr.encoder.transformer
    (linear,) = (
        m
        for m in transformer.custom_src_module.modules()
        if isinstance(m, nn.Linear)
    )
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    encoder = transformer.encoder
    for theirs, ours in zip(encoder.layers, model.layers.layers, strict=True):
        theirs.load_state_dict(ours.state_dict(), strict=True)
    last = encoder.layers[-1].norm2.norm
    encoder.norm.norm.load_state_dict(last.state_dict())
    nn.init.ones_(last.weight)
    nn.init.zeros_(last.bias)
