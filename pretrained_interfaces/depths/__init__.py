"""Which depth runs, and what the depths cost on this machine."""
