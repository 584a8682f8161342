"""Prepares CSV files of one's own: the check that corpora get."""

from pathlib import Path
from typing import Optional

from dld_brain.audio.csv_files import csv_file, read_rows
from dld_brain.audio.preparation import missing_splits, write_split
from dld_brain.files.fingerprint import digest_of_file


def prepare_own(
    data_folder: str,
    csv_folder: str,
    splits: list[str],
    column: str,
    allow_problems: bool = False,
    workers: Optional[int] = None,
    decode_audio: bool = True,
    needs_text: bool = True,
) -> None:
    """Checks CSV files of one's own, and writes what holds of each.

    A file is checked again when it has changed.

    Arguments
    ---------
    data_folder : str
        Folder of `<split>.csv`, which `$data_root` stands for.
    column : str
        That of the references.
    allow_problems : bool
        Whether utterances with problems are left out and counted.
    decode_audio : bool
        Whether audio is read to its end, and not its header alone; what
        fails in training is left out.
    needs_text : bool
        Whether an utterance without a reference is a problem.

    Raises
    ------
    CorpusError
        If an utterance has a problem.
    ValueError
        If the files would be written over.
    """
    if Path(csv_folder).resolve() == Path(data_folder).resolve():
        raise ValueError(
            f"`csv_folder` must be another folder than `data_folder`, but is "
            f"{csv_folder}, too: what is checked is written there"
        )
    for split in splits:
        source = csv_file(data_folder, split)
        # What it holds counts, also where it was itself made by a run.
        options = {"column": column, "source": digest_of_file(source)}
        if not needs_text:
            options["needs_text"] = str(needs_text)
        if not missing_splits(
            csv_folder,
            [split],
            data_folder,
            allow_problems=allow_problems,
            decode_audio=decode_audio,
            **options,
        ):
            continue
        rows = read_rows(source, data_folder, column, needs_text)
        write_split(
            Path(csv_folder, f"{split}.csv"),
            rows.utterances(),
            data_folder,
            rows.problems,
            allow_problems,
            workers,
            decode_audio,
            options,
            needs_text,
        )
