"""Where speech is: an energy gate, and Silero's detector. No torch of ours.

The gate's numbers are those that lose no utterance of AN4, LibriSpeech and
the spoken commands of the quickstart, as they are, 40 dB quieter, or in white
noise of their own power; `tests/audio/test_vad.py` has the shape of them.
"""

import threading
from functools import cache
from typing import Any, NamedTuple, Optional

import numpy as np

#: What `vad` can be, beside None: energy alone, or Silero behind it.
DETECTORS = ("energy", "silero")
#: Frames, s: as long as a vowel's period at its lowest, and a hop.
FRAME, HOP = 0.025, 0.010
#: Nothing softer is speech, dB of full scale: 16 bits end at -98 dB.
FLOOR = -85.0
#: Frames that speech lasts: a click is louder, and shorter than 50 ms.
SUSTAINED = 5
#: Speech rises so far above its softest tenth, dB: at least 2.9 dB in white
#: noise of its own power, while white noise alone comes to 1, tones to 0.
RANGE = 2.5
#: Fewer frames are judged by their level alone: a vowel is as steady.
STEADY = 20
#: The same for what lies between two stretches of speech, dB.
PAUSE_RANGE = 12.0
#: A pause is so many seconds of frames that are at most so many dB above the
#: softest twentieth of those around, and so many below the loudest; around
#: is this many seconds.
PAUSE, ABOVE, BELOW, AROUND = 0.3, 6.0, 20.0, 15.0
#: A pause that parts audio which fits into a model at once: shorter ones are
#: where the model knows them from (AN4: 12 of 130 utterances have some of
#: 0.3 s, and lose 1.8 points of WER if they are cut there).
LONG_PAUSE = 0.45
#: Peak of what Silero is given.
LOUD = 0.5
#: What stays of a pause on each side of speech, s.
PAD = 0.03


class Span(NamedTuple):
    """A stretch of audio, in samples."""

    start: int
    stop: int


def levels(samples: np.ndarray, rate: int) -> np.ndarray:
    """Power of each frame without its mean, dB of full scale.

    Arguments
    ---------
    samples : numpy.ndarray
        [S].

    Returns
    -------
    numpy.ndarray
        [1 + (S - n) // h] of frames of n samples every h; at least one.

    Example
    -------
    >>> levels(np.full(1600, 0.5), 16000).round()
    array([-120., -120., -120., -120., -120., -120., -120., -120.])
    """
    n, hop = round(FRAME * rate), round(HOP * rate)
    if len(samples) < n:
        samples = np.pad(samples, (0, n - len(samples)), mode="edge")
    found = []
    for first in range(0, len(samples) - n + 1, hop * 4096):  # 41 s
        piece = samples[first : first + hop * 4095 + n].astype(np.float64)
        frames = np.lib.stride_tricks.sliding_window_view(piece, n)[::hop]
        found.append(frames.var(axis=1))
    return 10 * np.log10(np.maximum(np.concatenate(found), 1e-12))


def has_speech(levels: np.ndarray, range_db: float = RANGE) -> bool:
    """Whether there may be speech: loud enough, long enough, and varied.

    Arguments
    ---------
    levels : numpy.ndarray
        Of `levels`.

    Example
    -------
    >>> noise = 0.001 * np.random.default_rng(0).standard_normal(48000)
    >>> has_speech(levels(noise, 16000))
    False
    """
    width = min(SUSTAINED, len(levels))
    windows = np.lib.stride_tricks.sliding_window_view(levels, width)
    loudest = windows.min(axis=1).max()
    if loudest <= FLOOR or len(levels) < STEADY:
        return bool(loudest > FLOOR)
    softest = np.percentile(levels[levels > FLOOR], 10)
    return bool(loudest - softest > range_db)


def find_speech(
    samples: np.ndarray,
    rate: int,
    vad: Optional[str] = "energy",
    pause: float = PAUSE,
) -> list[Span]:
    """Stretches of speech, which pauses part; none where nobody speaks.

    Arguments
    ---------
    samples : numpy.ndarray
        [S].
    vad : str, optional
        "energy"; "silero", which is asked where the energy would do; or
        None, for which everything is speech.
    pause : float
        The shortest that parts speech, s.

    Example
    -------
    >>> find_speech(np.zeros(16000), 16000)
    []
    >>> find_speech(np.zeros(16000), 16000, vad=None)
    [Span(start=0, stop=16000)]
    """
    check_vad(vad)
    if vad is None:
        return [Span(0, len(samples))]
    found = levels(samples, rate)
    if not has_speech(found):
        return []
    if vad == "silero":
        spans = _silero().spans(samples, rate, pause)
    else:
        spans = _loud_spans(found, len(samples), rate, pause)
    return _padded(spans, len(samples), rate, pause)


