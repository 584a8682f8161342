"""From log-probabilities to words: greedy, or SpeechBrain's beam search."""

from collections.abc import Callable
from typing import Any, Optional

import torch
from sentencepiece import SentencePieceProcessor
from speechbrain.decoders.ctc import CTCBeamSearcher, ctc_greedy_decode

from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.losses import BLANK_ID

DECODINGS = ("greedy", "beam")
Decoder = Callable[[EncoderOutput], list[str]]


def make_decoder(
    decoding: str,
    tokenizer: SentencePieceProcessor,
    beam_options: Optional[dict[str, Any]] = None,
) -> Decoder:
    """Makes a function from an encoder's output to transcripts.

    Arguments
    ---------
    beam_options : dict, optional
        Options of `CTCBeamSearcher`: beam_size, kenlm_model_path, ...

    Returns
    -------
    callable
        EncoderOutput -> list of str, one transcript an utterance.

    Example
    -------
    >>> make_decoder("magic", SentencePieceProcessor())
    Traceback (most recent call last):
    ...
    ValueError: `decoding` must be one of ('greedy', 'beam'), but is 'magic'
    """
    if decoding not in DECODINGS:
        raise ValueError(
            f"`decoding` must be one of {DECODINGS}, but is {decoding!r}"
        )
    if decoding == "greedy":
        return lambda out: greedy(out, tokenizer)
    searcher = CTCBeamSearcher(
        blank_index=BLANK_ID,
        vocab_list=[tokenizer.id_to_piece(i) for i in range(len(tokenizer))],
        **(beam_options or {}),
    )

    def beam(out: EncoderOutput) -> list[str]:
        """Best hypothesis of each utterance."""
        hypotheses = searcher(out.log_probs.float(), relative(out))
        return [nbest[0].text.strip() for nbest in hypotheses]

    return beam


def relative(out: EncoderOutput) -> torch.Tensor:
    """Lengths of an encoder's output as SpeechBrain takes them.

    Returns
    -------
    torch.Tensor
        [B], in (0, 1].
    """
    return out.lengths / out.log_probs.shape[1]


def greedy(out: EncoderOutput, tokenizer: SentencePieceProcessor) -> list[str]:
    """Likeliest token of each frame, repeats and blanks taken out."""
    ids = ctc_greedy_decode(out.log_probs, relative(out), blank_id=BLANK_ID)
    return [tokenizer.decode_ids(sequence) for sequence in ids]
