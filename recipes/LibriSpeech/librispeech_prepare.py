"""Prepares LibriSpeech (https://www.openslr.org/12)."""

from collections.abc import Callable
from pathlib import Path
from typing import Optional

from dld_brain.audio.preparation import (
    CorpusError,
    Utterance,
    missing_splits,
    write_split,
)
from dld_brain.audio.text_files import read_lines, visible_files

#: Endings of the audio, in the order in which they are looked for; upstream's
#: is the first.
ENDINGS = (".flac", ".wav", ".opus", ".ogg", ".mp3")
#: What finds a split in a corpus's folder: its utterances, what is wrong.
Find = Callable[[str, str], tuple[list[Utterance], list[str]]]


def prepare_librispeech(
    data_folder: str,
    csv_folder: str,
    splits: list[str],
    allow_problems: bool = False,
    workers: Optional[int] = None,
    decode_audio: bool = True,
) -> None:
    """Writes a CSV file for each split that has none yet.

    Any folder of LibriSpeech's layout is a split: those of the corpus, of
    mini LibriSpeech (https://www.openslr.org/31), and others.

    Arguments
    ---------
    data_folder : str
        The folder LibriSpeech, which holds those of the splits.
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
        find_split,
        data_folder,
        csv_folder,
        splits,
        allow_problems,
        workers,
        decode_audio,
    )


def write_splits(
    find: Find,
    data_folder: str,
    csv_folder: str,
    splits: list[str],
    allow_problems: bool,
    workers: Optional[int],
    decode_audio: bool,
) -> None:
    """Writes what `find` finds of each split that has no CSV file yet."""
    for split in missing_splits(
        csv_folder,
        splits,
        data_folder,
        allow_problems=allow_problems,
        decode_audio=decode_audio,
    ):
        utterances, problems = find(data_folder, split)
        write_split(
            Path(csv_folder, f"{split}.csv"),
            utterances,
            data_folder,
            problems,
            allow_problems,
            workers,
            decode_audio,
        )


def find_split(
    data_folder: str, split: str
) -> tuple[list[Utterance], list[str]]:
    """Reads the folder of a split; see `find_utterances`."""
    folder = Path(data_folder, split)
    if not folder.is_dir():
        raise CorpusError(
            f"split {split!r} must be a folder of {data_folder}, but is "
            f"not: there are {', '.join(splits_of(data_folder)) or 'none'}"
        )
    return find_utterances(folder)


def splits_of(data_folder: str) -> list[str]:
    """The folders that hold transcripts of LibriSpeech's layout."""
    folders = sorted(p for p in Path(data_folder).iterdir() if p.is_dir())
    return [p.name for p in folders if visible_files(p, "*/*/*.trans.txt")]


def find_utterances(folder: Path) -> tuple[list[Utterance], list[str]]:
    """Reads the transcripts of a split: <speaker>/<chapter>/*.trans.txt.

    Returns
    -------
    tuple
        The utterances in the order of their names, and audio that no
        transcript names.
    """
    audio = {
        path.with_suffix(""): path
        for ending in reversed(ENDINGS)
        for path in visible_files(folder, f"*/*/*{ending}")
    }
    utterances = []
    for transcript in visible_files(folder, "*/*/*.trans.txt"):
        for _, line in read_lines(transcript):
            name, *text = line.split(maxsplit=1)
            stem = transcript.parent / name
            wav = audio.get(stem, stem.with_name(f"{name}{ENDINGS[0]}"))
            speaker = transcript.parent.parent.name
            utterances.append(Utterance(name, wav, speaker, "".join(text)))
    known = {utterance.wav for utterance in utterances}
    problems = [
        f"{wav.stem}: audio without transcript"
        for wav in sorted(set(audio.values()) - known)
    ]
    return utterances, problems