def check_vad(vad: Optional[str]) -> None:
    """Raises unless that detector is there.

    Example
    -------
    >>> check_vad("webrtc")
    Traceback (most recent call last):
    ...
    ValueError: `vad` must be energy, silero or None, but is 'webrtc'
    """
    if vad is not None and vad not in DETECTORS:
        raise ValueError(
            f"`vad` must be {', '.join(DETECTORS)} or None, but is {vad!r}"
        )
    if vad == "silero":
        _silero()


def _loud_spans(
    levels: np.ndarray, n_samples: int, rate: int, pause: float
) -> list[Span]:
    """What pauses part, and of the pauses those that are none.

    A pause is soft by the whole audio's measure: where it is long and varied
    enough to be somebody further away, it is a stretch of its own.
    """
    hop = round(HOP * rate)
    is_loud = levels > _gate(levels)
    edges = np.flatnonzero(np.diff(is_loud, prepend=False, append=False))
    # First frame of each run, one behind it: Python's integers, as are times.
    loud = edges.reshape(-1, 2).tolist()
    tail = round(FRAME / HOP) - 1  # frames that reach into the pause
    spans, end = [], 0
    for first, last in [*loud, (len(levels), len(levels))]:
        if first - end >= pause / HOP:
            if has_speech(levels[end:first], PAUSE_RANGE):
                spans.append((end, first))
        elif spans and first < last:
            first = spans.pop()[0]  # too short to part anything
        if first < last:
            spans.append((first, last))
        end = last
    if not spans:  # speech that noise nearly covers
        return [Span(0, n_samples)]
    return [Span(a * hop, (b + tail) * hop) for a, b in spans]


def _gate(levels: np.ndarray) -> np.ndarray:
    """What a frame of a pause is below, by the frames around it."""
    third, gates = round(AROUND / HOP / 3), []
    for first in range(0, len(levels), third):
        around = levels[max(0, first - third) : first + 2 * third]
        softest, loudest = np.percentile(around, (5, 95))
        gates.append(min(max(FLOOR, softest) + ABOVE, loudest - BELOW))
    return np.repeat(gates, third)[: len(levels)]


def _padded(
    spans: list[Span], n_samples: int, rate: int, pause: float
) -> list[Span]:
    """Stretches with some of the pause round them, as far as it is theirs.

    What is in front of the first and behind the last stays where it is too
    short for a pause: words begin and end softly.
    """
    if not spans:
        return []
    pad, found = round(PAD * rate), []
    stops = [0, *(span.stop for span in spans)]
    starts = [*(span.start for span in spans), n_samples]
    for i, span in enumerate(spans):
        left = (stops[i] + span.start) // 2 if i else 0
        right = (span.stop + starts[i + 1]) // 2
        right = right if i + 1 < len(spans) else n_samples
        start = max(left, span.start - pad)
        found.append(Span(start, min(right, span.stop + pad, n_samples)))
    if spans[0].start < pause * rate:
        found[0] = found[0]._replace(start=0)
    if n_samples - spans[-1].stop < pause * rate:
        found[-1] = found[-1]._replace(stop=n_samples)
    return found


class _Silero:
    """Silero's detector, which keeps a state: one audio at a time."""

    def __init__(self) -> None:
        import torch

        n_threads = torch.get_num_threads()
        try:
            import silero_vad  # which sets torch's threads to 1
        except ImportError as error:
            raise ImportError(
                "`vad` silero needs more: pip install -e '.[vad]'"
            ) from error
        self._find: Any = silero_vad.get_speech_timestamps
        self._model: Any = silero_vad.load_silero_vad()
        torch.set_num_threads(n_threads)
        self._lock = threading.Lock()
        self._tensor = torch.from_numpy

    def spans(self, samples: np.ndarray, rate: int, pause: float) -> list[Span]:
        """Stretches of speech."""
        if rate != 8000 and rate % 16000:
            raise ValueError(
                f"`vad` silero needs a model of 8000 Hz or a multiple of "
                f"16000 Hz, but this has {rate} Hz: take energy"
            )
        # Silero hears no speech that is 40 dB softer than usual.
        samples = samples * np.float32(LOUD / max(np.abs(samples).max(), 1e-9))
        with self._lock:
            found = self._find(
                self._tensor(samples.astype(np.float32)),
                self._model,
                sampling_rate=rate,
                min_silence_duration_ms=round(1000 * pause),
            )
        return [Span(each["start"], each["end"]) for each in found]


@cache
def _silero() -> _Silero:
    """The detector, loaded when it is first asked for."""
    return _Silero()
