"""A folder of recordings without transcripts, cut and split for training."""

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional, Union

import numpy as np

from dld_brain.audio.clips import Utterance, frames_and_rate
from dld_brain.audio.csv_files import csv_name
from dld_brain.audio.decode import ENDINGS
from dld_brain.audio.preparation import missing_splits, write_split
from dld_brain.audio.reader import read_audio
from dld_brain.audio.text_files import CorpusError, visible_files
from dld_brain.audio.vad import HOP, PAUSE, Span, find_speech, levels
from speechbrain.utils.logger import get_logger
from speechbrain.utils.parallel import get_available_cpu_count, parallel_map

logger = get_logger(__name__)

#: Rate at which pauses are looked for, Hz.
RATE = 16000
#: One recording in so many is development speech, and one is test speech.
PARTS = 10
#: Shorter pieces of speech are left out, s: coughs, a click.
SHORTEST = 0.5
#: Speech without a pause is cut where it is softest in the last of so many
#: parts of the longest piece.
LAST_PART = 4


def find_recordings(folder: Union[str, Path]) -> list[Path]:
    """The audio files below a folder, in the order of their names."""
    found = visible_files(Path(folder), "**/*")
    return [p for p in found if p.suffix.lower() in ENDINGS and p.is_file()]


def are_recordings(folder: Union[str, Path], splits: Sequence[str]) -> bool:
    """Whether a folder holds audio, and no CSV file of any of the splits."""
    if any(Path(folder, csv_name(split)).exists() for split in splits):
        return False
    return bool(find_recordings(folder))


def prepare_recordings(
    data_folder: str,
    csv_folder: str,
    splits: Sequence[str],
    roles: Mapping[str, Sequence[str]],
    longest: float,
    allow_problems: bool = False,
    workers: Optional[int] = None,
) -> None:
    """Cuts recordings at their pauses, and writes the CSV file of each split.

    References are empty. Recordings are split by the folders that the data
    folder holds where there are 10 or more, else by files, else by pieces.

    Arguments
    ---------
    splits : sequence of str
        Those that are to be there.
    roles : mapping of str to sequence of str
        The split that is for "train", "valid" and "test".
    longest : float
        Of a piece, s.
    allow_problems : bool
        Whether files that cannot be read are left out.

    Raises
    ------
    ValueError
        If a role has not one split.
    CorpusError
        If a file cannot be read, or there is too little speech.
    """
    names = {role: _only(role, given) for role, given in roles.items()}
    options = {
        "longest": longest,
        "roles": sorted(names.items()),
        "allow_problems": allow_problems,
        "decode_audio": False,
    }
    if not missing_splits(csv_folder, list(splits), data_folder, **options):
        return
    pieces, problems = _cut_all(data_folder, longest, workers)
    for role, utterances in parted(pieces, data_folder).items():
        write_split(
            Path(csv_folder, csv_name(names[role])),
            utterances,
            data_folder,
            problems if role == "train" else (),
            allow_problems,
            workers,
            decode_audio=False,  # it was, for its pauses
            options={k: options[k] for k in ("longest", "roles")},
            needs_text=False,
        )


def _only(role: str, splits: Sequence[str]) -> str:
    """The one split of a role."""
    if len(splits) != 1:
        raise ValueError(
            f"`{role}_splits` of a folder of recordings must be one name, but "
            f"are {', '.join(splits) or 'none'}: recordings are split here"
        )
    return splits[0]


def _cut_all(
    data_folder: str, longest: float, workers: Optional[int]
) -> tuple[list[Utterance], list[str]]:
    """The pieces of all recordings, and what is wrong with some."""
    paths = find_recordings(data_folder)
    with ThreadPoolExecutor(workers or get_available_cpu_count()) as executor:
        cut = parallel_map(
            functools.partial(_cut, folder=data_folder, longest=longest),
            paths,
            executor=executor,
            progress_bar_kwargs={"desc": "recordings", "total": len(paths)},
        )
        found = list(cut)
    problems = [each for each in found if isinstance(each, str)]
    pieces = [u for each in found if isinstance(each, list) for u in each]
    return pieces, problems


