"""A stream of a model: words as they are said, whatever comes."""

import types

import numpy as np
import pytest
import torch
from common import tiny_modules

from dld_brain.audio.features import extract
from dld_brain.gates.gates import Gates
from dld_brain.tasks.tokenizer import train_tokenizer
from pretrained_interfaces import DynamicEncoderASR, Governor
from pretrained_interfaces.stream import (
    ASRStream,
    StreamedWords,
    check_samples,
)
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig
