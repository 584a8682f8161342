"""What the amount of speech decides, where nobody else does.

The defaults of hparams/shared/ are the paper's, for 960 h. With 4 h its batch
makes 16 updates an epoch, and its warm-up outlasts the training.
"""

from math import ceil
from typing import Any, NamedTuple, Optional

from dld_brain.audio.csv_files import csv_file, read_column
from dld_brain.audio.text import normalise
from dld_brain.run.config import Composed
from dld_brain.tasks import Task, TranscriptionTask

#: Below that many hours text is spelled: most of 256 word pieces would have
#: been heard a few times.
SPELLED_BELOW_HOURS = 20.0
#: Updates of an epoch, at least: a batch is made as small as that asks for.
UPDATES_OF_AN_EPOCH = 100
SMALLEST_BATCH = 8
#: The warm-up's share of the training, at most.
WARMUP_SHARE = 0.25


class Amount(NamedTuple):
    """How much there is to train on.

    Arguments
    ---------
    characters : int
        Different ones in the transcripts, without white space.
    """

    hours: float
    utterances: int
    characters: int


def amount_of(
    csv_folder: str, splits: list[str], column: str, text_case: str = "keep"
) -> Amount:
    """Reads how much speech some splits have.

    Arguments
    ---------
    column : str
        That of the references.
    text_case : str
        How they are written.
    """
    seconds, utterances, characters = 0.0, 0, set()
    for split in splits:
        path = csv_file(csv_folder, split)
        durations = [float(cell) for cell in read_column(path, "duration")]
        seconds += sum(durations)
        utterances += len(durations)
        for reference in read_column(path, column):
            characters |= set(normalise(reference, text_case))
    n_characters = sum(not c.isspace() for c in characters)
    return Amount(seconds / 3600, utterances, n_characters)


def defaults_for(
    amount: Amount, composed: Composed, vocabulary: Optional[Task]
) -> dict[str, Any]:
    """The settings that follow the amount of speech.

    A key that a corpus, an hparams file or the command line sets is theirs.

    Arguments
    ---------
    vocabulary : Task, optional
        That of a model which the run starts from.

    Returns
    -------
    dict
        By key; none where the defaults are right.
    """
    tree, found = composed.tree, {}
    batch_size = tree["batch_size"]
    if "batch_size" not in composed.changed:
        fitting = amount.utterances // UPDATES_OF_AN_EPOCH
        batch_size = min(batch_size, max(SMALLEST_BATCH, fitting))
        found["batch_size"] = batch_size
    if not {"token_type", "vocab_size"} & composed.changed:
        found |= vocabulary_for(amount, tree["task"], vocabulary)
    if "schedule" not in composed.changed:
        epochs, warmup = tree["number_of_epochs"], "n_warmup_steps"
        n_updates = epochs * ceil(amount.utterances / batch_size)
        longest = max(1, int(WARMUP_SHARE * n_updates))
        steps = min(tree["schedule"][warmup], longest)
        found[f"schedule.{warmup}"] = steps
    return {k: v for k, v in found.items() if v != value_of(tree, k)}


def vocabulary_for(
    amount: Amount, task: str, vocabulary: Optional[Task]
) -> dict[str, Any]:
    """The settings of a vocabulary; none where the defaults are right."""
    if vocabulary is not None:
        return {"vocab_size": len(vocabulary.symbols)}
    is_spelled = task == TranscriptionTask.name
    if is_spelled and amount.hours < SPELLED_BELOW_HOURS:
        # Beside the characters there are the blank and the gap of words.
        return {"token_type": "char", "vocab_size": amount.characters + 2}
    return {}


def value_of(tree: dict[str, Any], key: str) -> Any:
    """A value of a tree, or of a block in it."""
    block, _, option = key.partition(".")
    return tree[block][option] if option else tree[block]


def in_words(amount: Amount, changes: dict[str, Any]) -> str:
    """What was chosen, and why.

    Example
    -------
    >>> in_words(Amount(3.541, 1012, 27), {"batch_size": 10})
    '3.5 h, 1012 utterances to train on: batch_size=10 (give it to decide)'
    """
    chosen = " ".join(f"{key}={value}" for key, value in changes.items())
    each = "it" if len(changes) == 1 else "any of them"
    return (
        f"{amount.hours:.1f} h, {amount.utterances} utterances to train on: "
        f"{chosen} (give {each} to decide)"
    )
