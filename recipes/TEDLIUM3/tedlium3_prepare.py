"""Prepares TED-LIUM release 3 (https://www.openslr.org/51)."""

import re
from pathlib import Path
from typing import NamedTuple, Optional

from dld_brain.audio.preparation import (
    CorpusError,
    Utterance,
    missing_splits,
    write_split,
)
from dld_brain.audio.text_files import read_lines, read_text, visible_files
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

SPLITS = ("train", "dev", "test")
#: talk channel speaker start end <label> words
LINE = re.compile(
    r"(?P<talk>\S+) +(?P<channel>\S+) +(?P<speaker>\S+) +"
    r"(?P<start>\d+(?:\.\d+)?) +(?P<stop>\d+(?:\.\d+)?) +"
    r"(?:<(?P<label>[^ >]*,[^ >]*)> *)?(?P<text>.*)"
)
#: What is between the segments; nobody is to be scored on it.
IGNORED = "ignore_time_segment_in_scoring"
#: Suffixes that are written apart from their word: `don 't`. Words that
#: begin with an apostrophe, as `'cause`, stay alone.
SUFFIX = re.compile(r" '(?=(?:t|s|re|ve|ll|d|m)(?: |$))")


class Segment(NamedTuple):
    """A line of an .stm file.

    Arguments
    ---------
    talk : str
        The talk, and the name of its audio.
    start : float
        Where it begins, s.
    stop : float
        Where it ends, s.
    label : str
        Condition, fluency and sex: `o,f0,female`.
    """

    talk: str
    speaker: str
    start: float
    stop: float
    label: str
    text: str


def parse_line(line: str) -> Optional[Segment]:
    """Reads a line of an .stm file.

    Returns
    -------
    Segment
        None of a comment, and of what is not to be scored.

    Example
    -------
    >>> parse_line("Al_2006 1 Al 0.5 2.25 <o,f0,male> i don 't <unk> know").text
    "i don't know"
    >>> parse_line("Al_2006 1 gap 0 0.5 <o,,unknown> " + IGNORED) is None
    True
    """
    line = line.strip()
    if not line or line.startswith(";;"):
        return None
    match = LINE.fullmatch(line)
    if not match:
        raise ValueError(f"no line of an .stm file: {line}")
    if match["text"] == IGNORED:
        return None
    return Segment(
        match["talk"],
        match["speaker"],
        float(match["start"]),
        float(match["stop"]),
        match["label"] or "",
        clean(match["text"]),
    )


def clean(text: str) -> str:
    """Takes out <unk>, which nobody can transcribe, and joins suffixes.

    Example
    -------
    >>> clean("it 's <unk>  they 're 'cause the dogs ' tails")
    "it's they're 'cause the dogs ' tails"
    """
    words = [word for word in text.split() if word != "<unk>"]
    return SUFFIX.sub("'", " ".join(words))


def prepare_tedlium3(
    data_folder: str,
    csv_folder: str,
    splits: list[str],
    allow_problems: bool = False,
    workers: Optional[int] = None,
    decode_audio: bool = True,
) -> None:
    """Writes a CSV file for each split that has none yet.

    An utterance is a segment of its talk: the files have its first sample
    and the one behind its last, and the audio stays as it is.

    Arguments
    ---------
    data_folder : str
        The folder TEDLIUM_release-3, which holds legacy/.
    allow_problems : bool
        Whether to leave out segments with problems, which are logged,
        instead of stopping.
    decode_audio : bool
        Whether audio is read to its end, and not its header alone.

    Raises
    ------
    CorpusError
        If a split is unknown or not there, or a segment has a problem.
    """
    for split in missing_splits(
        csv_folder,
        splits,
        data_folder,
        allow_problems=allow_problems,
        decode_audio=decode_audio,
    ):
        folder = Path(data_folder, "legacy", split)
        check_split(split, folder)
        utterances, problems = find_utterances(folder)
        write_split(
            Path(csv_folder, f"{split}.csv"),
            utterances,
            data_folder,
            problems,
            allow_problems,
            workers,
            decode_audio,
        )


def check_split(split: str, folder: Path) -> None:
    """Raises unless a split is there.

    Raises
    ------
    CorpusError
        If it has no stm/ or no sph/.

    Example
    -------
    >>> check_split("eval", Path("TEDLIUM_release-3/legacy/eval"))
    Traceback (most recent call last):
    ...
    dld_brain.audio.text_files.CorpusError: split 'eval' must be one of train, ...
    """
    for part in (folder / "stm", folder / "sph"):
        if split in SPLITS and part.is_dir():
            continue
        hint = ""
        if part.is_file():  # legacy/train has links, which not all unpack
            hint = (
                f": it is a file, a link to {read_text(part).strip()} that "
                f"was lost in unpacking; link it again with ln -sfn"
            )
        raise CorpusError(
            f"split {split!r} must be one of {', '.join(SPLITS)} and have a "
            f"folder {part}, but does not{hint}"
        )


def find_utterances(folder: Path) -> tuple[list[Utterance], list[str]]:
    """Reads the .stm files of a split.

    Arguments
    ---------
    folder : Path
        Folder of the split, which holds stm/ and sph/.

    Returns
    -------
    tuple
        The segments in the order of talk and time, and what is wrong.
    """
    utterances, problems, n_wordless = [], [], 0
    for stm in visible_files(folder / "stm", "*.stm"):
        for number, line in read_lines(stm):
            place = f"{stm.name}:{number}"
            try:
                segment = parse_line(line)
            except ValueError as error:
                problems.append(f"{place}: {error}")
                continue
            if segment is None:
                continue
            if segment.text:
                utterances.append(utterance_of(segment, folder, place))
            n_wordless += not segment.text
    talks = {utterance.wav.stem for utterance in utterances}
    problems += [
        f"{sph.name}: audio without transcript"
        for sph in visible_files(folder / "sph", "*.sph")
        if sph.stem not in talks
    ]
    if n_wordless:
        logger.info("%s: %d segments without a word", folder.name, n_wordless)
    return utterances, problems


def utterance_of(segment: Segment, folder: Path, place: str) -> Utterance:
    """Names a segment as Kaldi does: by its talk and hundredths of seconds."""
    times = (segment.start, segment.stop)
    start, stop = (f"{round(100 * seconds):07d}" for seconds in times)
    return Utterance(
        f"{segment.talk}-{start}-{stop}",
        folder / "sph" / f"{segment.talk}.sph",
        segment.speaker,
        segment.text,
        segment=times,
        place=place,
    )
