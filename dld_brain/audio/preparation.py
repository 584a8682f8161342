"""What every corpus needs: checked audio, CSV files, a list of problems."""

import csv
import functools
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import soundfile

from dld_brain.files import fingerprint
from speechbrain.utils.logger import get_logger
from speechbrain.utils.parallel import get_available_cpu_count, parallel_map

logger = get_logger(__name__)

COLUMNS = ("ID", "duration", "wav", "spk_id", "wrd")


class Utterance(NamedTuple):
    """A line of a CSV file before its audio is opened.

    Arguments
    ---------
    intent : str, optional
        What is meant: the label of a classification.
    segment : tuple of float, optional
        Where in its file it begins and ends, s; the whole file if not
        given.
    place : str, optional
        File and line that it stands in, for messages.
    """

    id: str
    wav: Path
    speaker: str
    text: str
    intent: Optional[str] = None
    segment: Optional[tuple[float, float]] = None
    place: Optional[str] = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.place}: {self.id}" if self.place else self.id


class Clip(NamedTuple):
    """The audio of an utterance.

    Arguments
    ---------
    start : int
        First sample, at the rate of the file.
    rate : int
        Rate of the file, Hz.
    is_cut : bool
        Whether the file ends before the segment does.
    """

    start: int
    stop: int
    rate: int
    is_cut: bool

    @property
    def seconds(self) -> float:
        """Its length, s."""
        return (self.stop - self.start) / self.rate


class CorpusError(ValueError):
    """A corpus that is not whole; its text names what is wrong."""


@functools.lru_cache(maxsize=1024)
def frames_and_rate(path: Path) -> tuple[int, int]:
    """Reads the header of an audio file; once for all its segments.

    Returns
    -------
    tuple of int
        Samples, and their rate, Hz.
    """
    info = soundfile.info(str(path))
    return info.frames, info.samplerate


def find_clip(utterance: Utterance) -> Union[Clip, str]:
    """Opens the audio of an utterance."""
    name, wav = utterance.name, utterance.wav
    if not wav.is_file():
        return f"{name}: transcript without audio ({wav})"
    try:
        frames, rate = frames_and_rate(wav)
    except soundfile.SoundFileError as error:
        return f"{name}: audio does not open ({error})"
    if frames == 0:
        return f"{name}: audio is empty ({wav})"
    if utterance.segment is None:
        return Clip(0, frames, rate, False)
    start, stop = (round(seconds * rate) for seconds in utterance.segment)
    if not 0 <= start < stop:
        return f"{name}: a segment must end behind its start, but is from " + (
            "{} to {} s".format(*utterance.segment)
        )
    if start >= frames:
        return (
            f"{name}: the segment begins at {utterance.segment[0]} s, but "
            f"{wav.name} ends at {frames / rate:.2f} s"
        )
    return Clip(start, min(stop, frames), rate, stop > frames)


def write_split(
    csv_file: Path,
    utterances: list[Utterance],
    data_folder: str,
    problems: Iterable[str] = (),
    allow_problems: bool = False,
    workers: Optional[int] = None,
    options: Optional[Mapping[str, Any]] = None,
) -> None:
    """Opens all audio of a split in parallel and writes its CSV file.

    The file appears whole or not at all: a preparation that was
    interrupted goes on with the splits that have none.

    Arguments
    ---------
    data_folder : str
        Folder that `$data_root` stands for in the file.
    allow_problems : bool
        Whether utterances with problems are left out; else they stop the
        preparation.
    workers : int, optional
        Files opened at once; as many as there are cores if not given.
    options : mapping, optional
        What else the file depends on; as `missing_splits` was told.

    Raises
    ------
    CorpusError
        If something is wrong and that is not allowed, or nothing is left.
    """
    with ThreadPoolExecutor(workers or get_available_cpu_count()) as executor:
        clips = list(
            parallel_map(
                find_clip,
                utterances,
                executor=executor,
                progress_bar_kwargs={
                    "desc": csv_file.stem,
                    "total": len(utterances),
                },
            )
        )
    problems = list(problems)
    problems += [found for found in clips if isinstance(found, str)]
    problems += [f"{u.name}: no transcript" for u in utterances if not u.text]
    report_problems(csv_file.stem, problems, allow_problems)
    found = [
        (utterance, clip)
        for utterance, clip in zip(utterances, clips)
        if isinstance(clip, Clip) and utterance.text
    ]
    if not found:
        raise CorpusError(f"{csv_file.stem}: no utterance found")
    options = {"allow_problems": allow_problems, **(options or {})}
    made_of = sources(data_folder, csv_file.stem, options)
    with fingerprint.remade(csv_file, made_of) as unfinished:
        with open(unfinished, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows_of(found, data_folder))
    log_totals(csv_file.stem, found)


