"""One run: settings, start, training, evaluation."""

import logging

# SpeechBrain says at import that it cannot write figures to TensorBoard.
logging.getLogger("speechbrain.utils.train_logger").addFilter(
    lambda record: "torchvision" not in record.getMessage()
)
