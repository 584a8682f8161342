"""Many audio files: which they are, in batches, over processes, once each."""
