"""From log-probabilities to words: greedy, or SpeechBrain's beam search."""

from collections.abc import Callable
from typing import Any, Optional

import torch
from sentencepiece import SentencePieceProcessor

from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.losses import BLANK_ID
from dld_brain.tasks.language_model import make_scorer
from speechbrain.decoders.ctc import CTCBeamSearcher, ctc_greedy_decode

DECODINGS = ("greedy", "beam")
#: Gives transcripts, and what they were made of: token ids, or hypotheses.
Decoder = Callable[[EncoderOutput], tuple[list[str], list[Any]]]


def make_decoder(
    decoding: str,
    tokenizer: SentencePieceProcessor,
    beam_options: Optional[dict[str, Any]] = None,
) -> Decoder:
    """Makes a function from an encoder's output to transcripts.

    Arguments
    ---------
    beam_options : dict, optional
        Options of `CTCBeamSearcher`: beam_size, alpha, beta, ...; its
        kenlm_model_path is an ARPA file, which is checked.

    Returns
    -------
    callable
        EncoderOutput -> transcripts, and what they were made of.

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
    options = dict(beam_options or {})
    language_model = options.pop("kenlm_model_path", None)
    searcher = CTCBeamSearcher(
        blank_index=BLANK_ID,
        vocab_list=[tokenizer.id_to_piece(i) for i in range(len(tokenizer))],
        **options,
    )
    if language_model is not None:
        searcher.lm = make_scorer(language_model, tokenizer, searcher)

    def beam(out: EncoderOutput) -> tuple[list[str], list[Any]]:
        """Best hypothesis of each utterance."""
        found = searcher(out.log_probs.float(), _relative(out))
        return [nbest[0].text.strip() for nbest in found], found

    return beam


def _relative(out: EncoderOutput) -> torch.Tensor:
    """Lengths of an encoder's output as SpeechBrain takes them, (0, 1].

    A quarter of a frame is added: the beam search cuts lengths off where
    greedy decoding rounds them, and 29 / 30 * 30 is less than 29.
    """
    return (out.lengths + 0.25) / out.log_probs.shape[1]


def greedy(
    out: EncoderOutput, tokenizer: SentencePieceProcessor
) -> tuple[list[str], list[list[int]]]:
    """Likeliest token of each frame, repeats and blanks taken out."""
    ids = ctc_greedy_decode(
        out.log_probs.float(), _relative(out), blank_id=BLANK_ID
    )
    return [tokenizer.decode_ids(sequence).strip() for sequence in ids], ids
