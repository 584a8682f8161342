"""Prepares AN4, the CMU Census corpus (http://www.speech.cs.cmu.edu/databases/an4)."""

import re
from pathlib import Path
from typing import Optional

import numpy as np
import soundfile

from dld_brain.audio.preparation import (
    CorpusError,
    Utterance,
    missing_splits,
    write_split,
)
from dld_brain.audio.text_files import read_lines
from dld_brain.files.whole import whole_file

#: Endings of the audio, in the order in which they are looked for.
ENDINGS = (".wav", ".flac", ".sph", ".raw")
#: <s> TEXT </s> (utterance); test transcripts may have the text alone.
LINE = re.compile(r"^(?:<s>)?\s*(?P<text>.*?)\s*(?:</s>)?\s*\((?P<id>\S+)\)$")
#: Every how-manieth training speaker is held out: AN4 has no valid set.
VALID_EVERY = 10
#: Headerless audio of AN4: 16-bit, big endian, one channel.
RAW = {"rate": 16000, "dtype": ">i2"}
#: Bytes before the samples of a .wav file of 16 bits.
WAV_HEADER = 44


def prepare_an4(
    data_folder: str,
    csv_folder: str,
    splits: list[str],
    allow_problems: bool = False,
    workers: Optional[int] = None,
    decode_audio: bool = True,
) -> None:
    """Writes a CSV file for each split that has none yet.

    test is the official one. The official training set is split by
    speaker: every tenth, in the order of their names, is in valid, the
    others are in train; train-all has them all.

    Arguments
    ---------
    data_folder : str
        The folder of AN4, which holds etc/ and wav/.
    allow_problems : bool
        Whether to leave out utterances with problems, which are logged,
        instead of stopping.
    decode_audio : bool
        Whether audio is read to its end, and not its header alone.

    Raises
    ------
    CorpusError
        If a split is unknown, a list is missing or an utterance has a
        problem.
    """
    for split in missing_splits(
        csv_folder,
        splits,
        data_folder,
        allow_problems=allow_problems,
        decode_audio=decode_audio,
    ):
        if split not in ("train", "valid", "train-all", "test"):
            raise CorpusError(
                f"split {split!r} must be one of train, valid, train-all, "
                f"test, but is not"
            )
        official = "test" if split == "test" else "train"
        audio_folder = Path(csv_folder, "audio")
        utterances, problems = find_utterances(
            Path(data_folder), official, audio_folder
        )
        utterances = select(utterances, split)
        write_split(
            Path(csv_folder, f"{split}.csv"),
            utterances,
            data_folder,
            problems,
            allow_problems,
            workers,
            decode_audio,
        )


def select(utterances: list[Utterance], split: str) -> list[Utterance]:
    """Takes the utterances of a split by their speaker.

    Arguments
    ---------
    split : str
        train, valid, or a name that takes all.
    """
    if split not in ("train", "valid"):
        return utterances
    held_out = sorted({u.speaker for u in utterances})[::VALID_EVERY]
    return [
        u for u in utterances if (u.speaker in held_out) == (split == "valid")
    ]


def find_utterances(
    data_folder: Path, official: str, audio_folder: Path
) -> tuple[list[Utterance], list[str]]:
    """Reads etc/an4_<official>.fileids and .transcription.

    Arguments
    ---------
    data_folder : Path
        The folder of AN4.
    audio_folder : Path
        Where .raw files are written as .wav.

    Returns
    -------
    tuple
        The utterances in the order of the list, and what is wrong.
    """
    lists = {
        kind: data_folder / "etc" / f"an4_{official}.{kind}"
        for kind in ("fileids", "transcription")
    }
    for path in lists.values():
        if not path.is_file():
            raise CorpusError(f"{path} must be a file, but is none")
    texts, problems = read_transcripts(lists["transcription"])
    utterances = []
    for _, file_id in read_lines(lists["fileids"]):
        name, speaker = Path(file_id).name, Path(file_id).parent.name
        if name not in texts:
            problems.append(f"{name}: audio without transcript")
            continue
        wav = find_audio(data_folder / "wav" / file_id, audio_folder)
        utterances.append(Utterance(name, wav, speaker, texts.pop(name)))
    problems += [f"{name}: not in {lists['fileids'].name}" for name in texts]
    return utterances, problems


def read_transcripts(path: Path) -> tuple[dict[str, str], list[str]]:
    """Reads a list of transcripts.

    Returns
    -------
    tuple
        Text by utterance, and lines that could not be read.
    """
    texts, problems = {}, []
    for number, line in read_lines(path):
        match = LINE.match(line)
        if match:
            texts[match["id"]] = match["text"]
        else:
            problems.append(f"{path.name}:{number}: no transcript: {line}")
    return texts, problems


def find_audio(stem: Path, audio_folder: Path) -> Path:
    """Finds the audio of an utterance; writes headerless audio as .wav.

    Arguments
    ---------
    audio_folder : Path
        Where .raw files are written as .wav.

    Returns
    -------
    Path
        A file that soundfile reads; `stem`.wav if there is none.
    """
    found = [stem.with_suffix(e) for e in ENDINGS]
    audio = next((path for path in found if path.is_file()), found[0])
    if audio.suffix != ".raw":
        return audio
    wav = audio_folder / f"{stem.name}.wav"
    size = audio.stat().st_size + WAV_HEADER
    if not (wav.is_file() and wav.stat().st_size == size):
        samples = np.fromfile(audio, dtype=RAW["dtype"]).astype(np.int16)
        with whole_file(wav) as unfinished:
            soundfile.write(unfinished, samples, RAW["rate"])
    return wav
