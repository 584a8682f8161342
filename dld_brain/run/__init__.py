"""One run: settings, start, training, evaluation."""
