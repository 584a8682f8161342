"""Who decides which layers run."""
