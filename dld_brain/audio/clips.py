"""The audio of an utterance: there, whole, and as long as is said."""

import functools
from pathlib import Path
from typing import NamedTuple, Optional, Union

import soundfile

from dld_brain.audio.decode import check_opens
from dld_brain.audio.reader import read_file
from dld_brain.files.console import escaped

#: Longer audio is decoded in pieces, to hold little of it at once; s.
PIECE = 600
#: What a duration may be off: s, for rounding, and a share of it.
TOLERANCE = (0.15, 0.01)
#: Letters of an id, and of a problem, that a message has.
SHOWN = (80, 320)


class Utterance(NamedTuple):
    """A line of a CSV file before its audio is opened.

    Arguments
    ---------
    intent : str, optional
        What is meant: the label of a classification.
    segment : tuple of float, optional
        Where in its file it begins and ends, s; the whole file if not
        given. An end behind that of the file is cut.
    samples : tuple of int, optional
        The same in samples at the file's rate; both lie in the file.
    seconds : float, optional
        Its length, where that is said, s.
    place : str, optional
        File and line that it stands in, for messages.
    """

    id: str
    wav: Path
    speaker: str
    text: str
    intent: Optional[str] = None
    segment: Optional[tuple[float, float]] = None
    samples: Optional[tuple[int, int]] = None
    seconds: Optional[float] = None
    place: Optional[str] = None

    @property
    def name(self) -> str:
        """What messages call it."""
        name = self.id[: SHOWN[0]]
        return f"{self.place}: {name}" if self.place else name


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
    is_cut: bool = False

    @property
    def seconds(self) -> float:
        """Its length, s."""
        return (self.stop - self.start) / self.rate


def frames_and_rate(path: Path) -> tuple[int, int]:
    """Reads the header of an audio file; once for all its segments.

    Again when the file was changed.

    Returns
    -------
    tuple of int
        Samples, and their rate, Hz.

    Raises
    ------
    OSError
        If it is not there, or may not be read.
    ValueError
        If it is no audio, or has no header.
    """
    status = path.stat()
    return _header(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _header(path: Path, size: int, changed: int) -> tuple[int, int]:
    """Samples and rate of a file, as long as it stays the same."""
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, TypeError) as error:
        check_opens(path, f"audio file {escaped(path, 200)}")
        text = escaped(error, 300)
        raise ValueError(f"audio does not open ({text})") from None
    return info.frames, info.samplerate


def find_clip(utterance: Utterance, decode: bool = True) -> Union[Clip, str]:
    """Finds the audio of an utterance, or says what is wrong with it.

    Arguments
    ---------
    decode : bool
        Whether all of it is read, and not its header alone.
    """
    name, wav = utterance.name, utterance.wav
    try:
        if not wav.is_file():
            raise FileNotFoundError(f"transcript without audio ({wav})")
        frames, rate = frames_and_rate(wav)
        if frames == 0:
            raise ValueError(f"audio is empty ({wav})")
        clip = _clip_of(utterance, frames, rate)
        _check_seconds(utterance, clip)
        if decode:
            _decode(wav, clip, frames)
    except (ValueError, OSError) as error:
        return f"{name}: {error}"[: SHOWN[1]]
    return clip


def _clip_of(utterance: Utterance, frames: int, rate: int) -> Clip:
    """The part of a file that an utterance is; it may end behind the file."""
    start, stop = utterance.samples or (0, frames)
    if utterance.segment is not None:
        start, stop = (round(seconds * rate) for seconds in utterance.segment)
    if not 0 <= start < stop:
        raise ValueError(
            f"a segment must end behind its start, but is from "
            f"{start / rate:g} to {stop / rate:g} s"
        )
    if start >= frames:
        raise ValueError(
            f"the segment begins at {start / rate:g} s, but "
            f"{utterance.wav.name} ends at {frames / rate:.2f} s"
        )
    if utterance.samples and stop > frames:
        raise ValueError(
            f"`stop` must be at most {frames}, the samples of "
            f"{utterance.wav.name}, but is {stop}"
        )
    return Clip(start, min(stop, frames), rate, stop > frames)


def _check_seconds(utterance: Utterance, clip: Clip) -> None:
    """Raises where the length is another than what is said."""
    said, (rounding, share) = utterance.seconds, TOLERANCE
    if said is None:
        return
    if abs(said - clip.seconds) > rounding + share * clip.seconds:
        raise ValueError(
            f"`duration` must be {clip.seconds:.4f} s, as the audio is, but "
            f"is {said:g}"
        )


def _decode(wav: Path, clip: Clip, frames: int) -> None:
    """Reads a clip, and raises where it is cut or has no finite samples."""
    step = PIECE * clip.rate
    is_file = (clip.start, clip.stop) == (0, frames)
    for start in range(clip.start, clip.stop, step):
        stop = min(start + step, clip.stop)
        is_all = is_file and frames <= step
        samples, _ = read_file(wav) if is_all else read_file(wav, start, stop)
        if len(samples) < stop - start:
            raise ValueError(
                f"{wav} must hold {frames} samples, as its header says, but "
                f"ends at {start + len(samples)}"
            )
        if not samples.isfinite().all():
            raise ValueError(f"{wav} holds samples that are not finite")
