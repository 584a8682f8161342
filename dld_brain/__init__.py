"""Distillation-based Layer Dropping: speech encoders that run at any depth.

audio [B, S] -> features [B, T, F] -> stem [B, T', D] -> gated layers
[B, T', D] -> head -> log_probs [B, T', V] -> CTC + KL(teacher || student)

Reference: Distillation-based Layer Dropping, https://arxiv.org/abs/2601.16117
"""

__version__ = "0.1.0"
