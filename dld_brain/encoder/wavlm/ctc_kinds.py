"""Which models of the Hub are taken, and what is said of the others."""

import re
from pathlib import Path
from typing import Any, NamedTuple

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class Kind(NamedTuple):
    """One type of model.

    Arguments
    ---------
    architecture : str
        transformers' class of those that transcribe.
    family : str
        What makes our encoder of it: `<family>_encoder` of the facade.
    """

    architecture: str
    family: str = "wavlm"


#: By `model_type`.
KINDS = {
    "wav2vec2": Kind("Wav2Vec2ForCTC"),
    "hubert": Kind("HubertForCTC"),
    "wavlm": Kind("WavLMForCTC"),
    "wav2vec2-bert": Kind("Wav2Vec2BertForCTC", "wav2vec2_bert"),
    "parakeet_ctc": Kind("ParakeetForCTC", "parakeet"),
}
ARCHITECTURES = tuple(kind.architecture for kind in KINDS.values())
#: Encoder-decoders, and what to do with them.
ENCODER_DECODERS = {
    "whisper": "train it with hparams/whisper_any_depth.yaml or "
    "hparams/whisper_dld_plus.yaml",
    "parakeet_tdt": "give a Parakeet with a CTC head (parakeet-ctc)",
    "parakeet_rnnt": "give a Parakeet with a CTC head (parakeet-ctc)",
}


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
    if kind not in KINDS:
        what = ENCODER_DECODERS.get(kind, "give a CTC model of these")
        raise ValueError(
            f"`model` must be one of {', '.join(ARCHITECTURES)}, but {source} "
            f"is a {names[0] if names else kind}: {what}"
        )
    if names and not set(names) & set(ARCHITECTURES):
        raise ValueError(without_head(source, kind))


def without_head(source: str, kind: str = "") -> str:
    """What to do with a model that does not transcribe."""
    is_wavlm = not kind or KINDS[kind].family == "wavlm"
    also = (
        f", or fine-tune this one (python train.py hparams/wavlm_dld.yaml "
        f"--source={source})"
    )
    return (
        f"`model` must have a CTC head, but {source} has none: give one that "
        f"was fine-tuned to transcribe{also if is_wavlm else ''}"
    )
