"""What every corpus needs: checked audio, CSV files, a list of problems.

Authors
 * The dld_brain authors 2026
"""

import csv
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Optional, Union

import soundfile
from speechbrain.utils.logger import get_logger
from speechbrain.utils.parallel import get_available_cpu_count, parallel_map

logger = get_logger(__name__)

COLUMNS = ("ID", "duration", "wav", "spk_id", "wrd")


class Utterance(NamedTuple):
    """A line of a CSV file before its audio is opened.

    Arguments
    ---------
    id : str
        Name, unlike any other.
    wav : Path
        Audio file.
    speaker : str
        Who speaks.
    text : str
        What is said.
    """

    id: str
    wav: Path
    speaker: str
    text: str


class CorpusError(ValueError):
    """A corpus that is not whole; its text names what is wrong."""


def duration(utterance: Utterance) -> Union[float, str]:
    """Opens the audio of an utterance.

    Arguments
    ---------
    utterance : Utterance
        The utterance.

    Returns
    -------
    float or str
        Seconds, or what is wrong.
    """
    if not utterance.wav.is_file():
        return f"{utterance.id}: transcript without audio ({utterance.wav})"
    try:
        info = soundfile.info(str(utterance.wav))
    except soundfile.SoundFileError as error:
        return f"{utterance.id}: audio does not open ({error})"
    if info.frames == 0:
        return f"{utterance.id}: audio is empty ({utterance.wav})"
    return info.frames / info.samplerate


def write_split(
    csv_file: Path,
    utterances: list[Utterance],
    data_folder: str,
    problems: Iterable[str] = (),
    allow_problems: bool = False,
    workers: Optional[int] = None,
) -> None:
    """Opens all audio of a split in parallel and writes its CSV file.

    The file appears whole or not at all: a preparation that was
    interrupted goes on with the splits that have none.

    Arguments
    ---------
    csv_file : Path
        File to write.
    utterances : list of Utterance
        The split.
    data_folder : str
        Folder that `$data_root` stands for in the file.
    problems : iterable of str
        What was wrong already.
    allow_problems : bool
        Whether utterances with problems are left out; else they stop the
        preparation.
    workers : int, optional
        Files opened at once; as many as there are cores if not given.

    Raises
    ------
    CorpusError
        If something is wrong and that is not allowed, or nothing is left.
    """
    with ThreadPoolExecutor(workers or get_available_cpu_count()) as executor:
        durations = list(
            parallel_map(
                duration,
                utterances,
                executor=executor,
                progress_bar_kwargs={
                    "desc": csv_file.stem,
                    "total": len(utterances),
                },
            )
        )
    problems = list(problems)
    problems += [found for found in durations if isinstance(found, str)]
    problems += [f"{u.id}: no transcript" for u in utterances if not u.text]
    report_problems(csv_file.stem, problems, allow_problems)
    rows = [
        (
            u.id,
            f"{seconds:.4f}",
            relative(u.wav, data_folder),
            u.speaker,
            u.text,
        )
        for u, seconds in zip(utterances, durations)
        if isinstance(seconds, float) and u.text
    ]
    if not rows:
        raise CorpusError(f"{csv_file.stem}: no utterance found")
    csv_file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = csv_file.with_suffix(".unfinished")
    with open(unfinished, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    os.replace(unfinished, csv_file)
    hours = sum(float(row[1]) for row in rows) / 3600
    logger.info("%s: %d utterances, %.2f h", csv_file.stem, len(rows), hours)


def relative(path: Path, data_folder: str) -> str:
    """Writes a path as SpeechBrain's CSV files have it.

    Arguments
    ---------
    path : Path
        A file.
    data_folder : str
        Folder of the corpus.

    Returns
    -------
    str
        `$data_root/...` below that folder, else the whole path.

    Example
    -------
    >>> relative(Path("/corpus/a/b.wav"), "/corpus")
    '$data_root/a/b.wav'
    """
    try:
        return f"$data_root/{path.relative_to(data_folder).as_posix()}"
    except ValueError:
        return str(path.resolve())


def report_problems(
    name: str, problems: list[str], allow_problems: bool
) -> None:
    """Logs every problem of a split with a count, and stops or goes on.

    Arguments
    ---------
    name : str
        The split.
    problems : list of str
        What is wrong.
    allow_problems : bool
        Whether to go on.

    Raises
    ------
    CorpusError
        If there is a problem and `allow_problems` is false.

    Example
    -------
    >>> report_problems("dev", ["a: audio is empty"], False)
    Traceback (most recent call last):
    ...
    recipes.preparation.CorpusError: dev: 1 problem, ...
    """
    if not problems:
        return
    for problem in problems:
        logger.warning("%s: %s", name, problem)
    count = f"{len(problems)} problem" + "s" * (len(problems) > 1)
    if not allow_problems:
        raise CorpusError(
            f"{name}: {count}, the first: {problems[0]}; all are in the log. "
            f"To leave these utterances out give "
            f"--corpus_options='{{allow_problems: True}}'"
        )
    logger.warning("%s: %s left out", name, count)


def missing_splits(csv_folder: str, splits: list[str]) -> list[str]:
    """Splits whose CSV file is not written yet.

    Arguments
    ---------
    csv_folder : str
        Folder of the files.
    splits : list of str
        Names.

    Returns
    -------
    list of str
    """
    return [s for s in splits if not Path(csv_folder, f"{s}.csv").is_file()]
