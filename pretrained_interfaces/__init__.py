"""What a user of a trained model imports."""

from pretrained_interfaces.asr import DynamicEncoderASR
from pretrained_interfaces.classifier import DynamicEncoderClassifier

__all__ = ["DynamicEncoderASR", "DynamicEncoderClassifier"]
