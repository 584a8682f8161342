"""What would people use instead? Words, time and size on the same files.

> pip install faster-whisper moonshine-voice==0.0.49
> python benchmarks/peers.py --csv test.csv --data_root DIR \
>     --ours student=DIR --n_layers 2 3 4 --dtypes float32 int8 \
>     --faster_whisper tiny.en=DIR --moonshine tiny-en=

Every file goes to each recogniser in turn, on one core; what is counted is
the processor's time, so that other work on the machine is not in it. Prints
a table, writes JSON. Texts are compared without case and punctuation.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jiwer
import numpy as np
import torch
from load import watched
from published_tables import peers
from timing import summary, write_result
from tqdm import tqdm

from dld_brain.audio.csv_files import read_rows
from dld_brain.audio.reader import read_audio
from dld_brain.tasks.spoken import spoken
from pretrained_interfaces import DynamicEncoderASR

RATE = 16000  # Hz, of all of them
#: Draws of utterances for an interval of 95 % (Bisani and Ney, "Bootstrap
#: estimates for confidence intervals in ASR performance evaluation", 2004).
DRAWS = 1000


class Utterance(NamedTuple):
    """Samples at `RATE`, and what is said."""

    samples: np.ndarray
    text: str


@dataclass
class Recogniser:
    """What is measured: samples in, text out."""

    name: str
    depth: str
    run: Callable[[np.ndarray], str]
    mib: float
    texts: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def answer(self, utterance: Utterance) -> None:
        """Transcribes, and notes what it took."""
        started = time.process_time()
        text = self.run(utterance.samples)
        self.seconds.append(time.process_time() - started)
        self.texts.append(spoken(text))


def mib_of(folder: Path) -> float:
    """Files of a folder, MiB."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files) / 2**20


def ours(
    name: str, folder: str, depths: list[int], dtype: str
) -> Iterable[Recogniser]:
    """One model of this package, a recogniser a depth."""
    asr = DynamicEncoderASR.from_hparams(folder, device="cpu")
    depths = [n for n in depths if n <= asr.n_total]
    if dtype == "int8":
        asr.quantize()
    for n in depths:

        def run(samples: np.ndarray, n_layers: int = n) -> str:
            """Transcribes at a depth."""
            found = asr.transcribe(
                samples, n_layers=n_layers, sampling_rate=RATE
            )
            return found.text

        yield Recogniser(
            f"{name}, {dtype}",
            f"{n} of {asr.n_total}",
            run,
            mib_of(Path(folder)),
        )


def faster_whisper(name: str, folder: str, kind: str) -> Recogniser:
    """CTranslate2's Whisper, greedy and without times."""
    from faster_whisper import WhisperModel

    model = WhisperModel(folder, "cpu", compute_type=kind, cpu_threads=1)

    def run(samples: np.ndarray) -> str:
        """Transcribes in English, without another try at other settings."""
        found, _ = model.transcribe(
            samples,
            language="en",
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
        )
        return " ".join(segment.text for segment in found)

    title = f"faster-whisper {name}, {kind}"
    return Recogniser(title, "", run, mib_of(Path(folder)))


def moonshine(name: str, folder: str) -> Recogniser:
    """Moonshine's own runner; without a folder, the model in its package."""
    import moonshine_voice

    inside = Path(moonshine_voice.__file__).parent / "assets" / name
    found = Path(folder) if folder else inside
    model = moonshine_voice.Transcriber(
        str(found), moonshine_voice.ModelArch.TINY
    )

    def run(samples: np.ndarray) -> str:
        """Transcribes in one call."""
        found = model.transcribe_without_streaming(samples.tolist(), RATE)
        return " ".join(line.text for line in found.lines)

    return Recogniser(
        f"Moonshine {name}", "", run, mib_of(Path(folder or inside))
    )


