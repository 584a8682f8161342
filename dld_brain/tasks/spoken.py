"""What is said, of a text as it is written."""

import re
import unicodedata


def spoken(text: str) -> str:
    """A text without case, punctuation and what stands in brackets.

    Whisper's basic normalisation (arXiv 2212.04356, appendix C: languages
    beside English), but that titles which English spells out are words:
    LibriSpeech has MISTER, a Whisper writes Mr.

    Example
    -------
    >>> spoken("Mr. Brown's here -- he's [coughs] well-known!")
    'mister brown s here he s well known'
    """
    text = re.sub(r"[<\[][^>\]]*[>\]]|\([^)]*\)", "", text.lower())
    for short, word in TITLES.items():
        text = re.sub(rf"\b{short}\b\.?", word, text)
    letters = (
        " " if unicodedata.category(c)[0] in "MSP" else c
        for c in unicodedata.normalize("NFKC", text)
    )
    return " ".join("".join(letters).split())


#: As in Whisper's normalisation of English.
TITLES = {"mr": "mister", "mrs": "missus", "dr": "doctor"}
