"""The Brain, its loop, checkpoints and clock."""
