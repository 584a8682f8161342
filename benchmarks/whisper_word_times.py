"""How far word times of a Whisper are from its original's, by depth.

> python benchmarks/whisper_word_times.py --speech LibriSpeech/test-clean \
>     --original DIR --output whisper_word_times.json

The original (`config.json`, `model.safetensors`, tokenizer) is told the true
text at full depth: a word starts where it looks for it. The dynamic model
transcribes; its words are compared that are right. Utterances are spread
evenly. Prints a table, writes JSON.
"""

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import machine
from tqdm import tqdm

from dld_brain.evaluation.tables import markdown_table
from dld_brain.evaluation.word_starts import distances
from dld_brain.files.whole import write_text
from dld_brain.run.hub_model import convert
from dld_brain.tasks.alignment import WordSpan
from dld_brain.tasks.spoken import spoken
from pretrained_interfaces import DynamicWhisperASR
from pretrained_interfaces.times.timed import Word


def utterances(folder: Path, n_most: int) -> list[tuple[Path, str]]:
    """Files and their texts, of a folder of LibriSpeech's layout."""
    found = []
    for path in sorted(folder.rglob("*.trans.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            name, text = line.split(" ", 1)
            (audio,) = path.parent.glob(f"{name}.[!t]*")
            found.append((audio, text.lower()))
    step = max(1.0, len(found) / n_most)
    return [found[int(i * step)] for i in range(min(n_most, len(found)))]


def in_ms(words: Sequence[Word]) -> list[WordSpan]:
    """Words as they are said, with times in ms.

    Of a word that is said as several, the first is compared alone.
    """
    found = []
    for word in words:
        for i, text in enumerate(spoken(word.text).split()):
            start, end = round(1000 * word.start), round(1000 * word.end)
            found.append(WordSpan(text if i == 0 else f"{i}_", start, end, 1.0))
    return found


def measure(
    asr: DynamicWhisperASR, original: DynamicWhisperASR, speech: Sequence[Any]
) -> list[dict[str, Any]]:
    """A row of each depth: distances of the starts of right words, ms."""
    off: dict[int, list[int]] = {n: [] for n in asr.depths}
    told = 0
    for path, text in tqdm(speech, desc="utterances"):
        true = in_ms(original.align(path, text).words)
        told += len(true)
        for n, found in off.items():
            words = asr.transcribe(path, n, word_times=True).words
            found += distances(true, in_ms(words))
    return [
        {
            "n_layers": n,
            "words": told,
            "right": len(ms),
            "ms": {
                "median": float(np.median(ms)),
                "mean": float(np.mean(ms)),
                "nine_of_ten": float(np.quantile(ms, 0.9)),
            },
        }
        for n, ms in off.items()
    ]


def main() -> None:
    """Measures, prints a table, writes a report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--original", required=True, help="the stock Whisper")
    parser.add_argument("--source", help="the one that ships if not given")
    parser.add_argument("--utterances", type=int, default=30)
    parser.add_argument("--output", default="whisper_word_times.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    speech = utterances(options.speech, options.utterances)
    asr = DynamicWhisperASR.from_hparams(options.source)
    with tempfile.TemporaryDirectory() as folder:
        convert(options.original, f"{folder}/stock", "whole_whisper")
        original = DynamicWhisperASR.from_hparams(f"{folder}/stock")
    rows = measure(asr, original, speech)
    head = ["n", "right words", "median, ms", "nine of ten within, ms"]
    table = [
        [
            str(row["n_layers"]),
            f"{row['right']} of {row['words']}",
            f"{row['ms']['median']:.0f}",
            f"{row['ms']['nine_of_ten']:.0f}",
        ]
        for row in rows
    ]
    print(markdown_table(head, table))
    where = machine()
    content = {
        "question": f"How far are word starts of a Whisper from its "
        f"original's, which is told the text? {len(speech)} utterances",
        "command": shlex.join(["python", *sys.argv]),
        "commit": where.pop("commit"),
        "machine": where,
        "rows": rows,
    }
    write_text(Path(options.output), json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
