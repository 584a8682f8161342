"""Prepares LibriSpeech (https://www.openslr.org/12)."""

from pathlib import Path
from typing import Optional

from dld_brain.audio.preparation import (
    CorpusError,
    Utterance,
    missing_splits,
    write_split,
)

#: Splits of the corpus as it is distributed.
SPLITS = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
)


def prepare_librispeech(
    data_folder: str,
    csv_folder: str,
    splits: list[str],
    allow_problems: bool = False,
    workers: Optional[int] = None,
) -> None:
    """Writes a CSV file for each split that has none yet.

    Arguments
    ---------
    data_folder : str
        The folder LibriSpeech, which holds those of the splits.
    allow_problems : bool
        Whether to leave out utterances with problems, which are logged,
        instead of stopping.

    Raises
    ------
    CorpusError
        If a split is unknown or not there, or an utterance has a problem.
    """
    for split in missing_splits(
        csv_folder, splits, data_folder, allow_problems=allow_problems
    ):
        folder = Path(data_folder, split)
        if split not in SPLITS or not folder.is_dir():
            raise CorpusError(
                f"split {split!r} must be one of {', '.join(SPLITS)} and a "
                f"folder of {data_folder}, but is not"
            )
        utterances, problems = find_utterances(folder)
        write_split(
            Path(csv_folder, f"{split}.csv"),
            utterances,
            data_folder,
            problems,
            allow_problems,
            workers,
        )


def find_utterances(folder: Path) -> tuple[list[Utterance], list[str]]:
    """Reads the transcripts of a split: <speaker>/<chapter>/*.trans.txt.

    Returns
    -------
    tuple
        The utterances in the order of their names, and audio that no
        transcript names.
    """
    utterances = []
    for transcript in sorted(folder.glob("*/*/*.trans.txt")):
        for line in transcript.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            wav = transcript.parent / f"{name}.flac"
            speaker = transcript.parent.parent.name
            utterances.append(Utterance(name, wav, speaker, text.strip()))
    known = {utterance.wav for utterance in utterances}
    problems = [
        f"{wav.stem}: audio without transcript"
        for wav in sorted(folder.glob("*/*/*.flac"))
        if wav not in known
    ]
    return utterances, problems
