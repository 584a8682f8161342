"""Reads WavLM, wav2vec 2.0 and HuBERT models that transcribe already."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.wavlm.huggingface import (
    MODEL_TYPES,
    full_config,
    one_line,
    read_config,
    transformers,
)
from dld_brain.encoder.wavlm.layers import wavlm_encoder

SAMPLE_RATE = 16000
NO_LAYERDROP = {"layerdrop": 0.0}  # gates decide which layers run
SPACE = "\u2581"  # what parts words
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
ARCHITECTURES = ("Wav2Vec2ForCTC", "HubertForCTC", "WavLMForCTC")
#: Characters alone: words of a class for phonemes cannot be read.
TOKENIZERS = ("Wav2Vec2CTCTokenizer", "Wav2Vec2Tokenizer")


class CTCModel(NamedTuple):
    """What a CTC model says of itself, without its weights.

    Arguments
    ---------
    config : dict
        The whole configuration.
    outputs : list of int
        Its outputs in our order: the blank first.
    symbols : list of str
        What they stand for, in our order.
    """

    source: str
    config: dict[str, Any]
    outputs: list[int]
    symbols: list[str]
    normalize_wav: bool


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
        normalize_wav = _read_extractor(source)
        config = full_config(source, NO_LAYERDROP)
        size = config["vocab_size"]
        symbols, blank = _read_symbols(source, size)
    outputs = [blank, *(i for i in range(size) if i != blank)]
    return CTCModel(
        source, config, outputs, [symbols[i] for i in outputs], normalize_wav
    )


def load_ctc(model: CTCModel) -> DynamicEncoder:
    """Makes a dynamic encoder that gives what a CTC model gives.

    Raises
    ------
    ValueError
        If its weights are not what its configuration says.
    """
    source = model.source
    with _quiet():
        try:
            theirs, info = transformers.AutoModelForCTC.from_pretrained(
                source, dtype=torch.float32, output_loading_info=True
            )
        except (RuntimeError, OSError, ValueError) as error:
            raise ValueError(
                f"the weights of {source} do not fit its configuration: "
                f"{one_line(error)}"
            ) from error
        if any(key.startswith("lm_head") for key in info["missing_keys"]):
            raise ValueError(_without_head(source))
        head: nn.Linear = theirs.lm_head
        del theirs  # the encoder is read once more, as for pretraining's
        encoder = wavlm_encoder(
            source,
            NO_LAYERDROP,
            vocab_size=len(model.symbols),
            normalize_wav=model.normalize_wav,
        )
    with torch.no_grad():
        encoder.head.weight.copy_(head.weight[model.outputs])
        encoder.head.bias.copy_(head.bias[model.outputs])
    return encoder.eval()


def check_place(source: str) -> None:
    """Raises for what is neither a folder nor the id of a model of the Hub.

    Example
    -------
    >>> check_place("facebook/wav2vec2-base-960h")
    >>> check_place("./wav2vec2")
    Traceback (most recent call last):
    ...
    FileNotFoundError: `model` must be a folder, or an id of the Hub ...
    """
    is_id = HUB_ID.fullmatch(source) and not source.startswith((".", "~"))
    if not (Path(source).is_dir() or is_id):
        raise FileNotFoundError(
            f"`model` must be a folder, or an id of the Hub (owner/name), but "
            f"{source} is no folder"
        )


def check_kind(source: str, config: dict[str, Any]) -> None:
    """Raises unless a configuration is of a CTC model that we know."""
    kind = config.get("model_type")
    names = config.get("architectures") or []
    if kind not in MODEL_TYPES:
        raise ValueError(
            f"`model` must be one of {', '.join(ARCHITECTURES)}, but {source} "
            f"is a {names[0] if names else kind}: give a CTC model of "
            f"{', '.join(MODEL_TYPES)}"
        )
    if names and not set(names) & set(ARCHITECTURES):
        raise ValueError(_without_head(source))


def _without_head(source: str) -> str:
    """What to do with a model that does not transcribe."""
    return (
        f"`model` must have a CTC head, but {source} has none: give one that "
        f"was fine-tuned to transcribe, or fine-tune this one (python train.py "
        f"hparams/wavlm_dld.yaml --source={source})"
    )


def _read_extractor(source: str) -> bool:
    """Whether a model takes normalised waveforms; raises for another rate."""
    try:
        found = transformers.AutoFeatureExtractor.from_pretrained(source)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{source} must say what audio it takes, but its "
            f"preprocessor_config.json cannot be read: {one_line(error)}"
        ) from error
    if found.sampling_rate != SAMPLE_RATE:
        raise ValueError(
            f"`model` must take audio of {SAMPLE_RATE} Hz, but {source} takes "
            f"{found.sampling_rate} Hz: give a model of {SAMPLE_RATE} Hz"
        )
    return bool(found.do_normalize)


def _read_symbols(source: str, size: int) -> tuple[list[str], int]:
    """What the outputs of a model stand for, and which is the blank."""
    try:
        written = transformers.models.auto.tokenization_auto
        settings = written.get_tokenizer_config(source)
        tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(source)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{source} must have a vocabulary of characters, but its "
            f"vocab.json or tokenizer_config.json cannot be read: "
            f"{one_line(error)}"
        ) from error
    name = settings.get("tokenizer_class") or TOKENIZERS[0]
    if name not in TOKENIZERS:
        raise ValueError(
            f"{source} must spell words by a {TOKENIZERS[0]}, but has a "
            f"{name}: give a model of characters"
        )
    tokens = {
        int(i): token["content"]
        for i, token in settings.get("added_tokens_decoder", {}).items()
    } | {i: token for token, i in tokenizer.encoder.items()}
    return symbols_of(source, tokens, tokenizer, size)


def symbols_of(
    source: str, tokens: dict[int, str], tokenizer: Any, size: int
) -> tuple[list[str], int]:
    """Symbols by output, and the blank.

    Arguments
    ---------
    tokens : dict of int to str
        That the files of the model name, by output.
    tokenizer : transformers.Wav2Vec2CTCTokenizer
        Says which are special; it makes up those that the files lack.
    size : int
        Outputs of the head.

    Raises
    ------
    ValueError
        If there is no blank, or nothing parts words.
    """
    by_token = {token: i for i, token in tokens.items() if 0 <= i < size}
    needed = {
        "blank (pad_token)": tokenizer.pad_token,
        "word delimiter (word_delimiter_token)": tokenizer.word_delimiter_token,
    }
    for what, token in needed.items():
        if token not in by_token:
            raise ValueError(
                f"the vocabulary of {source} must have a {what}, but none of "
                f"its {size} outputs is {token!r}: add it to vocab.json, if "
                f"one of them is it, or give another model"
            )
    blank, gap = (by_token[token] for token in needed.values())
    symbols = [tokens.get(i) or f"<{i}>" for i in range(size)]
    if tokenizer.do_lower_case:  # its letters are capitals, its text is not
        taken = set(symbols)
        symbols = [
            s.lower() if len(s) == 1 and s.lower() not in taken else s
            for s in symbols
        ]
    symbols[gap] = SPACE
    return symbols, blank


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
