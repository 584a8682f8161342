"""A model of one depth that stock SpeechBrain loads.

`EncoderASR.from_hparams` of a machine that does not have this package
loads the folder. For the Conformer and the encoders of a TransformerASR,
SpeechBrain's own gets the weights; for WavLM, Hugging Face's model, saved
beside them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import torch
from hyperpyyaml import load_hyperpyyaml

from dld_brain.encoder.part import part_of
from dld_brain.encoder.transformer_asr.stem import TransformerASRStem
from dld_brain.encoder.wavlm.stem import WaveformStem
from dld_brain.encoder.whisper.layers import WhisperStem
from dld_brain.export import stock_conformer, stock_transformer_asr, stock_wavlm
from dld_brain.gates.gates import Gates

HEADER = """# yamllint disable
# One depth of a dynamic model, for SpeechBrain alone: layers {layers}.
# > from speechbrain.inference.ASR import EncoderASR
# > asr = EncoderASR.from_hparams(source="this folder")
sample_rate: {sample_rate}
"""

FEATURES = """
compute_features: !new:speechbrain.lobes.features.Fbank
    sample_rate: {sample_rate}
    n_fft: {n_fft}
    n_mels: {n_mels}
    win_length: {window_ms}
    hop_length: {hop_ms}
normalize: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
"""

FOOTER = """
modules:
    encoder: !ref <encoder>
tokenizer: !new:sentencepiece.SentencePieceProcessor
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode
    blank_id: 0
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        weights: !ref <weights>
        tokenizer: !ref <tokenizer>
{normalize}"""
NORMALIZE = "        normalize: !ref <normalize>\n"


def write_submodel(
    hparams: Mapping[str, Any],
    gates: Gates,
    output: str,
    home: Optional[str] = None,
) -> None:
    """Writes the folder.

    Arguments
    ---------
    hparams : mapping
        Of a model that was loaded.
    home : str, optional
        Where the folder will be, if not in `output`.

    Raises
    ------
    ValueError
        If the layers by themselves are no such model; see `part_of`.
    """
    _check_family(hparams)
    path, whole = Path(output), hparams["model"]
    model = part_of(whole, gates)
    values = {**hparams, "n_total": gates.depth, "layers": list(gates.layers)}
    if isinstance(whole.stem, WaveformStem):
        stock_wavlm.save_huggingface(model, hparams, path / "huggingface")
        place = Path(home or output).resolve()
        values |= stock_wavlm.values(hparams, model, place)
        text = HEADER + stock_wavlm.TEXT + FOOTER.replace("{normalize}", "")
        changes, copy_weights = {"folder": str(path)}, stock_wavlm.copy_weights
    else:
        is_asr = isinstance(whole.stem, TransformerASRStem)
        kind = stock_transformer_asr if is_asr else stock_conformer
        values |= kind.values(hparams, gates)
        footer = FOOTER.replace("{normalize}", NORMALIZE)
        text = HEADER + FEATURES + kind.TEXT + footer
        hparams["normalize"]._save(path / "normalize.ckpt")
        changes, copy_weights = {}, kind.copy_weights
    text = text.format(**values)
    (path / "hyperparams.yaml").write_text(text)
    tokenizer = hparams["tokenizer"].serialized_model_proto()
    (path / "tokenizer.ckpt").write_bytes(tokenizer)
    stock = load_hyperpyyaml(text, changes)
    copy_weights(model, stock)
    torch.save(stock["weights"].state_dict(), path / "weights.ckpt")


def _check_family(hparams: Mapping[str, Any]) -> None:
    """Raises for a family that SpeechBrain has not."""
    if isinstance(hparams["model"].stem, WhisperStem):
        raise ValueError(
            "a model for SpeechBrain alone must be of a Conformer or WavLM, "
            "but is of a Whisper, of whose encoder SpeechBrain's wrapper takes "
            "30 s alone: use `python -m dld_brain.export onnx`"
        )
    kind = (hparams.get("config") or {}).get("model_type")
    if kind in ("wav2vec2-bert", "parakeet_encoder"):
        raise ValueError(
            f"a model for SpeechBrain alone must be of a Conformer or WavLM, "
            f"but is of a {kind}, which SpeechBrain has no wrapper for: use "
            f"`python -m dld_brain.export hf`"
        )
