"""How far word times are from the truth, by depth.

eSpeak NG tells when it begins each word of what it speaks. Sentences of
SpokenCommands, in its voices for testing and with its noise, are spoken anew
and their text is aligned at each depth.

> python benchmarks/word_times.py --source results/quickstart/student/1986/pretrained
"""

import argparse
import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np

# `recipes` is no package of an installation.
sys.path.insert(0, str(Path(__file__).parent.parent))

from dld_brain.evaluation.tables import markdown_table
from pretrained_interfaces import DynamicEncoderASR
from recipes.SpokenCommands.espeak import Espeak, Speech
from recipes.SpokenCommands.grammar import sentence
from recipes.SpokenCommands.spoken_commands_prepare import (
    SAMPLE_RATE,
    degrade,
    resample,
    split_variants,
)

#: Of espeak-ng's speak_lib.h: the type of an event that begins a word.
EVENT_WORD = 1
#: Which voices test, and what tells these sentences from the corpus' own.
VOICES_SEED, SEED = 1986, 7


class Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class TimedEspeak(Espeak):
    """Keeps when each word begins, s, in `starts`."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: set[float] = set()
        self.callback = ctypes.CFUNCTYPE(
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_short),
            ctypes.c_int,
            ctypes.POINTER(Event),
        )(self._receive_events)
        self.library.espeak_SetSynthCallback(self.callback)

    def _receive_events(self, samples: Any, n_samples: int, events: Any) -> int:
        """Takes what was synthesised, and what a list of events tells."""
        i = 0
        while events[i].type:  # the list ends with type 0
            if events[i].type == EVENT_WORD:
                self.starts.add(events[i].sample / self.rate)
            i += 1
        return self._receive(samples, n_samples, None)


def measure(asr: DynamicEncoderASR, n_sentences: int) -> dict[int, list[float]]:
    """How much later than in truth words start, ms, by depth.

    Sentences that eSpeak NG speaks in other words than they are written are
    left out.
    """
    espeak = TimedEspeak()
    voices = split_variants(espeak.variants(), VOICES_SEED)["test"]
    late: dict[int, list[float]] = {n: [] for n in asr.depths}
    for i in range(n_sentences):
        rng = np.random.default_rng([SEED, i])
        voice = f"en+{rng.choice(voices)}"
        text = sentence(rng, 0.2)
        espeak.starts = set()
        speech = Speech(voice, rate=int(rng.integers(110, 170)))
        spoken = resample(espeak.speak(text, speech, seed=i), espeak)
        samples = degrade(spoken, rng).astype(np.float32)
        if len(espeak.starts) != len(text.split()):
            continue
        for n, found in late.items():
            words = asr.align(
                samples, text, n, sampling_rate=SAMPLE_RATE, vad=None
            ).words
            found += [
                1000 * (word.start - start)
                for word, start in zip(words, sorted(espeak.starts))
            ]
    return late


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="folder `pretrained`")
    parser.add_argument("--sentences", type=int, default=100)
    options = parser.parse_args()
    asr = DynamicEncoderASR.from_hparams(options.source)
    late = measure(asr, options.sentences)
    head = ["n", "words", "median distance, ms", "median delay, ms"]
    rows = [
        [
            str(n),
            str(len(ms)),
            f"{np.median(np.abs(ms)):.0f}",
            f"{np.median(ms):.0f}",
            f"{np.quantile(np.abs(ms), 0.9):.0f}",
        ]
        for n, ms in late.items()
    ]
    print(markdown_table([*head, "nine of ten within, ms"], rows))


if __name__ == "__main__":
    main()
