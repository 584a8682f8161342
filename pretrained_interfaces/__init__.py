"""What a user of a trained model imports."""

from pretrained_interfaces.asr import DynamicEncoderASR

__all__ = ["DynamicEncoderASR"]
