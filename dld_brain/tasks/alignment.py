"""When tokens and words were said: forced alignment with a CTC posterior."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from sentencepiece import SentencePieceProcessor
from torchaudio.functional import TokenSpan, forced_align, merge_tokens

from dld_brain.losses import BLANK_ID, ctc_frames_needed
from dld_brain.tasks.characters import SPACE

#: Frames times twice the tokens that are aligned at once: memory and time
#: grow with it (measured: 0.9e9 take 0.9 GB and 8 s of one core).
MOST_CELLS = 2_000_000_000


class WordSpan(NamedTuple):
    """A word and its frames.

    Arguments
    ---------
    start, end : int
        First frame, and the one behind the last.
    confidence : float
        Mean probability of the tokens over their frames, in (0, 1].
    """

    text: str
    start: int
    end: int
    confidence: float


def align_tokens(
    log_probs: torch.Tensor, ids: Sequence[int]
) -> list[TokenSpan]:
    """The likeliest frames of tokens: torchaudio's `forced_align`.

    Where the likeliest token of each frame spells them, no other path is
    likelier, and none is searched for.

    Arguments
    ---------
    log_probs : torch.Tensor
        Of one utterance without padding, [T', V].
    ids : sequence of int
        Tokens, without blanks, [U].

    Returns
    -------
    list of TokenSpan
        Of each token: first frame, the one behind the last, and the mean
        probability between them.

    Raises
    ------
    ValueError
        If the frames are too few for the tokens, or both are too many to be
        aligned at once.

    Example
    -------
    >>> log_probs = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.1, 0.9]]).log()
    >>> [(span.start, span.end) for span in align_tokens(log_probs, [1, 1])]
    [(0, 1), (2, 3)]
    """
    if not ids:
        return []
    log_probs = log_probs.detach().float().cpu()
    scores, path = log_probs.max(dim=-1)
    found = merge_tokens(path, scores.exp(), blank=BLANK_ID)
    if [span.token for span in found] == list(ids):
        return found
    targets = torch.tensor([list(ids)])
    check_room(len(log_probs), targets)
    paths, scores = forced_align(log_probs[None], targets, blank=BLANK_ID)
    return merge_tokens(paths[0], scores[0].exp(), blank=BLANK_ID)


def check_room(n_frames: int, targets: torch.Tensor) -> None:
    """Raises unless tokens fit into frames.

    Arguments
    ---------
    targets : torch.Tensor
        Token ids, [1, U].
    """
    n_tokens = targets.shape[1]
    needed = int(ctc_frames_needed(targets, torch.tensor([n_tokens])))
    if needed > n_frames:
        raise ValueError(
            f"text must fit into its audio, but its {n_tokens} tokens need at "
            f"least {needed} frames, and there are {n_frames}: give the text "
            f"that is said in it"
        )
    if 2 * n_tokens * n_frames > MOST_CELLS:
        raise ValueError(
            f"audio and text must be shorter to be aligned at once, but are "
            f"{n_frames} frames and {n_tokens} tokens: align them in parts"
        )


def words_of(
    spans: Sequence[TokenSpan], tokenizer: SentencePieceProcessor
) -> list[WordSpan]:
    """Puts tokens together to words.

    A word begins with a token that begins with SPACE; the frames of one that
    is nothing else belong to no word. Words that share a token share all
    frames.

    Arguments
    ---------
    spans : sequence of TokenSpan
        Of an utterance, in their order.
    """
    groups: list[list[TokenSpan]] = [[]]
    for span in spans:
        piece = tokenizer.id_to_piece(span.token)
        if piece.startswith(SPACE):
            groups.append([])
        if piece.strip(SPACE):
            groups[-1].append(span)
    return [word for group in groups for word in _words(group, tokenizer)]


def _words(
    group: Sequence[TokenSpan], tokenizer: SentencePieceProcessor
) -> list[WordSpan]:
    """The word of some tokens; none of special tokens, that have no text."""
    texts = tokenizer.decode_ids([span.token for span in group]).split()
    if not texts:
        return []
    n_frames = sum(len(span) for span in group)
    confidence = sum(span.score * len(span) for span in group) / n_frames
    start, end = group[0].start, group[-1].end
    return [WordSpan(text, start, end, min(1.0, confidence)) for text in texts]
