"""What a user of a trained model imports."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pretrained_interfaces.asr import DynamicEncoderASR
    from pretrained_interfaces.classifier import DynamicEncoderClassifier
    from pretrained_interfaces.depths.depth import Budget, Escalate, Routed
    from pretrained_interfaces.streams.governor import Governor
    from pretrained_interfaces.whisper import DynamicWhisperASR

#: By name, the module that has it; found when asked for (PEP 562), so that
#: the command line can answer before torch is there.
_PLACES = {
    "Budget": "depths.depth",
    "DynamicEncoderASR": "asr",
    "DynamicEncoderClassifier": "classifier",
    "DynamicWhisperASR": "whisper",
    "Escalate": "depths.depth",
    "Governor": "streams.governor",
    "Routed": "depths.depth",
}

__all__ = [
    "Budget",
    "DynamicEncoderASR",
    "DynamicEncoderClassifier",
    "DynamicWhisperASR",
    "Escalate",
    "Governor",
    "Routed",
]


def __getattr__(name: str) -> Any:
    """Finds a name of `__all__`."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_PLACES[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    """The names that there are, found yet or not."""
    return sorted({*globals(), *__all__})