def rows_of(
    found: list[tuple[Utterance, Clip]], data_folder: str
) -> list[list[str]]:
    """The lines of a CSV file, its header first.

    Columns that a corpus has no use for are not there: `start` and `stop`
    where utterances are whole files, `intent` where they have no label.
    """
    has_segments = found[0][0].segment is not None
    has_intents = found[0][0].intent is not None
    header = [*COLUMNS, *["start", "stop"] * has_segments]
    rows = [header + ["intent"] * has_intents]
    for utterance, clip in found:
        row = [
            utterance.id,
            f"{clip.seconds:.4f}",
            relative(utterance.wav, data_folder),
            utterance.speaker,
            utterance.text,
        ]
        if has_segments:
            row += [str(clip.start), str(clip.stop)]
        if has_intents:
            row.append(utterance.intent)
        rows.append(row)
    return rows


def log_totals(name: str, found: list[tuple[Utterance, Clip]]) -> None:
    """Logs utterances and hours of a split, and what was cut."""
    hours = sum(clip.seconds for _, clip in found) / 3600
    logger.info("%s: %d utterances, %.2f h", name, len(found), hours)
    cut = [utterance.name for utterance, clip in found if clip.is_cut]
    if cut:
        logger.warning(
            "%s: %d segments cut at the end of their file, the first: %s",
            name,
            len(cut),
            cut[0],
        )


def relative(path: Path, data_folder: str) -> str:
    """Writes a path as SpeechBrain's CSV files have it.

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

    Raises
    ------
    CorpusError
        If there is a problem and `allow_problems` is false.

    Example
    -------
    >>> report_problems("dev", ["a: audio is empty"], False)
    Traceback (most recent call last):
    ...
    dld_brain.audio.preparation.CorpusError: dev: 1 problem, ...
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


def sources(
    data_folder: str, split: str, options: Mapping[str, Any]
) -> dict[str, str]:
    """What the CSV file of a split is made of: files, and settings."""
    folder = Path(data_folder, split)
    folder = folder if folder.is_dir() else Path(data_folder)
    files = fingerprint.digest_of_folder(folder) if folder.is_dir() else ""
    given = {f"`{key}`": repr(value) for key, value in options.items()}
    return {"the files of the corpus": files, **given}


def missing_splits(
    csv_folder: str, splits: list[str], data_folder: str, **options: Any
) -> list[str]:
    """Splits whose CSV file is not written yet, or no longer belongs.

    Arguments
    ---------
    data_folder : str
        The corpus. Its files are listed; no audio is read.
    **options : dict
        What else the files depend on: arguments of the preparation.

    Raises
    ------
    CorpusError
        If a file is none that a preparation wrote, whole.
    """
    found = []
    for split in splits:
        path = Path(csv_folder, f"{split}.csv")
        made_of = sources(data_folder, split, options)
        state = fingerprint.state_of(path, made_of)
        if state == fingerprint.CHANGED:
            raise CorpusError(
                f"{path} must be as the preparation wrote it, but is not "
                f"(changed by hand, or not whole): delete it to have it made "
                f"anew, or give --skip_prep=True to take it as it is"
            )
        if state != fingerprint.CURRENT:
            found.append(split)
    return found
