"""The one form that text has: in tokenizers, targets and references."""

import re
import unicodedata

#: How letters are written: as the corpus has them, or all alike.
CASES = {"keep": str, "lower": str.lower, "upper": str.upper}
#: What parts words beside the white space that `str.split` knows: control
#: characters, zero-width spaces, and SentencePiece's own mark of a space.
INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b\ufeff\u2581]")


def normalise(text: str, case: str = "keep") -> str:
    r"""Brings text into Unicode's form NFC, one space between words.

    Arguments
    ---------
    case : str
        keep, lower or upper.

    Example
    -------
    >>> normalise(" zwo\u0308lf \t Boxka\u0308mpfer\u2028", "upper")
    'ZWÖLF BOXKÄMPFER'
    """
    words = INVISIBLE.sub(" ", CASES[case](text)).split()
    return unicodedata.normalize("NFC", " ".join(words))
