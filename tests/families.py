"""A small encoder of every family, and the stock one that it must equal."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from common import tiny_modules
from conftest import WHISPER_SIZE, save_hf, save_whisper
from hub_models import save_bert, save_parakeet
from stock_folders import save_stock
from torch import nn

import dld_brain
from dld_brain.audio.features import FeatureNorm, LogMel, Waveform
from dld_brain.audio.hub_mels import ParakeetMel, SeamlessMel
from dld_brain.audio.whisper_mel import WhisperMel
from dld_brain.encoder.parakeet import parakeet_body
from dld_brain.encoder.wav2vec2_bert import wav2vec2_bert_body
from dld_brain.encoder.wavlm.huggingface import full_config, plain_config
from dld_brain.encoder.whisper.config import KEYS
from dld_brain.run import stock_folder
from speechbrain.lobes.models.transformer.Conformer import ConformerEncoder

#: Characters of the golden model's vocabulary.
TOKENIZER, VOCABULARY = Path("tests/samples/golden/tokenizer.model"), 13


class Family(NamedTuple):
    """A small encoder, and the stock one with the same weights.

    Arguments
    ---------
    modules : dict
        `compute_features`, `normalize` and `model`, in eval mode.
    stock : callable
        (features [1, T, F], layers) -> the output of a stock encoder that
        has those layers alone, [1, T', D].
    n_samples : int
        Audio that the stock encoder takes.
    settings : dict
        As hparams/shared/ has them; none for one that the facade lacks.
    """

    modules: dict[str, Any]
    stock: Callable
    n_samples: int = 16000
    settings: dict[str, Any] = {}

    @property
    def model(self):
        return self.modules["model"]


def family(features, norm, model, stock, **rest) -> Family:
    """A family in eval mode."""
    modules = {"compute_features": features, "normalize": norm, "model": model}
    return Family({k: m.eval() for k, m in modules.items()}, stock, **rest)


def conformer(folder):
    sizes = {"n_total": 4, "d_model": 16, "d_ffn": 32, "n_heads": 2}
    sizes |= {"kernel_size": 7, "vocab_size": VOCABULARY}
    modules = tiny_modules(**sizes)
    model = modules["model"]

    def stock(feats, layers):
        theirs = ConformerEncoder(
            len(layers), 16, 32, 2, 7, attention_type="regularMHA"
        ).eval()
        theirs.norm = nn.Identity()
        for layer, i in zip(theirs.layers, layers):
            layer.load_state_dict(model.layers.layers[i].state_dict())
        return theirs(model.stem(feats, torch.tensor([feats.shape[1]]))[0])[0]

    settings = {"n_mels": 20, "n_fft": 512, "window_ms": 20, "hop_ms": 10}
    settings |= {**sizes, "dropout": 0.0, "stem_activation": "gelu"}
    settings |= {"positions": "sinusoidal", "top_db": 80.0}
    return Family(modules, stock, settings=settings)


def wavlm(folder, is_large=False):
    theirs = save_hf(folder, "wavlm", is_large)
    config = {"layerdrop": 0.0}
    model = dld_brain.wavlm_encoder(str(folder), config, VOCABULARY)
    encoder, whole = theirs.encoder, list(theirs.encoder.layers)
    table = whole[0].attention.rel_attn_embed

    def stock(feats, layers):
        encoder.layers = nn.ModuleList(whole[i] for i in layers)
        whole[layers[0]].attention.rel_attn_embed = table
        return theirs(feats.squeeze(-1)).last_hidden_state

    settings = {"normalize_wav": False, "freeze_stem": True}
    settings["full_config"] = full_config(str(folder), config)
    norm = FeatureNorm("sentence", enabled=False)
    return family(Waveform(), norm, model, stock, settings=settings)


def wavlm_pre_norm(folder):
    return wavlm(folder, is_large=True)


def whisper(folder):
    theirs = save_whisper(folder, encoder_layers=4).model.encoder
    model = dld_brain.whisper_encoder(str(folder), {}, VOCABULARY, n_mels=16)
    whole = list(theirs.layers)

    def stock(feats, layers):
        theirs.layers = nn.ModuleList(whole[i] for i in layers)
        return theirs(feats.transpose(1, 2)).last_hidden_state

    sizes = {k: v for k, v in WHISPER_SIZE.items() if k in KEYS}
    settings = {"n_mels": 16, "freeze_stem": True, "full_config": sizes}
    settings |= {"decoder": None}
    return family(
        WhisperMel(n_mels=16),
        FeatureNorm("sentence", enabled=False),
        model,
        stock,
        n_samples=480_000,
        settings=settings,
    )


def transformer_asr(folder, **changes):
    """A stock folder's modules, and ours with their weights."""
    made = save_stock(folder, **changes)
    theirs, found = made["Transformer"], stock_folder.read_stock(str(folder))
    model, whole = found.make(), list(theirs.encoder.layers)

    def stock(feats, layers):
        theirs.encoder.layers = nn.ModuleList(whole[i] for i in layers)
        return theirs.encode(made["CNN"](feats), torch.ones(1))

    norm = FeatureNorm()
    norm._load_statistics_dict(found.statistics)
    features = LogMel(n_fft=400, n_mels=20, win_length=25)
    settings = found.settings
    return family(features, norm, model, stock, settings=settings)


def conformer_relative(folder):
    return transformer_asr(folder)


def branchformer(folder):
    return transformer_asr(folder, encoder_module="branchformer")


def branchformer_absolute(folder):
    return transformer_asr(
        folder,
        encoder_module="branchformer",
        attention_type="regularMHA",
        use_linear_after_conv=True,
        gate_activation="!name:torch.nn.Sigmoid",
    )


def transformer(folder):
    return transformer_asr(
        folder, encoder_module="transformer", attention_type="regularMHA"
    )


def transformer_post_norm(folder):
    return transformer_asr(
        folder, encoder_module="transformer", normalize_before=False
    )


def wav2vec2_bert(folder, positions="relative_key", **changes):
    theirs = save_bert(folder, positions, **changes).wav2vec2_bert
    model = wav2vec2_bert_body(copy.deepcopy(theirs)).with_head(VOCABULARY)
    whole = list(theirs.encoder.layers)
    theirs.adapter = theirs.intermediate_ffn = None  # behind the encoder

    def stock(feats, layers):
        theirs.encoder.layers = nn.ModuleList(whole[i] for i in layers)
        return theirs(feats).last_hidden_state

    config = plain_config(theirs.config)
    settings = {"n_mels": 80, "n_stacked": 2, "freeze_stem": True}
    settings |= {"config": config, "full_config": config}
    norm = FeatureNorm("sentence", enabled=False)
    return family(SeamlessMel(), norm, model, stock, settings=settings)


def wav2vec2_bert_relative(folder):
    return wav2vec2_bert(folder, "relative")


def wav2vec2_bert_rotary(folder):
    return wav2vec2_bert(folder, "rotary")


def wav2vec2_bert_adapter(folder):
    return wav2vec2_bert(
        folder,
        add_adapter=True,
        num_adapter_layers=2,
        output_hidden_size=24,
        use_intermediate_ffn_before_adapter=True,
    )


def parakeet(folder):
    theirs = save_parakeet(folder).encoder
    model = parakeet_body(copy.deepcopy(theirs)).with_head(VOCABULARY)
    whole = list(theirs.layers)

    def stock(feats, layers):
        theirs.layers = nn.ModuleList(whole[i] for i in layers)
        return theirs(feats).last_hidden_state

    config = plain_config(theirs.config)
    settings = {"n_mels": 32, "n_fft": 512, "window_ms": 25.0, "hop_ms": 10.0}
    settings |= {"preemphasis": 0.97, "freeze_stem": True}
    settings |= {"config": config, "full_config": config}
    norm = FeatureNorm("sentence", enabled=False)
    mels = ParakeetMel(n_mels=32)
    return family(mels, norm, model, stock, settings=settings)


def of_the_docs(folder):
    """The family that docs/new_encoder.md makes."""
    text = Path("docs/new_encoder.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    model = names["transformer_encoder"](4, 16, 2, VOCABULARY, n_mels=20)

    def stock(feats, layers):
        encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                16, 2, norm_first=True, batch_first=True
            ),
            len(layers),
            norm=model.layers.norm,
            enable_nested_tensor=False,
        ).eval()
        for theirs, i in zip(encoder.layers, layers):
            theirs.load_state_dict(model.layers.layers[i].state_dict())
        return encoder(model.stem(feats, torch.tensor([feats.shape[1]]))[0])

    norm = FeatureNorm("sentence", enabled=False)
    return family(LogMel(n_mels=20), norm, model, stock)


FAMILIES = [
    conformer,
    wavlm,
    wavlm_pre_norm,
    whisper,
    conformer_relative,
    branchformer,
    branchformer_absolute,
    transformer,
    transformer_post_norm,
    wav2vec2_bert,
    wav2vec2_bert_relative,
    wav2vec2_bert_rotary,
    wav2vec2_bert_adapter,
    parakeet,
    of_the_docs,
]
