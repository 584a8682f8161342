"""Whisper's encoder under gates."""
