"""Reads models of the Hub that transcribe already, by CTC."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.parakeet import parakeet_body
from dld_brain.encoder.wav2vec2_bert import wav2vec2_bert_body
from dld_brain.encoder.wavlm.ctc_front import read_front
from dld_brain.encoder.wavlm.ctc_kinds import (
    KINDS,
    check_kind,
    check_place,
    without_head,
)
from dld_brain.encoder.wavlm.ctc_vocabulary import (
    Symbols,
    read_characters,
    read_pieces,
)
from dld_brain.encoder.wavlm.huggingface import (
    make_config,
    plain_config,
    read_config,
    refusals_say,
    transformers,
)
from dld_brain.encoder.wavlm.layers import wavlm_encoder

NO_LAYERDROP = {"layerdrop": 0.0}  # gates decide which layers run


class CTCModel(NamedTuple):
    """What a CTC model says of itself, without its weights.

    Arguments
    ---------
    config : dict
        The whole configuration, of its encoder.
    outputs : list of int
        Its outputs in our order: the blank first.
    symbols : Symbols
        What they stand for, in our order.
    front : dict
        Settings of its features; see `read_front`.
    """

    source: str
    family: str
    config: dict[str, Any]
    outputs: list[int]
    symbols: Symbols
    front: dict[str, Any]


def read_ctc(source: str) -> CTCModel:
    """Reads all of a CTC model but its weights.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, and it cannot be fetched.
    ValueError
        If it is another kind of model, or one that we cannot use.
    """
    check_place(source)
    with _quiet():
        found = read_config(source)
        check_kind(source, found)
        family = KINDS[found["model_type"]].family
        front = read_front(source, family)
        config, size = _read_sizes(source, found)
        check_width(source, config, front)
        read = read_pieces if family == "parakeet" else read_characters
        symbols = read(source, size)
    return CTCModel(
        source, family, config, symbols.order, symbols.blank_first(), front
    )


def _read_sizes(
    source: str, found: dict[str, Any]
) -> tuple[dict[str, Any], int]:
    """The configuration of the encoder, and how many outputs there are."""
    kind = found["model_type"]
    if kind == "parakeet_ctc":
        with refusals_say(
            f"the configuration of {source} must be one of a {kind}, but "
            f"transformers refuses it"
        ):
            whole = transformers.AutoConfig.from_pretrained(source)
        changes = {**whole.encoder_config.to_dict(), **NO_LAYERDROP}
        config = make_config(None, changes, ("parakeet_encoder",))
        return plain_config(config), whole.vocab_size
    config = make_config(source, NO_LAYERDROP, (kind,))
    if config.vocab_size is None:
        raise ValueError(without_head(source))
    return plain_config(config), config.vocab_size


def check_width(
    source: str, config: dict[str, Any], front: dict[str, Any]
) -> None:
    """Raises where features are not as wide as the encoder takes them.

    Example
    -------
    >>> sizes = {"num_mel_bins": 128}
    >>> check_width("x", sizes, {"n_mels": 80})
    Traceback (most recent call last):
    ...
    ValueError: the features of x must be 128 wide, as its encoder ...
    """
    names = ("feature_projection_input_dim", "num_mel_bins")
    asked = next((config[name] for name in names if name in config), None)
    width = front.get("n_mels", 0) * front.get("n_stacked", 1)
    if asked is not None and asked != width:
        raise ValueError(
            f"the features of {source} must be {asked} wide, as its encoder "
            f"takes them, but preprocessor_config.json makes them {width}: "
            f"give the model's own"
        )


def load_ctc(model: CTCModel) -> DynamicEncoder:
    """Makes a dynamic encoder that gives what a CTC model gives.

    Raises
    ------
    ValueError
        If its weights are not what its configuration says.
    """
    with _quiet():
        theirs = _load(model.source)
        encoder, head = _taken_apart(model, theirs)
    with torch.no_grad():
        weight = head.weight[model.outputs]
        encoder.head.weight.copy_(weight.reshape(len(weight), -1))
        encoder.head.bias.copy_(head.bias[model.outputs])
    return encoder.eval()


def _load(source: str) -> nn.Module:
    """transformers' model, all of its weights read."""
    with refusals_say(
        f"the weights of {source} cannot be read or do not fit its configuration"
    ):
        theirs, info = transformers.AutoModelForCTC.from_pretrained(
            source, dtype=torch.float32, output_loading_info=True
        )
    missing = [k for k in info["missing_keys"] if "masked_spec_embed" not in k]
    if any(key.startswith(("lm_head", "ctc_head")) for key in missing):
        raise ValueError(without_head(source))
    if missing:
        raise ValueError(
            f"{source} must hold all weights of its configuration, but lacks "
            f"{len(missing)}: {', '.join(sorted(missing)[:3])}"
        )
    return theirs


def _taken_apart(
    model: CTCModel, theirs: nn.Module
) -> tuple[DynamicEncoder, nn.Module]:
    """Our encoder with their weights, and their head."""
    size = len(model.outputs)
    if model.family == "parakeet":
        body = parakeet_body(theirs.encoder)
        return body.with_head(size), theirs.ctc_head
    head = theirs.lm_head
    if model.family == "wav2vec2_bert":
        body = wav2vec2_bert_body(theirs.base_model)
        return body.with_head(size), head
    del theirs  # the encoder is read once more, as for pretraining's
    encoder = wavlm_encoder(
        model.source,
        NO_LAYERDROP,
        vocab_size=size,
        normalize_wav=model.front["normalize_wav"],
    )
    return encoder, head


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what a library says of each try to fetch: the last is told."""
    loggers = [
        logging.getLogger(n) for n in ("huggingface_hub", "transformers")
    ]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
