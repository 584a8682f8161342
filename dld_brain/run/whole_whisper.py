"""A Whisper with its decoder, as a model folder of ours."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

from dld_brain.audio.whisper_mel import SAMPLE_RATE
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.whisper.config import DECODER_KEYS, DecoderConfig
from dld_brain.encoder.whisper.layers import whisper_encoder
from dld_brain.encoder.whisper.source import find_source
from dld_brain.tasks import Seq2SeqTask

#: What stands in front of a transcript, as tokens are spelled.
START, TASK, NO_TIMES = (
    "<|startoftranscript|>",
    "<|transcribe|>",
    "<|notimestamps|>",
)
#: The one language of an English-only model, and the one by default.
ENGLISH = "en"


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
        If it has no tokenizer, is of another rate than 16 kHz, its decoder is none of Whisper's, or it knows
        no such language.
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
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return
    rate = json.loads(path.read_text("utf-8")).get("sampling_rate")
    if rate not in (None, SAMPLE_RATE):
        raise ValueError(
            f"`sampling_rate` of {path} must be {SAMPLE_RATE}, a Whisper's, but "
            f"is {rate}: give a model of {SAMPLE_RATE} Hz, to which audio of any "
            f"rate is resampled"
        )


def _decoder_config(
    folder: Path, task: Seq2SeqTask, language: str, source: str
) -> DecoderConfig:
    """What config.json and generation_config.json say of the decoder."""
    told: dict[str, Any] = {}
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        if path.is_file():
            content = json.loads(path.read_text("utf-8"))
            told |= {k: v for k, v in content.items() if v is not None}
    is_multilingual = told.get("is_multilingual", True)
    if not is_multilingual and language != ENGLISH:
        raise ValueError(
            f"`language` must be {ENGLISH} for {source}, which knows no other, "
            f"but is {language!r}: take a multilingual Whisper "
            f"(--model=openai/whisper-tiny)"
        )
    told["prompt"] = _prompt(task, language, is_multilingual)
    told["end"] = task.end
    return DecoderConfig(**{k: told[k] for k in DECODER_KEYS if k in told})


def _prompt(
    task: Seq2SeqTask, language: str, is_multilingual: bool
) -> list[int]:
    """The tokens in front of every transcript.

    Raises
    ------
    ValueError
        If the model knows no such language.
    """
    names = [START, NO_TIMES]
    if is_multilingual:
        names = [START, f"<|{language}|>", TASK, NO_TIMES]
    ids = [task.vocabulary.token_to_id(name) for name in names]
    if None in ids:
        raise ValueError(
            f"`language` must be one that the Whisper was trained on, but its "
            f"tokenizer has no {names[ids.index(None)]}"
        )
    return ids
