"""Prepares CSV files of one's own: the check that corpora get."""

import hashlib
import json
from pathlib import Path
from typing import Any, Optional

from dld_brain.audio.csv_files import csv_file, read_rows
from dld_brain.audio.preparation import write_split
from dld_brain.files.whole import whole_file
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


def prepare_own(
    data_folder: str,
    csv_folder: str,
    splits: list[str],
    column: str,
    allow_problems: bool = False,
    workers: Optional[int] = None,
    decode_audio: bool = True,
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

    Raises
    ------
    CorpusError
        If an utterance has a problem.
    ValueError
        If the files would be written over.
    """
    for split in splits:
        source = csv_file(data_folder, split)
        target = Path(csv_folder, source.name)
        if target.resolve() == source.resolve():
            raise ValueError(
                f"`csv_folder` must be another folder than `data_folder`, but "
                f"is {csv_folder}, too: what is checked is written there"
            )
        checked = target.with_suffix(".checked.json")
        content = {
            "source": str(source.resolve()),
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            "column": column,
            "decode_audio": decode_audio,
            "allow_problems": allow_problems,
        }
        if target.is_file() and _is_checked(checked, content):
            logger.info("%s is as it was checked", source)
            continue
        rows = read_rows(source, data_folder, column)
        write_split(
            target,
            rows.utterances(),
            data_folder,
            rows.problems,
            allow_problems,
            workers,
            decode_audio,
        )
        with whole_file(checked) as path:
            path.write_text(json.dumps(content), encoding="utf-8")


def _is_checked(path: Path, content: dict[str, Any]) -> bool:
    """Whether a file was checked as it is now."""
    text = path.read_text("utf-8") if path.is_file() else ""
    return text == json.dumps(content)
