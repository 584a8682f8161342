"""What a user of a trained model imports."""

from pretrained_interfaces.asr import DynamicEncoderASR
from pretrained_interfaces.classifier import DynamicEncoderClassifier
from pretrained_interfaces.depth import Budget, Escalate, Routed

__all__ = [
    "Budget",
    "DynamicEncoderASR",
    "DynamicEncoderClassifier",
    "Escalate",
    "Routed",
]
