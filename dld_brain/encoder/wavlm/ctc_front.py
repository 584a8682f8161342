"""What a CTC model hears: the settings of its feature extractor."""

from typing import Any

from dld_brain.encoder.wavlm.huggingface import one_line, transformers

SAMPLE_RATE = 16000
#: By our name of the family, the extractor whose features we make.
EXTRACTORS = {
    "wavlm": "Wav2Vec2FeatureExtractor",
    "wav2vec2_bert": "SeamlessM4TFeatureExtractor",
    "parakeet": "ParakeetFeatureExtractor",
}


def read_front(source: str, family: str) -> dict[str, Any]:
    """Our settings of features, as a model has them.

    Raises
    ------
    ValueError
        If it takes audio of another rate, or features that we do not make.
    """
    try:
        found = transformers.AutoFeatureExtractor.from_pretrained(source)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{source} must say what audio it takes, but its "
            f"preprocessor_config.json cannot be read: {one_line(error)}"
        ) from error
    name = type(found).__name__
    if name != EXTRACTORS[family]:
        raise ValueError(
            f"{source} must have a {EXTRACTORS[family]}, as models of its "
            f"kind have, but has a {name}: give a model with its own "
            f"preprocessor_config.json"
        )
    if found.sampling_rate != SAMPLE_RATE:
        raise ValueError(
            f"`model` must take audio of {SAMPLE_RATE} Hz, but {source} takes "
            f"{found.sampling_rate} Hz: give a model of {SAMPLE_RATE} Hz"
        )
    front = _SETTINGS[family](found, source)
    return {"sample_rate": SAMPLE_RATE, **front}


def _of_waveforms(found: Any, source: str) -> dict[str, Any]:
    """Of a Wav2Vec2FeatureExtractor."""
    return {"normalize_wav": bool(found.do_normalize)}


def _of_seamless(found: Any, source: str) -> dict[str, Any]:
    """Of a SeamlessM4TFeatureExtractor."""
    if not found.return_attention_mask:
        raise ValueError(
            f"`return_attention_mask` must be true, but is not in {source}: "
            f"give a model that was trained to leave padding out"
        )
    return {"n_mels": found.num_mel_bins, "n_stacked": found.stride}


def _of_parakeet(found: Any, source: str) -> dict[str, Any]:
    """Of a ParakeetFeatureExtractor; windows and hops are in ms."""
    to_ms = 1000 / found.sampling_rate
    return {
        "n_fft": found.n_fft,
        "n_mels": found.feature_size,
        "window_ms": found.win_length * to_ms,
        "hop_ms": found.hop_length * to_ms,
        "preemphasis": float(found.preemphasis or 0.0),
    }


_SETTINGS = {
    "wavlm": _of_waveforms,
    "wav2vec2_bert": _of_seamless,
    "parakeet": _of_parakeet,
}
