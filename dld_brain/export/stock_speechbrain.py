"""A model of one depth that stock SpeechBrain loads.

`EncoderASR.from_hparams` of a machine that does not have this package
loads the folder. For the Conformer and the encoders of a TransformerASR,
SpeechBrain's own gets the weights; for WavLM, Hugging Face's model, saved
beside them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from hyperpyyaml import load_hyperpyyaml
from torch import nn

from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.part import part_of
from dld_brain.encoder.transformer_asr.stem import TransformerASRStem
from dld_brain.encoder.wavlm.stem import WaveformStem
from dld_brain.encoder.whisper.layers import WhisperStem
from dld_brain.export import stock_transformer_asr
from dld_brain.gates.gates import Gates
from speechbrain.nnet.containers import LengthsCapableSequential

HEADER = """# yamllint disable
# One depth of a dynamic model, for SpeechBrain alone: layers {layers}.
# > from speechbrain.inference.ASR import EncoderASR
# > asr = EncoderASR.from_hparams(source="this folder")
sample_rate: {sample_rate}
"""

FEATURES = """
compute_features: !new:speechbrain.lobes.features.Fbank
    sample_rate: {sample_rate}
    n_fft: {n_fft}
    n_mels: {n_mels}
    win_length: {window_ms}
    hop_length: {hop_ms}
normalize: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
"""

CONFORMER = """
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

WAVLM = """
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

FOOTER = """
modules:
    encoder: !ref <encoder>
tokenizer: !new:sentencepiece.SentencePieceProcessor
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode
    blank_id: 0
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        weights: !ref <weights>
        tokenizer: !ref <tokenizer>
{normalize}"""
NORMALIZE = "        normalize: !ref <normalize>\n"
#: Frames of 40 ms that the model has positions for: 67 minutes.
MAX_LENGTH = 100_000
WRAPPERS = {
    "wavlm": "wavlm.WavLM",
    "wav2vec2": "wav2vec2.Wav2Vec2",
    "hubert": "hubert.HuBERT",
}


def write_submodel(
    hparams: Mapping[str, Any],
    gates: Gates,
    output: str,
    home: Optional[str] = None,
) -> None:
    """Writes the folder.

    Arguments
    ---------
    hparams : mapping
        Of a model that was loaded.
    home : str, optional
        Where the folder will be, if not in `output`.

    Raises
    ------
    ValueError
        If the layers by themselves are no such model; see `part_of`.
    """
    whole = hparams["model"]
    if isinstance(whole.stem, WhisperStem):
        raise ValueError(
            "a model for SpeechBrain alone must be of a Conformer or WavLM, "
            "but is of a Whisper, of whose encoder SpeechBrain's wrapper takes "
            "30 s alone: use `python -m dld_brain.export onnx`"
        )
    kind = (hparams.get("config") or {}).get("model_type")
    if kind in ("wav2vec2-bert", "parakeet_encoder"):
        raise ValueError(
            f"a model for SpeechBrain alone must be of a Conformer or WavLM, "
            f"but is of a {kind}, which SpeechBrain has no wrapper for: use "
            f"`python -m dld_brain.export hf`"
        )
    path = Path(output)
    model = part_of(whole, gates)
    values = {**hparams, "n_total": gates.depth, "layers": list(gates.layers)}
    is_wavlm = isinstance(whole.stem, WaveformStem)
    is_asr = isinstance(whole.stem, TransformerASRStem)
    if is_wavlm:
        save_huggingface(model, hparams, path / "huggingface")
        values |= {
            "folder": Path(home or output).resolve(),
            "width": model.head.in_features,
            "wrapper": WRAPPERS[hparams["config"]["model_type"]],
        }
        text = HEADER + WAVLM + FOOTER.replace("{normalize}", "")
    else:
        if is_asr:
            values |= stock_transformer_asr.values(hparams["config"], gates)
            body = stock_transformer_asr.TEXT
        else:
            activation = type(whole.stem.activation)
            values["activation"] = f"torch.nn.{activation.__name__}"
            values["max_length"] = MAX_LENGTH
            body = CONFORMER
        footer = FOOTER.replace("{normalize}", NORMALIZE)
        text = HEADER + FEATURES + body + footer
        hparams["normalize"]._save(path / "normalize.ckpt")
    text = text.format(**values)
    (path / "hyperparams.yaml").write_text(text)
    tokenizer = hparams["tokenizer"].serialized_model_proto()
    (path / "tokenizer.ckpt").write_bytes(tokenizer)
    changes = {"folder": str(path)} if is_wavlm else {}
    stock = load_hyperpyyaml(text, changes)
    if is_wavlm:
        stock["asr"].head.load_state_dict(model.head.state_dict())
    elif is_asr:
        stock_transformer_asr.copy_weights(model, stock["weights"])
    else:
        copy_conformer(model, stock["asr"])
    torch.save(stock["weights"].state_dict(), path / "weights.ckpt")


@torch.no_grad()
def copy_conformer(
    model: DynamicEncoder, stock: LengthsCapableSequential
) -> None:
    """Gives SpeechBrain's encoder our weights, every one of them.

    SpeechBrain projects behind the stem, which becomes the identity, and
    has a norm behind the last layer. A LayerNorm of what has mean 0 and
    variance 1 changes nothing (but for its eps): that norm takes over the
    scale and shift of the last layer's own, which become 1 and 0.
    """
    stock.conv1.conv.load_state_dict(model.stem.conv1.state_dict())
    stock.conv2.conv.load_state_dict(model.stem.conv2.state_dict())
    stock.head.load_state_dict(model.head.state_dict())
    transformer = stock.encoder.transformer
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
