"""One depth of WavLM, wav2vec 2.0 or HuBERT as stock SpeechBrain has it.

Which is Hugging Face's model in a wrapper, saved beside the head.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from dld_brain.encoder.encoder import DynamicEncoder

TEXT = """
# Where this folder is; if it was moved, give overrides={{"folder": ...}}.
folder: {folder}
wavlm: !new:speechbrain.integrations.huggingface.{wrapper}
    source: !ref <folder>/huggingface
    save_path: !ref <folder>/huggingface
    output_norm: False
    freeze: True
asr: !new:speechbrain.nnet.containers.LengthsCapableSequential
    head: !new:torch.nn.Linear
        in_features: {width}
        out_features: {vocab_size}
    log_softmax: !new:torch.nn.LogSoftmax
        dim: -1
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
    wavlm: !ref <wavlm>
    asr: !ref <asr>
weights: !ref <asr>
"""
#: By `model_type`.
WRAPPERS = {
    "wavlm": "wavlm.WavLM",
    "wav2vec2": "wav2vec2.Wav2Vec2",
    "hubert": "hubert.HuBERT",
}


def values(
    hparams: Mapping[str, Any], model: DynamicEncoder, folder: Path
) -> dict[str, Any]:
    """What stands in the places of TEXT, but for the sizes.

    Arguments
    ---------
    model : DynamicEncoder
        Of the one depth.
    folder : Path
        Where the folder will be.
    """
    return {
        "folder": folder,
        "width": model.head.in_features,
        "wrapper": WRAPPERS[hparams["config"]["model_type"]],
    }


def copy_weights(model: DynamicEncoder, stock: Mapping[str, Any]) -> None:
    """Gives SpeechBrain's modules the head: the wrapper has read the rest.

    Arguments
    ---------
    stock : mapping
        What TEXT makes.
    """
    stock["asr"].head.load_state_dict(model.head.state_dict())


def save_huggingface(
    model: DynamicEncoder, hparams: Mapping[str, Any], folder: Path
) -> None:
    """Writes Hugging Face's model with our weights.

    Arguments
    ---------
    hparams : mapping
        Its hyperparameters: `config` and `normalize_wav`.
    """
    import transformers

    from dld_brain.encoder.wavlm.huggingface import make_config

    changes = {"num_hidden_layers": model.n_total}
    config = make_config(None, {**hparams["config"], **changes})
    backbone = transformers.AutoModel.from_config(config)
    fill_backbone(backbone, model)
    backbone.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(
        do_normalize=hparams["normalize_wav"]
    ).save_pretrained(folder)


def fill_backbone(backbone: nn.Module, model: DynamicEncoder) -> None:
    """Gives Hugging Face's model our weights, the bias in layer 0."""
    stem, encoder = model.stem, backbone.encoder
    is_pre_norm = backbone.config.do_stable_layer_norm
    pairs = [
        (backbone.feature_extractor.conv_layers, stem.conv_layers),
        (backbone.feature_projection, stem.projection),
        (encoder.pos_conv_embed, stem.pos_conv_embed),
        (encoder.layer_norm, model.layers.norm if is_pre_norm else stem.norm),
    ]
    for theirs, ours in pairs:
        theirs.load_state_dict(ours.state_dict(), strict=True)
    for i, (theirs, ours) in enumerate(
        zip(encoder.layers, model.layers.layers, strict=True)
    ):
        state = ours.state_dict()
        if i == 0 and model.bias is not None:
            weight = model.bias.embedding.weight
            state["attention.rel_attn_embed.weight"] = weight
        theirs.load_state_dict(state, strict=True)
