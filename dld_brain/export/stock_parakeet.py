"""A Parakeet of one depth that Hugging Face's transformers alone loads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from sentencepiece import SentencePieceProcessor

from dld_brain.encoder.part import part_of
from dld_brain.gates.gates import Gates
from dld_brain.tasks.characters import model_proto
from dld_brain.tasks.pieces import MODELS, NORMAL

BLANK = 0


@torch.no_grad()
def write_parakeet(
    hparams: Mapping[str, Any],
    vocabulary: SentencePieceProcessor,
    gates: Gates,
    folder: Path,
) -> None:
    """Writes the folder; see `write_huggingface`."""
    import transformers

    from dld_brain.encoder.parakeet import fill_parakeet

    model = part_of(hparams["model"], gates)
    sizes = {**hparams["config"], "num_hidden_layers": gates.depth}
    sizes.pop("model_type")
    theirs = transformers.ParakeetForCTC(
        transformers.ParakeetCTCConfig(
            vocab_size=len(vocabulary),
            pad_token_id=BLANK,
            encoder_config=transformers.ParakeetEncoderConfig(**sizes),
        )
    )
    fill_parakeet(theirs.encoder, model)
    theirs.ctc_head.weight.copy_(model.head.weight.unsqueeze(-1))
    theirs.ctc_head.bias.copy_(model.head.bias)
    theirs.save_pretrained(folder)
    rate = hparams["sample_rate"]
    transformers.ParakeetProcessor(
        transformers.ParakeetFeatureExtractor(
            feature_size=hparams["n_mels"],
            sampling_rate=rate,
            hop_length=round(hparams["hop_ms"] * rate / 1000),
            n_fft=hparams["n_fft"],
            win_length=round(hparams["window_ms"] * rate / 1000),
            preemphasis=hparams["preemphasis"],
        ),
        tokenizer_of_pieces(vocabulary),
        decoder_type="ctc",
    ).save_pretrained(folder)


def tokenizer_of_pieces(vocabulary: SentencePieceProcessor) -> Any:
    """Hugging Face's tokenizer that cuts words as ours does."""
    import transformers
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

    proto = model_proto()
    proto.ParseFromString(vocabulary.serialized_model_proto())
    found = Tokenizer(_model_of(proto))
    rules = proto.normalizer_spec.precompiled_charsmap
    if rules:  # a letter that is there in the other case
        found.normalizer = normalizers.Precompiled(rules)
    space = pre_tokenizers.Metaspace(prepend_scheme="always")
    found.pre_tokenizer = space
    found.decoder = decoders.Metaspace(prepend_scheme="always")
    blank = proto.pieces[BLANK].piece
    return transformers.ParakeetTokenizer(
        tokenizer_object=found, pad_token=blank, unk_token=blank
    )


def _model_of(proto: Any) -> Any:
    """The model of `tokenizers` that a model of SentencePiece is."""
    from tokenizers import models

    pieces = list(proto.pieces)
    if proto.trainer_spec.model_type == MODELS["unigram"]:
        scored = [(piece.piece, piece.score) for piece in pieces]
        return models.Unigram(scored, unk_id=BLANK)
    ids = {p.piece: i for i, p in enumerate(pieces)}
    normal = {p.piece: p.score for p in pieces if p.type == NORMAL}
    merges = sorted(
        (-score, ids[piece], piece[:n], piece[n:])
        for piece, score in normal.items()
        for n in range(1, len(piece))
        if piece[:n] in normal and piece[n:] in normal
    )
    pairs = [(left, right) for *_, left, right in merges]
    return models.BPE(ids, pairs, unk_token=pieces[BLANK].piece, fuse_unk=True)
