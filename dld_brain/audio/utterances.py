"""Which utterances of a CSV file a dataset has."""

from pathlib import Path
from typing import Any

from dld_brain.audio.csv_files import Rows, read_rows
from dld_brain.audio.preparation import find_clips, report_problems
from dld_brain.audio.references import References, check_references
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: Ids that a warning names.
SHOWN = 8


def read_references(
    path: Path,
    data_root: str,
    task: References,
    max_unspellable: float = 0.1,
    needs_text: bool = True,
) -> Rows:
    """Reads a CSV file whose references a task can meet; opens no audio.

    Arguments
    ---------
    needs_text : bool
        Whether an utterance without a reference is a problem.

    Raises
    ------
    ValueError
        If the file has a problem, or the vocabulary does not fit.
    """
    found = read_rows(path, str(data_root), task.column, needs_text)
    if found.problems:
        more = len(found.problems) - 1
        raise ValueError(
            found.problems[0] + f" (and {more} more problems)" * (more > 0)
        )
    references = {n: item[task.column] for n, item in found.items.items()}
    check_references(references, task, str(path), max_unspellable)
    return found


def by_length(found: Rows, max_seconds: float) -> dict[str, dict[str, Any]]:
    """The utterances, the longest first, without those that are too long.

    Arguments
    ---------
    max_seconds : float
        Longer ones are counted in the log, s.
    """
    pairs = sorted(found.items.items(), key=lambda pair: -pair[1]["duration"])
    items = {n: item for n, item in pairs if item["duration"] <= max_seconds}
    if len(items) < len(pairs):
        logger.warning(
            "%s: %d of %d utterances are longer than %g s and left out",
            found.path,
            len(pairs) - len(items),
            len(pairs),
            max_seconds,
        )
    return items


def writable(
    found: Rows, task: References, max_tokens: int
) -> dict[str, dict[str, Any]]:
    """The utterances whose reference is not too long for a decoder.

    Arguments
    ---------
    max_tokens : int
        Those of more target ids are named in the log.
    """
    items, long = {}, []
    for name, item in found.items.items():
        text = task.text(item[task.column])
        # A token holds a byte at least: most need not be encoded.
        is_short = len(text.encode()) < max_tokens
        if is_short or len(task.encode(text)) <= max_tokens:
            items[name] = item
        else:
            long.append(name)
    if long:
        logger.warning(
            "%s: %d of %d transcripts have more than the %d tokens that the "
            "decoder has positions for, and are left out: %s",
            found.path,
            len(long),
            len(found.items),
            max_tokens,
            ", ".join(long[:SHOWN]) + ", ..." * (len(long) > SHOWN),
        )
    return items


def readable(found: Rows) -> dict[str, dict[str, Any]]:
    """The utterances whose audio can be read to its end."""
    utterances = found.utterances()
    clips = find_clips(utterances, found.path.stem)
    problems = [clip for clip in clips if isinstance(clip, str)]
    report_problems(found.path.stem, problems, allow_problems=True)
    return {
        utterance.id: found.items[utterance.id]
        for utterance, clip in zip(utterances, clips)
        if not isinstance(clip, str)
    }
