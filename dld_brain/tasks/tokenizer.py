"""SentencePiece's tokenizers: trained and read."""

from io import BytesIO
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from dld_brain.files.whole import whole_file
from dld_brain.losses import BLANK_ID


def train_tokenizer(
    path: Path, texts: list[str], token_type: str, **size: int
) -> None:
    """Trains a tokenizer on texts that have their form, and writes it.

    As SpeechBrain's SentencePiece does, whose command takes no path with a
    space in it; SentencePiece's own normalisation is left out.

    Arguments
    ---------
    token_type : str
        unigram, bpe or char.
    **size : int
        `vocab_size`, but for char.

    Raises
    ------
    RuntimeError
        If the texts do not give that many tokens.
    """
    model = BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type=token_type,
        normalization_rule_name="identity",
        character_coverage=1.0,
        max_sentencepiece_length=10,
        # Longer sentences, in bytes, would be left out without a word.
        max_sentence_length=max([4192, *(4 * len(text) for text in texts)]),
        unk_id=BLANK_ID,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        minloglevel=2,  # errors, and no dump of its settings
        **size,
    )
    with whole_file(path) as unfinished:
        unfinished.write_bytes(model.getvalue())


def load_tokenizer(tokenizer: SentencePieceProcessor, path: Any) -> None:
    """Loads a tokenizer."""
    try:
        tokenizer.LoadFromFile(str(path))
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{path} is no SentencePiece model: {error}") from None
