"""WavLM, wav2vec 2.0 and HuBERT under gates."""