def _cut(
    path: Path, folder: str, longest: float
) -> Union[list[Utterance], str]:
    """The pieces of a recording, or what is wrong with it."""
    name = path.relative_to(folder).as_posix()
    try:
        n_samples, rate = frames_and_rate(path)
        samples, _ = read_audio(path, to_rate=RATE)
    except (ValueError, OSError) as error:
        return f"{name}: {error}"[:320]
    found = []
    for span in pieces_of(samples[:, 0].numpy(), RATE, longest):
        start = span.start * rate // RATE
        stop = min(span.stop * rate // RATE, n_samples)
        found.append(
            Utterance(
                f"{name}:{span.start / RATE:.2f}",
                path,
                name.split("/")[0] if "/" in name else "",
                "",
                samples=(start, stop),
            )
        )
    return found


def pieces_of(samples: np.ndarray, rate: int, longest: float) -> list[Span]:
    """Speech in pieces: as long as they may be, cut at pauses.

    Arguments
    ---------
    samples : numpy.ndarray
        [S].
    longest : float
        Of a piece, s.

    Example
    -------
    >>> pieces_of(np.zeros(16000), 16000, longest=28.0)
    []
    """
    most, found = round(longest * rate), []
    for span in find_speech(samples, rate, "energy", PAUSE):
        for part in _short_enough(samples, rate, span, most):
            if found and part.stop - found[-1].start <= most:
                found[-1] = Span(found[-1].start, part.stop)
            else:
                found.append(part)
    return [s for s in found if s.stop - s.start >= SHORTEST * rate]


def _short_enough(
    samples: np.ndarray, rate: int, span: Span, most: int
) -> list[Span]:
    """A stretch without a pause, cut where it is softest if it is too long."""
    found = []
    while span.stop - span.start > most:
        # What is left is long enough to be kept.
        last = min(span.start + most, span.stop - round(SHORTEST * rate))
        first = last - most // LAST_PART
        softest = levels(samples[first:last], rate).argmin()
        cut = first + int(softest) * round(HOP * rate)
        found.append(Span(span.start, cut))
        span = Span(cut, span.stop)
    return [*found, span]


def parted(
    pieces: Sequence[Utterance], data_folder: str
) -> dict[str, list[Utterance]]:
    """Splits pieces of recordings; a line says by what.

    Raises
    ------
    CorpusError
        If there are too few.
    """
    kind, units = _units(pieces)
    places = {unit: i for i, unit in enumerate(dict.fromkeys(units))}
    if len(places) < PARTS:
        raise CorpusError(
            f"{data_folder} must hold at least {PARTS} pieces of speech, but "
            f"holds {len(pieces)}: record more, or give CSV files"
        )
    found: dict[str, list[Utterance]] = {"train": [], "valid": [], "test": []}
    role = {PARTS - 2: "valid", PARTS - 1: "test"}
    for piece, unit in zip(pieces, units):
        found[role.get(places[unit] % PARTS, "train")].append(piece)
    logger.info(
        "%s: %d recordings in %d pieces; of every %d %s one is for "
        "development and one for testing",
        data_folder,
        len({piece.wav for piece in pieces}),
        len(pieces),
        PARTS,
        kind,
    )
    return found


def _units(pieces: Sequence[Utterance]) -> tuple[str, list[str]]:
    """The largest units of which there are enough, and that of each piece."""
    folders = [piece.speaker for piece in pieces]
    if all(folders) and len(set(folders)) >= PARTS:
        return "folders", folders
    files = [str(piece.wav) for piece in pieces]
    if len(set(files)) >= PARTS:
        return "files", files
    return "pieces of the same files", [piece.id for piece in pieces]
