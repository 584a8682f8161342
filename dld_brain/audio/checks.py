"""One check of audio, for training, inference and ONNX: no torch.

What cannot be meant is an error, what can be mended is mended with an
`AudioWarning`; either names the audio. Warnings show once a text, as
Python's do.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Optional

import numpy as np

#: Rates of audio, Hz: telephones have 8000, ultrasound 384000.
LOWEST_RATE, HIGHEST_RATE = 4_000, 384_000
#: Longest audio unless the caller says otherwise, s.
LONGEST = 4 * 3600.0
#: Samples beyond this are no floats in [-1, 1] that went too high (24 dB
#: over full scale), but whole numbers that were never divided.
LARGEST = 16.0
#: The mean of C channels that have nothing in common has 1 / C of their
#: power. With less than this share of that they cancel: of two channels,
#: with a correlation below -0.8, which no recording of a room has.
CANCELLED = 0.2
#: Seconds that a file may lack of what its header says: codecs round.
TOLERANCE = 0.1


#: What is done to pieces of audio on their way, [s] each.
Convert = Callable[[Iterator[np.ndarray]], Iterable[np.ndarray]]


class AudioWarning(UserWarning):
    """Audio that is legal and probably not what was meant."""


def warn(text: str) -> None:
    """Warns of an audio."""
    warnings.warn(text, AudioWarning, stacklevel=3)


def check_rate(rate: int, name: str) -> None:
    """Raises unless a sampling rate can be that of speech.

    Example
    -------
    >>> check_rate(384_001, "a.wav")
    Traceback (most recent call last):
    ...
    ValueError: a.wav must have a sampling rate between 4000 and 384000 Hz, ...
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ValueError(
            f"{name} must have a sampling rate between {LOWEST_RATE} and "
            f"{HIGHEST_RATE} Hz, but says {rate} Hz: set the right one, e.g. "
            f"`sox -r 16000 in.wav out.wav`"
        )


def near_rate(rate: int) -> int:
    """A rate, at most 10 Hz away, that resampling can do.

    The filters of a rate that shares no factor with the model's take
    gigabytes: 16000 of them at 44101 Hz, 160 at 44100 Hz.

    Example
    -------
    >>> near_rate(44_100), near_rate(11_025), near_rate(44_101)
    (44100, 11025, 44100)
    """
    if rate % 20 == 0 or rate % 25 == 0:
        return rate
    return 20 * round(rate / 20)


def check_seconds(seconds: float, max_seconds: float, name: str) -> None:
    """Raises where audio is too long."""
    if not seconds <= max_seconds:
        raise ValueError(
            f"{name} must have at most {max_seconds:g} s, but has "
            f"{seconds:.6g} s: cut it, or allow more (`max_audio_seconds`)"
        )


def check_whole(n_found: int, n_told: int, rate: int, name: str) -> None:
    """Raises where a file ends before its header says, or its segment does.

    An error, not a warning: half an utterance with the words of the whole
    would be learnt, and half a recording would pass for all of it.

    Arguments
    ---------
    n_found, n_told : int
        Samples that could be decoded, and that there should be.
    """
    if n_told - n_found > TOLERANCE * rate:
        raise ValueError(
            f"{name} must hold {n_told / rate:.2f} s, but ends after "
            f"{n_found / rate:.2f} s: it is cut; copy it anew, or keep what is "
            f"there with `ffmpeg -i in.wav out.wav`"
        )


def check_finite(
    samples: np.ndarray, rate: int, name: str, start: int = 0
) -> None:
    """Raises at a sample that is no number.

    Arguments
    ---------
    samples : numpy.ndarray
        [S, channels].
    start : int
        Where the first of them is in the audio.

    Example
    -------
    >>> check_finite(np.array([[0.0], [np.inf]]), 16000, "a.wav", start=31999)
    Traceback (most recent call last):
    ...
    ValueError: a.wav must be finite, but has inf at sample 32000 (2 s)
    """
    with np.errstate(invalid="ignore"):
        total = samples.sum(dtype=np.float64)  # one pass, no copy
    if np.isfinite(total):
        return
    row, channel = np.argwhere(~np.isfinite(samples))[0]
    raise ValueError(
        f"{name} must be finite, but has {samples[row, channel]} at sample "
        f"{start + row} ({(start + row) / rate:.6g} s)"
    )


