"""Makes SpokenCommands: an hour of synthetic household commands.

Spoken by eSpeak NG with some 80 voices in 4 accents. Voices of training,
validation and test are disjoint; rate, pitch, level and noise vary. The
same seed gives the same samples.
"""

import json
from pathlib import Path
from typing import Optional

import numpy as np
import soundfile
import torch
import torchaudio.functional
from tqdm import tqdm

from dld_brain.audio.preparation import Utterance, missing_splits, write_split
from dld_brain.audio.text_files import read_lines
from dld_brain.files.whole import whole_folder

from .espeak import Espeak, Speech
from .grammar import sentence

ACCENTS = ("en", "en-us", "en-gb-x-rp", "en-gb-x-gbcwmd")
SAMPLE_RATE = 16000
#: Key of each split in the seed of its utterances.
SPLIT_KEYS = {"train": 0, "valid": 1, "test": 2}
#: Variants that are effects rather than voices.
EFFECTS = ("whisper", "croak", "Demonic", "robo", "UniRobot", "anikaRobot")
UTTERANCES = {"train": 1900, "valid": 100, "test": 200}


def prepare_spoken_commands(
    data_folder: str,
    csv_folder: str,
    splits: list[str],
    utterances: Optional[dict[str, int]] = None,
    codes: float = 0.05,
    seed: int = 2026,
    allow_problems: bool = False,
    decode_audio: bool = True,
) -> None:
    """Makes the audio that is not there yet, and the CSV files.

    Arguments
    ---------
    utterances : dict of str to int, optional
        How many of a split; 1900, 100 and 200.
    codes : float
        Share of the sentences that are letters, digits and numbers one by
        one, in [0, 1].
    allow_problems, decode_audio : bool
        See `write_split`.

    Raises
    ------
    ValueError
        If the folder holds a corpus that was made with other numbers.
    """
    counts = {**UTTERANCES, **(utterances or {})}
    options = {"seed": seed, "utterances": counts, "codes": codes}
    for split in missing_splits(
        csv_folder,
        splits,
        data_folder,
        allow_problems=allow_problems,
        decode_audio=decode_audio,
        **options,
    ):
        folder = Path(data_folder, split)
        settings = {**options, "utterances": counts[split]}
        made = folder / "made.json"
        if not made.is_file():
            with whole_folder(folder) as unfinished:
                make_split(unfinished, split, **settings)
                (unfinished / made.name).write_text(json.dumps(settings))
        elif json.loads(made.read_text()) != settings:
            raise ValueError(
                f"{folder} must be made with {settings}, but was made with "
                f"{made.read_text()}: delete it or give another data_folder"
            )
        write_split(
            Path(csv_folder, f"{split}.csv"),
            read_transcripts(folder),
            data_folder,
            allow_problems=allow_problems,
            decode_audio=decode_audio,
            options=options,
        )


def make_split(
    folder: Path, split: str, seed: int, utterances: int, codes: float
) -> None:
    """Speaks a split.

    Arguments
    ---------
    codes : float
        Share of the sentences that are codes.
    """
    espeak = Espeak()
    voices = split_variants(espeak.variants(), seed)[split]
    lines = []
    for i in tqdm(range(utterances), desc=f"SpokenCommands, {split}"):
        rng = np.random.default_rng([seed, SPLIT_KEYS[split], i])
        variant = str(rng.choice(voices))
        speech = Speech(
            voice=f"{rng.choice(ACCENTS)}+{variant}",
            rate=int(rng.integers(110, 170)),
            pitch=int(rng.integers(30, 71)),
            pitch_range=int(rng.integers(30, 71)),
        )
        text = sentence(rng, codes)
        spoken = espeak.speak(text, speech, seed=i)
        samples = degrade(resample(spoken, espeak), rng)
        name = f"{split}-{i:05d}"
        soundfile.write(folder / f"{name}.flac", samples, SAMPLE_RATE)
        lines.append(f"{name}\t{variant.replace(' ', '_')}\t{text}\n")
    (folder / "transcripts.tsv").write_text("".join(lines), "utf-8")


def split_variants(variants: list[str], seed: int) -> dict[str, list[str]]:
    """Deals the voices out: a tenth each to valid and test.

    Example
    -------
    >>> parts = split_variants([f"v{i}" for i in range(20)], seed=1)
    >>> {split: len(voices) for split, voices in parts.items()}
    {'valid': 2, 'test': 2, 'train': 16}
    """
    voices = [name for name in variants if not name.startswith(EFFECTS)]
    order = np.random.default_rng(seed).permutation(voices).tolist()
    n = max(1, len(order) // 10)
    return {
        "valid": order[:n],
        "test": order[n : 2 * n],
        "train": order[2 * n :],
    }


def resample(samples: np.ndarray, espeak: Espeak) -> np.ndarray:
    """Brings 16-bit samples to `SAMPLE_RATE` in [-1, 1]."""
    waveform = torch.from_numpy(samples.astype(np.float32) / 32768)
    return torchaudio.functional.resample(
        waveform, espeak.rate, SAMPLE_RATE
    ).numpy()


def degrade(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Varies the level by 20 dB and adds white noise at 20 to 40 dB SNR."""
    level = 10 ** (-rng.uniform(6, 26) / 20)
    samples = samples * (level / max(1e-4, np.abs(samples).max()))
    power = np.mean(samples**2)
    noise_power = power * 10 ** (-rng.uniform(20, 40) / 10)
    return samples + rng.normal(0.0, np.sqrt(noise_power), len(samples))


def read_transcripts(folder: Path) -> list[Utterance]:
    """Reads what `make_split` wrote."""
    lines = [line for _, line in read_lines(folder / "transcripts.tsv")]
    return [
        Utterance(name, folder / f"{name}.flac", voice, text)
        for name, voice, text in (line.split("\t") for line in lines)
    ]
