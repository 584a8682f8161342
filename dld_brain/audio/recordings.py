"""Recordings without a transcript: found, and cut at pauses.

What makes CSV files of a folder that holds nothing but audio.
"""

import functools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional, Union

import numpy as np

from dld_brain.audio.clips import Utterance
from dld_brain.audio.decode import ENDINGS
from dld_brain.audio.preparation import (
    missing_splits,
    report_problems,
    write_split,
)
from dld_brain.audio.reader import read_file
from dld_brain.audio.recording_splits import Recording, find_parts, top_folder
from dld_brain.audio.text_files import visible_files
from dld_brain.audio.vad import HOP, Span, find_speech, levels
from speechbrain.utils.logger import get_logger
from speechbrain.utils.parallel import get_available_cpu_count, parallel_map

logger = get_logger(__name__)

#: Segments of a long file: a shorter one is no speech to learn from, and a
#: longer pause parts two; s.
SHORTEST, LONGEST_GAP = 0.5, 2.0


def find_recordings(folder: Union[str, Path]) -> list[Path]:
    """Audio files below a folder in order, without hidden ones."""
    return [
        path
        for path in visible_files(Path(folder), "**/*")
        if path.suffix.lower() in ENDINGS and path.is_file()
    ]


def prepare_recordings(
    data_folder: str,
    csv_folder: str,
    splits: Sequence[str],
    max_seconds: float,
    roles: Sequence[Sequence[str]],
    allow_problems: bool = False,
    workers: Optional[int] = None,
    decode_audio: bool = True,
) -> None:
    """Writes CSV files, without transcripts, of a folder of audio.

    A folder that is called as a split is that split; else files are split
    by `split_in_three`.

    Arguments
    ---------
    splits : sequence of str
        That are written.
    max_seconds : float
        Longer files are cut at pauses, s.
    roles : sequence of sequence of str
        Names of the splits that are trained on, of development, of test.

    Raises
    ------
    CorpusError
        If there is too little speech to split, or a file has a problem.
    """
    options = {"max_seconds": max_seconds, "roles": [*map(list, roles)]}
    made_of = {"allow_problems": allow_problems, "decode_audio": decode_audio}
    if not missing_splits(
        csv_folder, list(splits), data_folder, **made_of, **options
    ):
        return
    paths = find_recordings(data_folder)
    found = read_recordings(paths, max_seconds, workers)
    problems = [text for text in found if isinstance(text, str)]
    report_problems("recordings", problems, allow_problems)
    recordings = [r for r in found if isinstance(r, Recording)]
    _log_what_was_cut(recordings)
    parts = find_parts(recordings, Path(data_folder), roles)
    for split in splits:
        write_split(
            Path(csv_folder, f"{split}.csv"),
            utterances_of(parts.get(split, []), Path(data_folder)),
            data_folder,
            (),
            allow_problems,
            workers,
            decode_audio,
            options,
            needs_text=False,
        )


def read_recordings(
    paths: Sequence[Path], max_seconds: float, workers: Optional[int] = None
) -> list[Union[Recording, str]]:
    """Finds the speech of files in parallel, with a bar; or what is wrong."""
    with ThreadPoolExecutor(workers or get_available_cpu_count()) as executor:
        return list(
            parallel_map(
                functools.partial(_read, max_seconds=max_seconds),
                paths,
                executor=executor,
                progress_bar_kwargs={
                    "desc": "pauses of recordings",
                    "total": len(paths),
                },
            )
        )


def _read(path: Path, max_seconds: float) -> Union[Recording, str]:
    """The speech of a file, or what is wrong with it."""
    try:
        str(path).encode()  # as the CSV file will have it
    except UnicodeEncodeError:
        name = os.fsencode(path).decode(errors="replace")
        return f"{name}: its name must be UTF-8: rename it"
    try:
        samples, rate = read_file(path)
    except (ValueError, OSError) as error:
        return f"{path}: {error}"
    found = segments_of(samples[:, 0].numpy(), rate, max_seconds)
    return Recording(path, rate, found)


def segments_of(
    samples: np.ndarray, rate: int, max_seconds: float
) -> list[tuple[int, int]]:
    """Segments that are no longer than so many seconds, cut at pauses.

    Speech without a pause is cut where it is softest in the second half of
    what may be.

    Arguments
    ---------
    samples : numpy.ndarray
        [S].

    Returns
    -------
    list of tuple of int
        First sample and the one behind the last; all of it where it is
        short, none where nobody speaks.

    Example
    -------
    >>> rhythm = 0.1 + 0.1 * (np.arange(48000) // 1600 % 2)
    >>> speech = rhythm * np.random.default_rng(0).standard_normal(48000)
    >>> speech[16000:32000] = 0
    >>> segments_of(speech, 16000, 10.0)
    [(0, 48000)]
    >>> len(segments_of(speech, 16000, 2.0))
    2
    """
    speech, longest = find_speech(samples, rate), round(max_seconds * rate)
    if speech and len(samples) <= longest:
        return [(0, len(samples))]
    pieces = [p for s in speech for p in _pieces(samples, rate, s, longest)]
    joined: list[tuple[int, int]] = []
    for start, stop in pieces:
        last = joined[-1] if joined else (-len(samples), -len(samples))
        fits = stop - last[0] <= longest
        if joined and fits and start - last[1] <= LONGEST_GAP * rate:
            joined[-1] = (last[0], stop)
        else:
            joined.append((start, stop))
    return [(a, b) for a, b in joined if b - a >= SHORTEST * rate]


def _pieces(
    samples: np.ndarray, rate: int, span: Span, longest: int
) -> list[tuple[int, int]]:
    """Cuts a stretch of speech where it is softest, as long as it must be."""
    start, found = span.start, []
    while span.stop - start > longest:
        half = start + longest // 2
        softest = int(levels(samples[half : start + longest], rate).argmin())
        cut = min(half + round(softest * HOP * rate), start + longest)
        found.append((start, cut))
        start = cut
    return [*found, (start, span.stop)]


def _log_what_was_cut(recordings: Sequence[Recording]) -> None:
    """Logs files, hours, and files in which nobody speaks."""
    silent = [r.path for r in recordings if not r.segments]
    logger.info(
        "%d recordings: %d segments, %.2f h",
        len(recordings),
        sum(len(r.segments) for r in recordings),
        sum(r.seconds for r in recordings) / 3600,
    )
    if silent:
        logger.warning(
            "%d recordings without speech are left out, the first: %s",
            len(silent),
            silent[0],
        )


def utterances_of(
    recordings: Iterable[Recording], folder: Path
) -> list[Utterance]:
    """The rows of a CSV file: a segment each, without a transcript."""
    return [
        Utterance(
            f"{one.path.relative_to(folder).as_posix()}@{start}",
            one.path,
            top_folder(one.path, folder),
            "",
            samples=(start, stop),
        )
        for one in recordings
        for start, stop in one.segments
    ]