def floats(samples: np.ndarray, name: str) -> np.ndarray:
    """Samples of any type as floats, 32 bits.

    Whole numbers of 16 bits, and of 8 without sign, say their scale; those of
    32 and 64 often hold 16 or 24 bits, which `scaled` finds out.

    Example
    -------
    >>> floats(np.array([-32768, 16384], np.int16), "samples")
    array([-1. ,  0.5], dtype=float32)
    """
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # to infinity, which is refused
            return samples.astype(np.float32, copy=False)
    bits = samples.dtype.itemsize * 8
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind != "i" or bits == 8:
        raise ValueError(
            f"{name} must be floats in [-1, 1] or whole numbers of 16 or 32 "
            f"bits, but has type {samples.dtype}"
        )
    found = samples.astype(np.float32)
    return found / 2**15 if bits == 16 else found


def scaled(samples: np.ndarray, name: str) -> np.ndarray:
    """Samples in [-1, 1], where they are whole numbers by their size.

    Arguments
    ---------
    samples : numpy.ndarray
        Of any shape.

    Example
    -------
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     scaled(np.array([16384.0, -8192.0]), "a.wav")
    array([ 0.5 , -0.25])
    """
    peak = float(max(samples.max(), -samples.min()))
    if peak <= LARGEST:
        return samples
    bits = next((n for n in (16, 24, 32) if peak <= 2 ** (n - 1)), None)
    if bits is None:
        raise ValueError(
            f"{name} must have samples in [-1, 1], but they reach {peak:.3g}"
        )
    warn(
        f"{name} has samples of up to {peak:.6g}: they are taken for whole "
        f"numbers of {bits} bits and divided by {2 ** (bits - 1)}"
    )
    return samples / samples.dtype.type(2 ** (bits - 1))


def checked(
    blocks: Callable[[], Iterator[np.ndarray]],
    name: str,
    convert: Convert = iter,
) -> Optional[np.ndarray]:
    """Mixes the channels, scales, and warns of what holds no sound.

    Arguments
    ---------
    blocks : callable
        Gives the audio from its start, in pieces of [s, channels]; called
        again where channels cancel, so that no more than one is ever held.
    convert : callable
        What is done to the pieces of the mix, [s] each, in their order.

    Returns
    -------
    numpy.ndarray
        [S], in [-1, 1] but for a little; None if there is nothing.

    Example
    -------
    >>> x = np.array([[0.5, 0.25], [-0.5, -0.25]])
    >>> checked(lambda: iter([x]), "a.wav")
    array([ 0.375, -0.375])
    """
    mix = _Mix(name)
    pieces = list(convert(mix.means(blocks())))
    if mix.lowest > mix.highest:
        return None
    best = mix.best_alone()
    if best is not None:
        pieces = list(convert(block[:, best] for block in blocks()))
    elif mix.lowest == mix.highest:
        value = mix.lowest
        held = "silent" if value == 0 else f"constant ({value:g})"
        warn(f"{name} is {held}: nothing was recorded")
    return scaled(pieces[0] if len(pieces) == 1 else _joined(pieces), name)


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """One array of several, each of which is let go once it is copied."""
    found = np.empty(sum(map(len, pieces)), pieces[0].dtype)
    stop = len(found)
    while pieces:
        piece = pieces.pop()
        found[stop - len(piece) : stop] = piece
        stop -= len(piece)
    return found


def _mean_of_channels(block: np.ndarray) -> np.ndarray:
    """[s, channels] -> [s]; as a product five times as fast as `mean`."""
    n = block.shape[1]
    return block @ np.full(n, 1 / n, block.dtype)


class _Mix:
    """The mean of channels, and what it has left of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.power, self.powers = 0.0, np.zeros(1)
        self.lowest, self.highest = np.inf, -np.inf

    def means(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Mixes pieces of [s, channels]."""
        for block in blocks:
            if block.shape[1] == 1:
                mean = block[:, 0]
            else:
                mean = _mean_of_channels(block)
                moving = block - block.mean(axis=0)
                powers = np.einsum("ij,ij->j", moving, moving)
                self.powers = self.powers + powers
                moving = _mean_of_channels(moving)
                self.power += float(moving @ moving)
            self.lowest = min(self.lowest, float(mean.min()))
            self.highest = max(self.highest, float(mean.max()))
            yield mean

    def best_alone(self) -> Optional[int]:
        """The loudest channel, where they cancel."""
        n = len(self.powers)
        if self.power >= CANCELLED * self.powers.mean() / n:
            return None
        # The first of those that are equally loud, however they round.
        best = int((self.powers > 0.999 * self.powers.max()).argmax())
        warn(
            f"{self.name} has channels that cancel each other: channel {best} "
            f"of {n} is taken alone"
        )
        return best
