"""A model of one depth that Hugging Face's transformers alone loads.

`pipeline("automatic-speech-recognition", model=FOLDER)` of a machine that
does not have this package.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from sentencepiece import SentencePieceProcessor

from dld_brain.encoder.part import part_of
from dld_brain.export.stock_wavlm import fill_backbone
from dld_brain.gates.gates import Gates
from dld_brain.tasks.characters import SPACE

#: How Hugging Face's tokenizer names what is special, where it is there.
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
OTHER_NAMES = {"unk_token": "[UNK]"}
BLANK, DELIMITERS = "<pad>", ("|", " ")


def write_huggingface(
    hparams: Mapping[str, Any],
    vocabulary: SentencePieceProcessor,
    gates: Gates,
    folder: Path,
) -> None:
    """Writes the folder.

    Arguments
    ---------
    hparams : mapping
        Of a model that was loaded.
    vocabulary : SentencePieceProcessor
        Its tokens.

    Raises
    ------
    ValueError
        If transformers has no such model, no such vocabulary, or the layers
        by themselves are no such model; see `part_of`.
    """
    kind = (hparams.get("config") or {}).get("model_type")
    if kind is None:
        is_whisper = "config" in hparams
        name = "Whisper with a head for CTC" if is_whisper else "Conformer"
        raise ValueError(
            f"`--source` must be a WavLM, wav2vec 2.0, HuBERT, Wav2Vec2-BERT, "
            f"Parakeet or Whisper with its decoder for Hugging Face, but is a "
            f"{name}: python -m dld_brain.export "
            f"{'onnx' if is_whisper else 'submodel'}"
        )
    if kind == "parakeet_encoder":
        from dld_brain.export.stock_parakeet import write_parakeet

        return write_parakeet(hparams, vocabulary, gates, folder)
    _write_of_characters(hparams, symbols_of(vocabulary), gates, folder)


def symbols_of(vocabulary: SentencePieceProcessor) -> list[str]:
    """The tokens, in the order of their ids."""
    return [vocabulary.id_to_piece(i) for i in range(len(vocabulary))]


def _write_of_characters(
    hparams: Mapping[str, Any],
    symbols: Sequence[str],
    gates: Gates,
    folder: Path,
) -> None:
    """Writes a model whose tokenizer is a Wav2Vec2CTCTokenizer."""
    import transformers

    from dld_brain.encoder.wav2vec2_bert import MODEL_TYPE, fill_wav2vec2_bert
    from dld_brain.encoder.wavlm.huggingface import make_config

    vocabulary = vocabulary_of(symbols)
    model = part_of(hparams["model"], gates)
    changes = {
        "num_hidden_layers": gates.depth,
        "vocab_size": len(symbols),
        "pad_token_id": 0,
    }
    for name, token in special_tokens(vocabulary).items():
        changes[f"{name.removesuffix('_token')}_token_id"] = (
            None if token is None else vocabulary[token]
        )
    changes.pop("unk_token_id")
    kind = hparams["config"]["model_type"]
    config = make_config(None, {**hparams["config"], **changes}, (kind,))
    theirs = transformers.AutoModelForCTC.from_config(config)
    fill = fill_wav2vec2_bert if kind == MODEL_TYPE else fill_backbone
    fill(theirs.base_model, model)
    theirs.lm_head.load_state_dict(model.head.state_dict(), strict=True)
    theirs.save_pretrained(folder)
    tokenizer_of(vocabulary).save_pretrained(folder)
    extractor_of(hparams, config).save_pretrained(folder)


def extractor_of(hparams: Mapping[str, Any], config: Any) -> Any:
    """What makes features for a model of Hugging Face.

    Arguments
    ---------
    hparams : mapping
        Of our model.
    config : transformers.PretrainedConfig
        Of theirs.
    """
    import transformers

    from dld_brain.encoder.wav2vec2_bert import MODEL_TYPE

    if config.model_type == MODEL_TYPE:
        return transformers.SeamlessM4TFeatureExtractor(
            feature_size=hparams["n_mels"],
            num_mel_bins=hparams["n_mels"],
            sampling_rate=hparams["sample_rate"],
            stride=hparams["n_stacked"],
        )
    return transformers.Wav2Vec2FeatureExtractor(
        do_normalize=hparams["normalize_wav"],
        sampling_rate=hparams["sample_rate"],
        # As for the models of the Hub: the base models, which normalise
        # over the whole time axis, were trained without.
        return_attention_mask=config.feat_extract_norm == "layer",
    )


def vocabulary_of(symbols: Sequence[str]) -> dict[str, int]:
    """A vocabulary as vocab.json has it: ids by token, the blank first.

    Raises
    ------
    ValueError
        If words are not spelled by characters.

    Example
    -------
    >>> vocabulary_of(["<unk>", "\u2581", "A"])
    {'<pad>': 0, '|': 1, 'A': 2}
    """
    pieces = [s for s in symbols if SPACE in s and s != SPACE]
    if pieces or SPACE not in symbols:
        found = f"has {pieces[0]!r}" if pieces else "nothing parts words"
        raise ValueError(
            f"the vocabulary must be of characters for Hugging Face, but "
            f"{found}: train with --token_type=char, or python -m "
            f"dld_brain.export submodel"
        )
    gap = next(mark for mark in DELIMITERS if mark not in symbols)
    names = [gap if symbol == SPACE else symbol for symbol in symbols]
    # SentencePiece calls its id 0 unknown, which is the blank here.
    names[0] = BLANK if names[0] == SPECIAL["unk_token"] else names[0]
    return {name: i for i, name in enumerate(names)}


def special_tokens(vocabulary: Mapping[str, int]) -> dict[str, Any]:
    """Tokens that are special, None for what the vocabulary has not."""
    found = {}
    for name, token in SPECIAL.items():
        others = (token, OTHER_NAMES.get(name, token))
        found[name] = next((t for t in others if t in vocabulary), None)
    return found


def tokenizer_of(vocabulary: Mapping[str, int]) -> Any:
    """Hugging Face's tokenizer of a vocabulary."""
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vocab.json")
        path.write_text(json.dumps(vocabulary), encoding="utf-8")
        return transformers.Wav2Vec2CTCTokenizer(
            str(path),
            pad_token=next(iter(vocabulary)),
            word_delimiter_token=next(d for d in DELIMITERS if d in vocabulary),
            **special_tokens(vocabulary),
        )


def huggingface_runner(
    folder: Path, sample_rate: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The model of a folder, as the comparison sees it; see `compare`."""
    import transformers

    model = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)

    @torch.no_grad()
    def run(wavs: torch.Tensor) -> torch.Tensor:
        """Waveform [1, S] -> log-probabilities [1, T', V]."""
        values = extractor(
            wavs[0].numpy(), sampling_rate=sample_rate, return_tensors="pt"
        )
        logits = model(**values).logits
        if "input_features" not in values:
            return logits.log_softmax(-1)
        n_frames = values["attention_mask"].sum(-1)
        if model.config.model_type == "parakeet_ctc":
            n_frames = model._get_subsampling_output_length(n_frames)
        # Behind them is one that the model itself masks, or none.
        return logits[:, : int(n_frames)].log_softmax(-1)

    return run
