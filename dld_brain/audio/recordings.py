"""Recordings without a transcript: found, cut at pauses, split in three.

What makes CSV files of a folder that holds nothing but audio.
"""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Optional, Union

import numpy as np

from dld_brain.audio.clips import Utterance
from dld_brain.audio.preparation import (
    missing_splits,
    report_problems,
    write_split,
)
from dld_brain.audio.reader import read_file
from dld_brain.audio.text_files import CorpusError, visible_files
from dld_brain.audio.vad import HOP, Span, find_speech, levels
from speechbrain.utils.logger import get_logger
from speechbrain.utils.parallel import get_available_cpu_count, parallel_map

logger = get_logger(__name__)

#: Endings of files that are taken, in lower case.
ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus")
#: Development and test speech: each a share, and so many hours at most.
HELD_OUT, HELD_OUT_HOURS = 0.1, 1.0
#: Folders below which the split is by folder: a speaker's, or a session's.
FEWEST_FOLDERS = 10
#: Segments of a long file: a shorter one is no speech to learn from, and a
#: longer pause parts two; s.
SHORTEST, LONGEST_GAP = 0.5, 2.0
#: What a preparation that has nothing to part says.
TOO_LITTLE = "give more recordings, or <split>.csv for each split"


class Recording(NamedTuple):
    """An audio file, and where in it somebody speaks, samples."""

    path: Path
    rate: int
    segments: list[tuple[int, int]]

    @property
    def seconds(self) -> float:
        """Length of its segments together, s."""
        return sum(stop - start for start, stop in self.segments) / self.rate


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
    parts = _parts(recordings, Path(data_folder), roles)
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
    >>> noise = 0.1 * np.random.default_rng(0).standard_normal(48000)
    >>> noise[16000:32000] = 0
    >>> segments_of(noise, 16000, 10.0)
    [(0, 48000)]
    >>> [
    ...     (round(a / 16000), round(b / 16000))
    ...     for a, b in segments_of(noise, 16000, 2.0)
    ... ]
    [(0, 1), (2, 3)]
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


def _parts(
    recordings: Sequence[Recording],
    folder: Path,
    roles: Sequence[Sequence[str]],
) -> dict[str, list[Recording]]:
    """The recordings of each split.

    Raises
    ------
    CorpusError
        If there are several splits of a role and no folders of their names.
    """
    names = list(dict.fromkeys(name for role in roles for name in role))
    if all((folder / name).is_dir() for name in names):
        logger.info("the splits are the folders %s", ", ".join(names))
        return {
            name: [r for r in recordings if folder / name in r.path.parents]
            for name in names
        }
    if len(names) != 3 or any(len(role) != 1 for role in roles):
        raise CorpusError(
            f"{folder} must have a folder for each of the splits "
            f"{', '.join(names)}, but has not: without such folders name one "
            f"to train on, one of development and one of test"
        )
    return dict(zip(names, split_in_three(recordings, folder)))


def split_in_three(
    recordings: Sequence[Recording], folder: Path
) -> tuple[list[Recording], list[Recording], list[Recording]]:
    """Splits recordings into what is trained, developed and tested on.

    By the folders below `folder` where there are ten, else by file, in the
    order of hashes of their names: the same whenever it is done, and whoever
    is in one is not in another. A file of three segments is enough: without
    three files, the segments are split, in their order.

    Raises
    ------
    CorpusError
        If there are not three segments.
    """
    spoken = [r for r in recordings if r.segments]
    groups: dict[str, list[Recording]] = {}
    tops = {_top(r.path, folder) for r in spoken} - {""}
    by_folder = len(tops) >= FEWEST_FOLDERS
    for one in spoken:
        name = one.path.relative_to(folder).as_posix()
        key = (_top(one.path, folder) if by_folder else "") or name
        groups.setdefault(key, []).append(one)
    keys = sorted(groups, key=_hash)
    if len(keys) < 3:
        return _split_segments(spoken, folder)
    seconds = [sum(r.seconds for r in groups[key]) for key in keys]
    parts = [
        [one for key in keys[a:b] for one in groups[key]]
        for a, b in _bounds(seconds)
    ]
    unit = "the folder it is in" if by_folder else "file"
    test, valid, train = parts
    _log_split(unit, train, valid, test)
    return train, valid, test


def _bounds(seconds: Sequence[float]) -> list[tuple[int, int]]:
    """Where test, development and training begin and end, of all in a row.

    Example
    -------
    >>> _bounds([1.0] * 20), _bounds([1.0, 1.0, 1.0])
    ([(0, 2), (2, 4), (4, 20)], [(0, 1), (1, 2), (2, 3)])
    """
    goal = min(HELD_OUT * sum(seconds), HELD_OUT_HOURS * 3600)
    ends, at = [], 0
    for left in (2, 1):  # parts behind it, which need one each
        held = seconds[at]
        at += 1
        while at < len(seconds) - left and held + seconds[at] <= goal:
            held += seconds[at]
            at += 1
        ends.append(at)
    first, second = ends
    return [(0, first), (first, second), (second, len(seconds))]


def _split_segments(
    spoken: Sequence[Recording], folder: Path
) -> tuple[list[Recording], list[Recording], list[Recording]]:
    """Splits one or two recordings by their segments, in their order."""
    single = [r._replace(segments=[s]) for r in spoken for s in r.segments]
    if len(single) < 3:
        raise CorpusError(
            f"{folder} must hold speech for three splits, but has "
            f"{len(single)} segments in {len(spoken)} files: {TOO_LITTLE}"
        )
    # From the end: the longest part, which is trained on, comes first.
    single.reverse()
    test, valid, train = (
        single[a:b][::-1] for a, b in _bounds([r.seconds for r in single])
    )
    logger.warning(
        "%s has %d files: the splits are parts of the same ones, and flatter "
        "the model",
        folder,
        len(spoken),
    )
    _log_split("segment", train, valid, test)
    return train, valid, test


def _log_split(unit: str, *parts: Sequence[Recording]) -> None:
    """Says what was split by, and how much each part has."""
    sizes = (
        f"{len(part)} ({sum(r.seconds for r in part) / 60:.1f} min)"
        for part in parts
    )
    logger.info(
        "split by %s: %s to train on, %s of development, %s of test",
        unit,
        *sizes,
    )


def utterances_of(
    recordings: Iterable[Recording], folder: Path
) -> list[Utterance]:
    """The rows of a CSV file: a segment each, without a transcript."""
    return [
        Utterance(
            f"{one.path.relative_to(folder).as_posix()}@{start}",
            one.path,
            _top(one.path, folder),
            "",
            samples=(start, stop),
        )
        for one in recordings
        for start, stop in one.segments
    ]


def _top(path: Path, folder: Path) -> str:
    """The first folder on the way to a file; none is empty."""
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""


def _hash(name: str) -> str:
    """What orders names, the same everywhere."""
    return hashlib.sha256(name.encode()).hexdigest()
