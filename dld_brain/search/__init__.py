"""Which layers run at a depth."""
