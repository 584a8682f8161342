"""A Whisper with its decoder, as a model folder of ours."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

from dld_brain.audio.whisper_mel import SAMPLE_RATE
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.whisper.config import DECODER_KEYS, DecoderConfig
from dld_brain.encoder.whisper.files import (
    OF_AUDIO,
    has_own_output,
    read_object,
)
from dld_brain.encoder.whisper.layers import whisper_encoder
from dld_brain.encoder.whisper.source import find_source
from dld_brain.tasks import Seq2SeqTask

logger = logging.getLogger(__name__)

#: What stands in front of a transcript, as tokens are spelled.
START, TASK, NO_TIMES = (
    "<|startoftranscript|>",
    "<|transcribe|>",
    "<|notimestamps|>",
)
#: The one language of an English-only model, and the one by default.
ENGLISH = "en"
#: Tokens of a multilingual model, at least: one more than English alone has
#: (`Whisper.is_multilingual` of https://github.com/openai/whisper).
MULTILINGUAL_TOKENS = 51865
#: Lists of tokens that no transcript has: null is an empty one.
SUPPRESSED = ("begin_suppress_tokens", "suppress_tokens")


def read_whole(
    source: str, language: Optional[str] = None
) -> tuple[DynamicEncoder, Seq2SeqTask, dict[str, Any]]:
    """Model, task and sizes of a Whisper of Hugging Face.

    Arguments
    ---------
    source : str
        Hub id, or a folder.
    language : str, optional
        That a multilingual one is told, ISO 639-1; English if not given.

    Raises
    ------
    ValueError
        If it has no tokenizer, is of another rate than 16 kHz, its decoder is
        none of Whisper's, or it knows no such language.
    """
    found = find_source(source, {})
    if found.folder is None or not (found.folder / Seq2SeqTask.file).is_file():
        raise ValueError(
            f"{source} must hold a Whisper of Hugging Face with its "
            f"{Seq2SeqTask.file}, but lacks that: save the tokenizer beside it"
        )
    _check_rate(found.folder)
    task = Seq2SeqTask.load(found.folder / Seq2SeqTask.file)
    config = _decoder_config(found.folder, task, language or ENGLISH, source)
    n_mels, vocab_size = found.config.num_mel_bins, config.vocab_size
    decoder = json.loads(json.dumps(asdict(config)))  # lists, as in a folder
    sizes = {
        "architecture": "whisper",
        "sample_rate": SAMPLE_RATE,
        "n_mels": n_mels,
        "config": asdict(found.config),
        "full_config": asdict(found.config),
        "vocab_size": vocab_size,
        "decoder": decoder,
    }
    model = whisper_encoder(source, {}, vocab_size, n_mels, decoder=decoder)
    return model, task, sizes


def _check_rate(folder: Path) -> None:
    """Raises for a model that hears audio of another rate."""
    for path in (folder / name for name in OF_AUDIO):
        if not path.is_file():
            continue
        told = read_object(path)
        nested = told.get("feature_extractor")  # as transformers 5 writes it
        told = nested if isinstance(nested, dict) else told
        rate = told.get("sampling_rate")
        if rate not in (None, SAMPLE_RATE):
            raise ValueError(
                f"`sampling_rate` of {path} must be {SAMPLE_RATE}, a "
                f"Whisper's, but is {rate}: give a model of {SAMPLE_RATE} Hz, "
                f"to which audio of any rate is resampled"
            )


def _decoder_config(
    folder: Path, task: Seq2SeqTask, language: str, source: str
) -> DecoderConfig:
    """What config.json and generation_config.json say of the decoder."""
    told: dict[str, Any] = {}
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        if path.is_file():
            content = read_object(path)
            told |= {k: v for k, v in content.items() if v is not None}
            told |= {k: [] for k in SUPPRESSED if content.get(k, 0) is None}
    if told.get("tie_word_embeddings") is False and has_own_output(folder):
        raise ValueError(
            f"`tie_word_embeddings` of {source} must be true, as Whisper's "
            f"tokens go in and come out by one table, but are two: give a "
            f"model that was trained so"
        )
    size = told.get("vocab_size")
    # Not all that were fine-tuned still say what they are.
    by_size = type(size) is not int or size >= MULTILINGUAL_TOKENS
    is_multilingual = told.get("is_multilingual", by_size)
    if not is_multilingual and language != ENGLISH:
        raise ValueError(
            f"`language` must be {ENGLISH} for {source}, which knows no other, "
            f"but is {language!r}: take a multilingual Whisper "
            f"(--model=openai/whisper-tiny)"
        )
    told["prompt"] = _prompt(task, language, is_multilingual)
    told["end"] = task.end
    told["alignment_heads"] = _heads_there(told)
    return DecoderConfig(**{k: told[k] for k in DECODER_KEYS if k in told})


def _heads_there(told: Mapping[str, Any]) -> Any:
    """The heads that follow the speech, but for those of absent layers.

    A distilled model often keeps the list of the large one that it is of,
    whose layers it has not.
    """
    heads, n_layers = (
        told.get("alignment_heads", ()),
        told.get("decoder_layers"),
    )
    is_list = isinstance(heads, list) and type(n_layers) is int
    if not is_list or any(type(pair) is not list for pair in heads):
        return heads  # which DecoderConfig judges
    there = [
        h for h in heads if not h or type(h[0]) is not int or h[0] < n_layers
    ]
    if len(there) < len(heads):
        logger.warning(
            "%d of %d `alignment_heads` are of layers that the decoder has "
            "not: words are timed without them",
            len(heads) - len(there),
            len(heads),
        )
    return there


def _prompt(
    task: Seq2SeqTask, language: str, is_multilingual: bool
) -> list[int]:
    """The tokens in front of every transcript.

    Raises
    ------
    ValueError
        If the model knows no such language, or a token is not there.
    """
    names, spoken = [START, NO_TIMES], f"<|{language}|>"
    if is_multilingual:
        names = [START, spoken, TASK, NO_TIMES]
    ids = [task.vocabulary.token_to_id(name) for name in names]
    if None in ids:
        name = names[ids.index(None)]
        if name != spoken:
            raise ValueError(
                f"{Seq2SeqTask.file} must be a Whisper's own, but has no "
                f"{name}: save that of the model which it was made of"
            )
        raise ValueError(
            f"`language` must be one that the Whisper was trained on, but its "
            f"tokenizer has no {name}: give its code of ISO 639-1, en say"
        )
    return ids
