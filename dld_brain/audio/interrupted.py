"""Ctrl-C in long audio: what was said so far is not lost."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while an audio is transcribed.

    Arguments
    ---------
    text : str
        What the stretches say that were transcribed before it.

    Example
    -------
    >>> Interrupted("TURN ON").text
    'TURN ON'
    """

    def __init__(self, text: str) -> None:
        super().__init__("interrupted")
        self.text = text


@contextmanager
def keeping(texts: Sequence[str]) -> Iterator[None]:
    """Gives Ctrl-C the texts that there are by then.

    Raises
    ------
    Interrupted
        At Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(" ".join(filter(None, texts))) from None
