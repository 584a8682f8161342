"""EncoderASR folders as SpeechBrain has them: small, of random weights."""

import re
from pathlib import Path
from typing import Any, Optional

import torch
from hyperpyyaml import load_hyperpyyaml

from dld_brain.tasks.tokenizer import train_tokenizer
from speechbrain.dataio.encoder import CTCTextEncoder
from speechbrain.inference.ASR import EncoderASR
from speechbrain.utils.fetching import LocalStrategy

#: What a folder of SpeechBrain's recipe LibriSpeech/ASR/CTC says, but small.
YAML = """
# Feature parameters
sample_rate: 16000
n_fft: 400
n_mels: 20
# Model
d_model: 16
num_encoder_layers: 4
activation: !name:torch.nn.GELU
output_neurons: 13
blank_index: 0
minus_inf: -1e20
__set_seed: !apply:torch.manual_seed [1]

compute_features: !new:speechbrain.lobes.features.Fbank
    sample_rate: !ref <sample_rate>
    n_fft: !ref <n_fft>
    n_mels: !ref <n_mels>
normalizer: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
CNN: !new:speechbrain.lobes.models.convolution.ConvolutionFrontEnd
    input_shape: (8, 10, 20)
    num_blocks: 2
    num_layers_per_block: 1
    out_channels: (6, 4)
    kernel_sizes: (3, 3)
    strides: (2, 2)
    residuals: (False, True)
Transformer: !new:speechbrain.lobes.models.transformer.TransformerASR.TransformerASR # yamllint disable-line
    input_size: !ref <n_mels> * 4 // 4
    tgt_vocab: !ref <output_neurons>
    d_model: !ref <d_model>
    nhead: 2
    num_encoder_layers: !ref <num_encoder_layers>
    num_decoder_layers: 0
    d_ffn: 32
    dropout: 0.1
    activation: !ref <activation>
    encoder_module: conformer
    attention_type: RelPosMHAXL
    kernel_size: 7
    csgu_linear_units: 24
    normalize_before: True
    causal: False
ctc_lin: !new:speechbrain.nnet.linear.Linear
    input_size: !ref <d_model>
    n_neurons: !ref <output_neurons>
log_softmax: !new:torch.nn.LogSoftmax
    dim: -1
asr_model: !new:torch.nn.ModuleList
    - [!ref <CNN>, !ref <Transformer>, !ref <ctc_lin>]
encoder_wrapper: !new:speechbrain.lobes.models.transformer.TransformerASR.EncoderWrapper
    transformer: !ref <Transformer>
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
    input_shape: [null, null, !ref <n_mels>]
    compute_features: !ref <compute_features>
    normalize: !ref <normalizer>
    cnn: !ref <CNN>
    transformer_encoder: !ref <encoder_wrapper>
    ctc_lin: !ref <ctc_lin>
    log_softmax: !ref <log_softmax>
tokenizer: !new:sentencepiece.SentencePieceProcessor
modules:
    normalizer: !ref <normalizer>
    encoder: !ref <encoder>
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode
    blank_id: !ref <blank_index>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        normalizer: !ref <normalizer>
        asr: !ref <asr_model>
        tokenizer: !ref <tokenizer>
"""
SENTENCES = ["a bad dog had a bed", "he had a good head", "go ahead, be bold"]


def setting(text: str, key: str, value: Any) -> str:
    """The text with another value of a key; of one that is not, a new line."""
    pattern = rf"(?m)^( *{key}:) .*$"
    if not re.search(pattern, text):
        pattern, value = r"(?m)^( *causal:) .*$", f"False\n    {key}: {value}"
    return re.sub(pattern, rf"\g<1> {value}", text, count=1)


def save_stock(
    folder: Path, labels: Optional[list[str]] = None, **changes: Any
) -> dict[str, Any]:
    """Saves such a folder, and gives its objects.

    Arguments
    ---------
    labels : list of str, optional
        Of a CTCTextEncoder, in the place of SentencePiece.
    **changes : Any
        Values of its keys.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = YAML
    if labels is not None:
        kind = "!new:speechbrain.dataio.encoder.CTCTextEncoder"
        changes = {"tokenizer": kind, **changes}
    for key, value in changes.items():
        text = setting(text, key, value)
    (folder / "hyperparams.yaml").write_text(text)
    torch.manual_seed(0)
    made = load_hyperpyyaml(text)
    for weight in made["asr_model"].parameters():  # zeros say nothing
        torch.nn.init.normal_(weight, weight.mean().item(), 0.2)
    torch.save(made["asr_model"].state_dict(), folder / "asr.ckpt")
    norm = made["normalizer"]
    norm.count = 3
    norm.glob_mean = torch.linspace(-30.0, -10.0, made["n_mels"])
    norm.glob_std = torch.linspace(8.0, 12.0, made["n_mels"])
    norm._save(folder / "normalizer.ckpt")
    if labels is None:
        pieces = folder / "tokenizer.ckpt"
        train_tokenizer(pieces, SENTENCES, "bpe", vocab_size=13)
    else:
        encoder = CTCTextEncoder()
        encoder.update_from_iterable(labels, sequence_input=False)
        encoder.insert_blank(index=made["blank_index"])
        encoder.save(folder / "tokenizer.ckpt")
    for key in ("CNN", "encoder"):
        made[key].eval()
    return made


def stock_asr(folder: Any, place: Any) -> EncoderASR:
    """SpeechBrain's own interface, from a folder."""
    return EncoderASR.from_hparams(
        source=str(folder),
        savedir=str(place),
        local_strategy=LocalStrategy.COPY,
    )
