"""What is asked of a model: transcripts, or a label for each utterance.

Tasks differ in their head, their loss and their metric, and in nothing
else; this package is where they do.
"""

from dld_brain.tasks.base import Task
from dld_brain.tasks.classification import ClassificationTask
from dld_brain.tasks.seq2seq import Seq2SeqTask
from dld_brain.tasks.transcription import TranscriptionTask

#: By the value of `task` in an hparams file.
TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (TranscriptionTask, ClassificationTask, Seq2SeqTask)
}


def find_task(name: str) -> type[Task]:
    """The class of a task.

    Example
    -------
    >>> find_task("translation")
    Traceback (most recent call last):
    ...
    ValueError: `task` must be one of transcription, classification, seq2seq, ...
    """
    if name not in TASKS:
        raise ValueError(
            f"`task` must be one of {', '.join(TASKS)}, but is {name!r}"
        )
    return TASKS[name]
