"""Makes the audio of this folder: five sentences of eSpeak NG, in the
layouts of AN4 and of LibriSpeech.

> python tests/samples/make_samples.py
"""

from pathlib import Path

import numpy as np
import soundfile

from recipes.SpokenCommands.espeak import Espeak, Speech
from recipes.SpokenCommands.spoken_commands_prepare import (
    SAMPLE_RATE,
    degrade,
    resample,
)

HERE = Path(__file__).parent
#: Speaker, utterance, text; the last two are test speech.
LINES = (
    ("faaa", "an1-faaa-b", "YES"),
    ("mbbb", "an2-mbbb-b", "NO"),
    ("mbbb", "an3-mbbb-b", "STOP ONE"),
    ("mccc", "an4-mccc-b", "ENTER SIX"),
    ("fddd", "an5-fddd-b", "NINE ONE"),
)
VOICES = ("en+f2", "en-us+m3", "en-us+m3", "en+m1", "en-us+f4")


def main() -> None:
    """Writes everything."""
    espeak = Espeak()
    for i, ((speaker, name, text), voice) in enumerate(zip(LINES, VOICES)):
        spoken = resample(espeak.speak(text, Speech(voice, 130)), espeak)
        samples = degrade(spoken, np.random.default_rng(i))
        official = "test" if i == 4 else "train"
        folder = "an4test_clstk" if official == "test" else "an4_clstk"
        write(HERE / "AN4/wav" / folder / speaker / f"{name}.flac", samples)
        append(
            HERE / f"AN4/etc/an4_{official}.fileids",
            f"{folder}/{speaker}/{name}",
        )
        append(
            HERE / f"AN4/etc/an4_{official}.transcription",
            f"<s> {text} </s> ({name})",
        )
        split = ("dev-clean", *["train-clean-100"] * 3, "test-clean")[i]
        chapter = HERE / "LibriSpeech" / split / f"{i + 1}" / "7"
        write(chapter / f"{i + 1}-7-0000.flac", samples)
        append(chapter / f"{i + 1}-7.trans.txt", f"{i + 1}-7-0000 {text}")


def write(path: Path, samples: np.ndarray) -> None:
    """Writes audio."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, SAMPLE_RATE)


def append(path: Path, line: str) -> None:
    """Adds a line to a list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main()
