"""The kinds of models that a run may start from, and how each is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Optional

from sentencepiece import SentencePieceProcessor

from dld_brain.audio.features import FeatureNorm
from dld_brain.audio.whisper_mel import MAX_SECONDS
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.tasks import Task, TranscriptionTask
from dld_brain.tasks.characters import character_vocabulary
from dld_brain.tasks.pieces import piece_vocabulary

#: What makes an encoder, by the `model_type` of its configuration.
FAMILIES = {
    "wavlm": "wavlm",
    "wav2vec2": "wavlm",
    "hubert": "wavlm",
    "wav2vec2-bert": "wav2vec2_bert",
    "parakeet_encoder": "parakeet",
}
#: Recipes of models that are no such model, by the file that tells them.
RECIPES = {
    "config.json": "pretrained_dld.yaml",
    "hyperparams.yaml": "speechbrain_dld.yaml",
}


class Converted(NamedTuple):
    """A model as one of ours.

    Arguments
    ---------
    sizes : dict
        What a model folder says of it beside PLAIN; see `save_model`.
    longest_utterance : float, optional
        Of its training, s, where that is known.
    """

    model: DynamicEncoder
    norm: FeatureNorm
    task: Task
    sizes: dict[str, Any]
    longest_utterance: Optional[float] = None


class Kind(NamedTuple):
    """A kind of models that runs start from.

    Arguments
    ---------
    what : str
        Its name, for messages.
    told : str
        The file that every one has.
    example : str
        What may be given for one.
    read : callable
        Source, language of the speech -> what it is converted to.
    """

    what: str
    told: str
    example: str
    read: Callable[[str, Optional[str]], Converted]


def _of_transformers(source: str, language: Optional[str]) -> Converted:
    """What a CTC model of Hugging Face is converted to."""
    from dld_brain.encoder.wavlm import ctc

    ctc.check_place(source)
    theirs = ctc.read_ctc(source)
    task = TranscriptionTask(_vocabulary(theirs.symbols))
    model = ctc.load_ctc(theirs)
    sizes = {
        "architecture": theirs.family,
        **theirs.front,
        "config": theirs.config,
        "full_config": theirs.config,
        "vocab_size": len(theirs.outputs),
    }
    is_normalised = theirs.front.get("normalize_wav", False)
    norm = FeatureNorm("sentence", enabled=is_normalised)
    return Converted(model, norm, task, sizes)


def _of_speechbrain(source: str, language: Optional[str]) -> Converted:
    """What a stock model of SpeechBrain is converted to."""
    from dld_brain.run.stock_folder import read_stock

    theirs = read_stock(source)
    norm = FeatureNorm("global")
    norm._load_statistics_dict(theirs.statistics)
    task = TranscriptionTask(theirs.vocabulary.tokenizer)
    return Converted(
        theirs.make(), norm, task, theirs.settings, theirs.longest_utterance
    )


def _of_whisper(source: str, language: Optional[str]) -> Converted:
    """What a Whisper is converted to, whose decoder is kept."""
    from dld_brain.run.whole_whisper import read_whole

    norm = FeatureNorm("sentence", enabled=False)
    model, task, sizes = read_whole(source, language)
    # All of its training were stretches of 30 s (arXiv 2212.04356, section 2).
    return Converted(model, norm, task, sizes, float(MAX_SECONDS))


def _vocabulary(symbols: Any) -> SentencePieceProcessor:
    """The vocabulary of a CTC model's symbols."""
    if symbols.kind == "char":
        return character_vocabulary(symbols.names)
    return piece_vocabulary(symbols.names, symbols.scores, symbols.kind)


#: By the encoder's file.
KINDS = {
    "pretrained": Kind(
        f"one of {', '.join(FAMILIES)}",
        "config.json",
        "facebook/wav2vec2-base-960h",
        _of_transformers,
    ),
    "transformer_asr": Kind(
        "a TransformerASR of SpeechBrain",
        "hyperparams.yaml",
        "/path/to/EncoderASR",
        _of_speechbrain,
    ),
    "whole_whisper": Kind(
        "a Whisper", "config.json", "openai/whisper-tiny.en", _of_whisper
    ),
}


def check_file(folder: str, kind: Kind) -> None:
    """Raises for a folder that has the file of another kind alone."""
    is_there = {name: Path(folder, name).is_file() for name in RECIPES}
    others = [name for name in RECIPES if is_there[name]]
    if others and not is_there[kind.told]:
        raise ValueError(
            f"`model` must be {kind.what}, but {folder} has {others[0]} and no "
            f"{kind.told}: start with hparams/{RECIPES[others[0]]}"
        )
