"""What every corpus needs: checked audio, CSV files, a list of problems."""

import csv
import functools
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional, Union

from dld_brain.audio.clips import Clip, Utterance, find_clip
from dld_brain.audio.text import normalise
from dld_brain.audio.text_files import CorpusError
from dld_brain.files import fingerprint
from speechbrain.utils.logger import get_logger
from speechbrain.utils.parallel import get_available_cpu_count, parallel_map

logger = get_logger(__name__)

COLUMNS = ("ID", "duration", "wav", "spk_id", "wrd")


def write_split(
    csv_file: Path,
    utterances: list[Utterance],
    data_folder: str,
    problems: Iterable[str] = (),
    allow_problems: bool = False,
    workers: Optional[int] = None,
    decode_audio: bool = True,
    options: Optional[Mapping[str, Any]] = None,
    needs_text: bool = True,
) -> None:
    """Reads all audio of a split in parallel and writes its CSV file.

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
        Files read at once; as many as there are cores if not given.
    decode_audio : bool
        Whether audio is read to its end, and not its header alone.
    options : mapping, optional
        What else the file depends on; as `missing_splits` was told.
    needs_text : bool
        Whether an utterance without a transcript is a problem.

    Raises
    ------
    CorpusError
        If something is wrong and that is not allowed, or nothing is left.
    """
    name = csv_file.stem
    clips = find_clips(utterances, name, workers, decode_audio)
    problems = list(problems)
    problems += [found for found in clips if isinstance(found, str)]
    mute = [u for u in utterances if needs_text and _is_mute(u)]
    problems += [f"{u.name}: no transcript" for u in mute]
    problems += repeated_ids(utterances)
    report_problems(name, problems, allow_problems)
    found: dict[str, tuple[Utterance, Clip]] = {}
    for utterance, clip in zip(utterances, clips):
        is_told = not (needs_text and _is_mute(utterance))
        if isinstance(clip, Clip) and is_told:
            found.setdefault(utterance.id, (utterance, clip))
    if not found:
        raise CorpusError(f"{name}: no utterance found")
    pairs = list(found.values())
    given = {"allow_problems": allow_problems, "decode_audio": decode_audio}
    made_of = sources(data_folder, name, {**given, **(options or {})})
    with fingerprint.remade(csv_file, made_of) as unfinished:
        write_rows(unfinished, rows_of(pairs, data_folder))
    log_totals(name, pairs)


def _is_mute(utterance: Utterance) -> bool:
    """Whether an utterance has neither a word nor a label."""
    return not normalise(utterance.text) and utterance.intent is None


def find_clips(
    utterances: list[Utterance],
    name: str,
    workers: Optional[int] = None,
    decode_audio: bool = True,
) -> list[Union[Clip, str]]:
    """Reads audio in parallel, with a bar; see `find_clip`."""
    with ThreadPoolExecutor(workers or get_available_cpu_count()) as executor:
        return list(
            parallel_map(
                functools.partial(find_clip, decode=decode_audio),
                utterances,
                executor=executor,
                progress_bar_kwargs={"desc": name, "total": len(utterances)},
            )
        )


def repeated_ids(utterances: list[Utterance]) -> list[str]:
    """Utterances whose id another before them has."""
    first: dict[str, Utterance] = {}
    return [
        f"{utterance.name}: its id is that of {first[utterance.id].name}, too"
        for utterance in utterances
        if first.setdefault(utterance.id, utterance) is not utterance
    ]


def write_rows(path: Path, rows: list[list[str]]) -> None:
    """Writes a CSV file."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def rows_of(
    found: list[tuple[Utterance, Clip]], data_folder: str
) -> list[list[str]]:
    """The lines of a CSV file, its header first.

    Columns that a corpus has no use for are not there: `start` and `stop`
    where utterances are whole files, `intent` where they have no label.
    """
    first = found[0][0]
    has_segments = any(u.segment or u.samples for u, _ in found)
    has_intents = first.intent is not None
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
    dld_brain.audio.text_files.CorpusError: dev: 1 problem, ...
    """
    if not problems:
        return
    for problem in problems:
        logger.warning("%s: %s", name, problem)
    count = f"{len(problems)} problem" + "s" * (len(problems) > 1)
    if not allow_problems:
        raise CorpusError(
            f"{name}: {count}, the first: {problems[0]}; the log has all. "
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
