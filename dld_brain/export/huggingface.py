"""The command `hf`: a model of one depth for Hugging Face's transformers."""

import argparse
from pathlib import Path
from typing import Any

from dld_brain.export.parity import compare
from dld_brain.export.stock_huggingface import (
    huggingface_runner,
    write_huggingface,
)
from dld_brain.export.stock_whisper import write_whisper
from dld_brain.export.whisper_parity import compare_whisper, read_files
from dld_brain.model_folder import PretrainedModel, load_for_inference
from dld_brain.tasks import Seq2SeqTask, TranscriptionTask


def load_transcriber(source: str) -> PretrainedModel:
    """Reads a model with a head for CTC, which can be exported."""
    return _with_ctc(load_for_inference(source), source)


def _with_ctc(model: PretrainedModel, source: str) -> PretrainedModel:
    """The model; raises where it has another head."""
    if isinstance(model.task, Seq2SeqTask):
        raise ValueError(
            f"`--source` must be a model with a head for CTC, but {source} is "
            f"a Whisper with its decoder: python -m dld_brain.export hf"
        )
    if not isinstance(model.task, TranscriptionTask):
        raise ValueError(
            f"`--source` must be a model that transcribes, but {source} "
            f"classifies: use DynamicEncoderClassifier"
        )
    return model


def export_hf(
    options: argparse.Namespace, folder: Path
) -> list[dict[str, Any]]:
    """Writes a model of one depth for Hugging Face's transformers."""
    model = load_for_inference(options.source)
    if isinstance(model.task, Seq2SeqTask):
        return export_whisper(options, model, folder)
    _with_ctc(model, options.source)
    if options.n_decoder_layers is not None:
        raise ValueError(
            f"`--n_decoder_layers` must not be given for a model without a "
            f"decoder, but is {options.n_decoder_layers}: {options.source} "
            f"has a head for CTC"
        )
    gates = model.table.gates(options.n_layers, model.modules["model"].n_total)
    write_huggingface(model.hparams, model.task.vocabulary, gates, folder)
    stock = huggingface_runner(folder, model.sample_rate)
    return [compare(model, gates, stock, options.files)]


def export_whisper(
    options: argparse.Namespace, model: PretrainedModel, folder: Path
) -> list[dict[str, Any]]:
    """Writes a Whisper of one depth, its decoder with it."""
    encoder = model.modules["model"]
    gates = model.table.gates(options.n_layers, encoder.n_total)
    gates = gates.with_decoder(encoder.head.gates_for(options.n_decoder_layers))
    wavs = read_files(model, options.files)
    write_whisper(model.hparams, model.task, gates, folder)
    return [compare_whisper(model, gates, folder, wavs)]
