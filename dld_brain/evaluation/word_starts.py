"""How far words are from where they were said, at each depth.

There is no truth but what the model itself finds at full depth, told the true
text: what is measured is how far times move with the text and the depth.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import torch

from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.gates.gates import Gates
from dld_brain.losses import ctc_frames_needed
from dld_brain.tasks import Task
from dld_brain.tasks.alignment import WordSpan


def distances(true: Sequence[WordSpan], found: Sequence[WordSpan]) -> list[int]:
    """How far the starts of words are that are right, frames.

    Right is what jiwer's alignment says is equal.

    Example
    -------
    >>> true = [WordSpan("A", 3, 4, 1.0), WordSpan("B", 9, 12, 1.0)]
    >>> distances(true, [WordSpan("X", 0, 2, 1.0), WordSpan("B", 7, 9, 1.0)])
    [2]
    """
    import jiwer  # which inference has no need of

    if not true or not found:
        return []
    texts = [" ".join(w.text for w in words) for words in (true, found)]
    (chunks,) = jiwer.process_words(*texts).alignments
    return [
        abs(true[i].start - found[k].start)
        for chunk in chunks
        if chunk.type == "equal"
        for i, k in zip(
            range(chunk.ref_start_idx, chunk.ref_end_idx),
            range(chunk.hyp_start_idx, chunk.hyp_end_idx),
        )
    ]


def true_words(
    task: Task, full: EncoderOutput, references: Sequence[str]
) -> list[list[WordSpan]]:
    """The words of the true texts; none of a text too long for its frames.

    Arguments
    ---------
    full : EncoderOutput
        At full depth.
    """
    fitting = []
    for reference, n_frames in zip(references, full.lengths.tolist()):
        ids = task.encode(reference)[None]
        needed = ctc_frames_needed(ids, torch.tensor([ids.shape[1]]))
        text = task.text(reference)
        fitting.append(text if int(needed) <= n_frames else "")
    return task.words(full, fitting) or []


def word_starts(
    task: Task,
    outs: Mapping[Gates, EncoderOutput],
    answers: Mapping[Gates, Sequence[str]],
    references: Sequence[str],
) -> dict[Gates, list[int]]:
    """How far the starts of right words are from the true text's, frames.

    Arguments
    ---------
    outs, answers : mapping of Gates to EncoderOutput, of Gates to texts
        Of a batch, at each depth.

    Returns
    -------
    dict of Gates to list of int
        Empty if the batch was not answered at full depth, or its words have
        no times.
    """
    full = next((g for g in outs if g.depth == g.n_total), None)
    if full is None or task.words(outs[full], answers[full]) is None:
        return {}
    true = true_words(task, outs[full], references)
    found = {}
    for gates, out in outs.items():
        words = task.words(out, answers[gates]) or []
        found[gates] = [*chain.from_iterable(map(distances, true, words))]
    return found
