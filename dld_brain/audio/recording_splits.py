"""Which recordings are trained on, and which are of development and test."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dld_brain.audio.text_files import CorpusError
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: Development and test speech: each a share, and so many hours at most.
HELD_OUT, HELD_OUT_HOURS = 0.1, 1.0
#: Folders below which the split is by folder: a speaker's, or a session's.
FEWEST_FOLDERS = 10
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


def find_parts(
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
    tops = {top_folder(r.path, folder) for r in spoken} - {""}
    by_folder = len(tops) >= FEWEST_FOLDERS
    for one in spoken:
        name = one.path.relative_to(folder).as_posix()
        key = (top_folder(one.path, folder) if by_folder else "") or name
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


def top_folder(path: Path, folder: Path) -> str:
    """The first folder on the way to a file; none is empty."""
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""


def _hash(name: str) -> str:
    """What orders names, the same everywhere."""
    return hashlib.sha256(name.encode()).hexdigest()
