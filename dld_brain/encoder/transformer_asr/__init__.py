"""SpeechBrain's TransformerASR under gates."""
