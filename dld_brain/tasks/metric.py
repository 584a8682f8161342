"""What models, layers and depths are compared by, where nobody says."""

import unicodedata
from collections.abc import Iterable
from typing import Optional

from dld_brain.tasks.base import Task
from dld_brain.tasks.transcription import TranscriptionTask

#: Languages that are written without spaces between words, ISO 639.
UNSPACED = frozenset("zh cmn yue wuu nan hak lzh ja th lo my km bo dz".split())
#: How the names of their letters begin in Unicode.
LETTERS = tuple("CJK HIRAGANA KATAKANA THAI LAO KHMER MYANMAR TIBETAN".split())


def has_spaces(language: str) -> bool:
    """Whether a language is written with spaces between words.

    Arguments
    ---------
    language : str
        ISO 639, with or without a region.

    Example
    -------
    >>> has_spaces("en"), has_spaces("zh-CN")
    (True, False)
    """
    return language.replace("_", "-").split("-")[0].lower() not in UNSPACED


def is_spaced(symbols: Iterable[str]) -> bool:
    """Whether the letters of a vocabulary are of scripts with spaces.

    Example
    -------
    >>> is_spaced(["a", "b"]), is_spaced(["\u4f60", "\u597d", "a"])
    (True, False)
    """
    names = [
        unicodedata.name(letter, "")
        for letter in "".join(symbols)
        if letter.isalpha()
    ]
    unspaced = sum(name.startswith(LETTERS) for name in names)
    return unspaced <= len(names) / 2


def with_default_metric(
    task: Task, language: Optional[str] = None
) -> tuple[Task, str]:
    """The task as it is compared where nobody says by what.

    By WER, without spaces, a sentence of which one character is wrong is as
    wrong as one of which all are.

    Arguments
    ---------
    language : str, optional
        Of the speech, ISO 639; where it is not known, the letters of the
        vocabulary say.

    Returns
    -------
    tuple of Task and str
        The task, and why it is not compared as tasks of its kind are; "" if
        it is.
    """
    if not isinstance(task, TranscriptionTask):
        return task, ""
    if language is not None and not has_spaces(language):
        reason = f"`language` {language} is written without spaces"
    elif language is None and not is_spaced(task.symbols):
        reason = "the vocabulary is of a script without spaces"
    else:
        return task, ""
    return task.with_metric("CER"), reason