def read(path: str, data_root: str, n_most: int) -> list[Utterance]:
    """Utterances of a CSV file: evenly spread ones where they are too many."""
    rows = list(read_rows(Path(path), data_root, "wrd").items.values())
    step = max(len(rows) / n_most, 1.0) if n_most else 1.0
    kept = [rows[int(i * step)] for i in range(int(len(rows) / step))]
    found = []
    for row in kept:
        samples, _ = read_audio(row["wav"], to_rate=RATE)
        part = samples[row["start"] : row["stop"], 0].numpy()
        found.append(Utterance(part, spoken(row["wrd"])))
    return found


def interval(references: list[str], texts: list[str]) -> tuple[float, float]:
    """The middle 95 % of WER over utterances drawn anew, %."""
    counts = []
    for pair in zip(references, texts):
        found = jiwer.process_words(*pair)
        wrong = found.substitutions + found.deletions + found.insertions
        counts.append((wrong, len(pair[0].split())))
    rng, rates = random.Random(0), []
    for _ in range(DRAWS):
        drawn = rng.choices(counts, k=len(counts))
        rates.append(100 * sum(w for w, _ in drawn) / sum(n for _, n in drawn))
    rates.sort()
    return rates[DRAWS // 40], rates[-DRAWS // 40]


def row_of(found: Recogniser, speech: list[Utterance]) -> dict[str, Any]:
    """What is written of a recogniser."""
    references = [utterance.text for utterance in speech]
    audio = [len(utterance.samples) / RATE for utterance in speech]
    low, high = interval(references, found.texts)
    return {
        "task": found.name,
        "input": found.depth,
        "wer": 100 * jiwer.wer(references, found.texts),
        "wer_interval": [low, high],
        "rtf": sum(found.seconds) / sum(audio),
        "ms": summary(found.seconds),
        "mib": found.mib,
    }


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    found = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pair = {"metavar": "NAME=FOLDER", "nargs": "+", "default": []}
    found.add_argument("--csv", required=True, help="columns wav and wrd")
    found.add_argument("--data_root", default="")
    found.add_argument("--ours", **pair)
    found.add_argument("--n_layers", type=int, nargs="+", default=[])
    dtypes = ["float32", "int8"]
    found.add_argument("--dtypes", nargs="+", choices=dtypes, default=dtypes)
    found.add_argument("--faster_whisper", **pair)
    found.add_argument("--compute_types", nargs="+", default=["int8"])
    found.add_argument("--moonshine", **pair)
    found.add_argument("--utterances", type=int, default=0, help="0: all")
    found.add_argument("--output", default="peers.json")
    return found


def recognisers(options: argparse.Namespace) -> list[Recogniser]:
    """Those of a command line."""
    found: list[Recogniser] = []
    for pair in options.ours:
        name, folder = pair.split("=", 1)
        for dtype in options.dtypes:
            found += ours(name, folder, options.n_layers, dtype)
    for pair in options.faster_whisper:
        make = partial(faster_whisper, *pair.split("=", 1))
        found += [make(kind) for kind in options.compute_types]
    return found + [moonshine(*p.split("=", 1)) for p in options.moonshine]


def main() -> int:
    """Runs the benchmark; gives the exit status."""
    options = parser().parse_args()
    torch.set_num_threads(1)
    speech = read(options.csv, options.data_root, options.utterances)
    found = recognisers(options)
    for each in found:  # the first call of each makes what later ones keep
        each.run(speech[0].samples)
    with watched() as load:
        for utterance in tqdm(speech, desc="utterances"):
            for each in found:
                each.answer(utterance)
    rows = [row_of(each, speech) for each in found]
    print(peers({}, {"rows": rows}))
    seconds = sum(len(u.samples) for u in speech) / RATE
    question = (
        f"What would people use instead? {len(speech)} utterances, "
        f"{seconds:.0f} s, one core, processor time"
    )
    return write_result(options.output, question, rows, load)


if __name__ == "__main__":
    sys.exit(main())
