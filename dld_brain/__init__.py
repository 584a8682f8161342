"""Distillation-based Layer Dropping: speech encoders that run at any depth.

audio [B, S] -> features [B, T, F] -> stem [B, T', D] -> gated layers
[B, T', D] -> head -> log_probs [B, T', V] -> CTC + KL(teacher || student)

Reference: Distillation-based Layer Dropping, https://arxiv.org/abs/2601.16117

The names in `__all__` are what the hyperparams.yaml of a trained model says,
and all that it may say. They are for ever: whatever moves inside, these
names, and the arguments that they take, go on meaning what they mean.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

#: By name, the module that has it; found when asked for (PEP 562), so that
#: `import dld_brain` stays light.
_PLACES = {
    "FeatureNorm": "dld_brain.audio.features",
    "LogMel": "dld_brain.audio.features",
    "ModelLoader": "dld_brain.model_folder.loader",
    "ParakeetMel": "dld_brain.audio.hub_mels",
    "SeamlessMel": "dld_brain.audio.hub_mels",
    "Waveform": "dld_brain.audio.features",
    "WhisperMel": "dld_brain.audio.whisper_mel",
    "conformer_encoder": "dld_brain.encoder.conformer",
    "parakeet_encoder": "dld_brain.encoder.parakeet",
    "wav2vec2_bert_encoder": "dld_brain.encoder.wav2vec2_bert",
    "transformer_asr_encoder": "dld_brain.encoder.transformer_asr.layers",
    "wavlm_encoder": "dld_brain.encoder.wavlm.layers",
    "whisper_encoder": "dld_brain.encoder.whisper.layers",
}

__all__ = [
    "FeatureNorm",
    "LogMel",
    "ModelLoader",
    "ParakeetMel",
    "SeamlessMel",
    "Waveform",
    "WhisperMel",
    "conformer_encoder",
    "parakeet_encoder",
    "wav2vec2_bert_encoder",
    "transformer_asr_encoder",
    "wavlm_encoder",
    "whisper_encoder",
]


def __getattr__(name: str) -> Any:
    """Finds a name of the facade."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """The names that there are, found yet or not."""
    return sorted({*globals(), *__all__})
