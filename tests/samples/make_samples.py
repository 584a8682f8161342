"""Makes the audio of this folder: five sentences of eSpeak NG, in the
layouts of AN4, LibriSpeech, TED-LIUM 3 and Fluent Speech Commands.

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
#: Their intents (made up); training has not that of the last.
INTENTS = (
    "answer,yes,none",
    "answer,no,none",
    "deactivate,one,none",
    "activate,six,none",
    "activate,nine,none",
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
    made = [soundfile.read(path, dtype="int16")[0] for path in an4_files()]
    make_talks(made)
    make_commands(made)


def an4_files() -> list[Path]:
    """Audio of the five sentences, in their order."""
    return [
        next(HERE.glob(f"AN4/wav/*/{speaker}/{name}.flac"))
        for speaker, name, _ in LINES
    ]


def make_talks(made: list[np.ndarray]) -> None:
    """Makes TED-LIUM 3: a talk of three sentences, and two of one."""
    corpus = HERE / "TEDLIUM3"
    silence = np.zeros(SAMPLE_RATE // 4, dtype=np.int16)
    parts = {"train": (0, 1, 2), "dev": (3,), "test": (4,)}
    for split, sentences in parts.items():
        talk = f"Sample{split.capitalize()}_2026"
        audio, lines = [silence], []
        for i in sentences:
            start = sum(map(len, audio)) / SAMPLE_RATE
            stop = start + len(made[i]) / SAMPLE_RATE
            text = LINES[i][2].lower()
            label = f"<o,f0,{'female' if LINES[i][0][0] == 'f' else 'male'}>"
            audio += [made[i], silence]
            gap = "<o,,unknown> ignore_time_segment_in_scoring"
            times = f"{start - 0.25:.2f} {start:.2f}"
            lines.append(f"{talk} 1 inter_segment_gap {times} {gap}")
            lines.append(
                f"{talk} 1 {talk} {start:.2f} {stop:.2f} {label} {text}"
            )
        folder = corpus / "legacy" / split
        path = folder / "sph" / f"{talk}.sph"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.concatenate(audio), SAMPLE_RATE, format="NIST")
        for line in lines:
            append(folder / "stm" / f"{talk}.stm", line)


def make_commands(made: list[np.ndarray]) -> None:
    """Makes Fluent Speech Commands: four sentences, one again, another."""
    corpus = HERE / "FluentSpeechCommands"
    parts = {"train": (0, 1, 2, 3), "valid": (0,), "test": (3, 4)}
    for split, sentences in parts.items():
        path = corpus / "data" / f"{split}_data.csv"
        append(path, ",path,speakerId,transcription,action,object,location")
        for number, i in enumerate(sentences):
            speaker, name, text = LINES[i]
            wav = f"wavs/speakers/{speaker}/{name}.wav"
            write(corpus / wav, made[i])
            row = f"{number},{wav},{speaker},{text.capitalize()},{INTENTS[i]}"
            append(path, row)


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
