"""Prepares mini LibriSpeech (https://www.openslr.org/31)."""

from pathlib import Path
from typing import Optional

from dld_brain.audio.preparation import Utterance
from speechbrain.utils.logger import get_logger

from ..LibriSpeech.librispeech_prepare import find_split, write_splits

logger = get_logger(__name__)

#: Development speech: OpenSLR 31's, or what LibriSpeech calls so.
DEV = ("dev-clean-2", "dev-clean")
#: Test speech of LibriSpeech (https://www.openslr.org/12), as in SpeechBrain's
#: template for this corpus: OpenSLR 31 has none.
TEST = "test-clean"


def prepare_minilibrispeech(
    data_folder: str,
    csv_folder: str,
    splits: list[str],
    allow_problems: bool = False,
    workers: Optional[int] = None,
    decode_audio: bool = True,
) -> None:
    """Writes a CSV file for each split that has none yet.

    `dev` is dev-clean-2 (dev-clean where that is not there), `test` is
    test-clean. Without test-clean, every second speaker of the former, in
    the order of their names, is in `test` and no longer in `dev`. Other
    splits are folders, as for LibriSpeech.

    Arguments
    ---------
    data_folder : str
        The folder LibriSpeech, which holds train-clean-5.
    allow_problems : bool
        Whether to leave out utterances with problems, which are logged,
        instead of stopping.
    decode_audio : bool
        Whether audio is read to its end, and not its header alone.

    Raises
    ------
    CorpusError
        If a split is not there, or an utterance has a problem.
    """
    write_splits(
        find_part,
        data_folder,
        csv_folder,
        splits,
        allow_problems,
        workers,
        decode_audio,
    )


def find_part(
    data_folder: str, split: str
) -> tuple[list[Utterance], list[str]]:
    """Finds what `dev` and `test` stand for, or a folder by its name.

    Returns
    -------
    tuple
        The utterances, and audio that no transcript names: of `dev` and
        `test` that of both, where they share a folder.
    """
    if split not in ("dev", "test") or Path(data_folder, split).is_dir():
        return find_split(data_folder, split)
    has_test = Path(data_folder, TEST).is_dir()
    there = (d for d in DEV if Path(data_folder, d).is_dir())
    folder = TEST if split == "test" and has_test else next(there, DEV[0])
    utterances, problems = find_split(data_folder, folder)
    if not has_test:
        utterances = halve(utterances, split)
    speakers = sorted({u.speaker for u in utterances})
    logger.info("%s: %s, speakers %s", split, folder, ", ".join(speakers))
    return utterances, problems


def halve(utterances: list[Utterance], split: str) -> list[Utterance]:
    """Takes every second speaker: the first is in `dev`."""
    in_test = sorted({u.speaker for u in utterances})[1::2]
    return [
        u for u in utterances if (u.speaker in in_test) == (split == "test")
    ]
