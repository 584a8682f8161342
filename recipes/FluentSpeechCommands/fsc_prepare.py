"""Prepares Fluent Speech Commands (https://arxiv.org/abs/1904.03670)."""

from pathlib import Path
from typing import Optional

from dld_brain.audio.preparation import (
    CorpusError,
    Utterance,
    missing_splits,
    write_split,
)
from dld_brain.audio.text_files import read_table

SPLITS = ("train", "valid", "test")
#: Columns that are read of data/<split>_data.csv.
NEEDED = ("path", "speakerId", "transcription", "action", "object", "location")


def prepare_fsc(
    data_folder: str,
    csv_folder: str,
    splits: list[str],
    allow_problems: bool = False,
    workers: Optional[int] = None,
    decode_audio: bool = True,
) -> None:
    """Writes a CSV file for each split that has none yet.

    The label, `intent`, is action/object/location: 31 in the full corpus.

    Arguments
    ---------
    data_folder : str
        The folder fluent_speech_commands_dataset, which holds data/ and
        wavs/.
    allow_problems : bool
        Whether to leave out utterances with problems, which are logged,
        instead of stopping.
    decode_audio : bool
        Whether audio is read to its end, and not its header alone.

    Raises
    ------
    CorpusError
        If a split is unknown or has no list, or an utterance has a problem.
    """
    for split in missing_splits(
        csv_folder,
        splits,
        data_folder,
        allow_problems=allow_problems,
        decode_audio=decode_audio,
    ):
        path = Path(data_folder, "data", f"{split}_data.csv")
        if split not in SPLITS or not path.is_file():
            raise CorpusError(
                f"split {split!r} must be one of {', '.join(SPLITS)} and "
                f"have a list {path}, but does not"
            )
        utterances, problems = find_utterances(path, Path(data_folder))
        write_split(
            Path(csv_folder, f"{split}.csv"),
            utterances,
            data_folder,
            problems,
            allow_problems,
            workers,
            decode_audio,
        )


def find_utterances(
    path: Path, data_folder: Path
) -> tuple[list[Utterance], list[str]]:
    """Reads the list of a split.

    Returns
    -------
    tuple
        The utterances in their order, and what is wrong.
    """
    table = read_table(path)
    table.check(NEEDED)
    utterances, problems = [], []
    for row in table.rows:
        place = f"{path.name}:{row.number}"
        try:
            cells = table.cells_of(row)
        except ValueError as error:
            problems.append(f"{place}: {error}")
            continue
        if not all(cells[column] for column in NEEDED):
            problems.append(f"{place}: a column is empty")
            continue
        wav = data_folder / cells["path"]
        intent = "/".join(cells[c] for c in ("action", "object", "location"))
        speaker, text = cells["speakerId"], cells["transcription"]
        utterances.append(
            Utterance(wav.stem, wav, speaker, text, intent=intent, place=place)
        )
    return utterances, problems
