"""Is an hour heard as its utterances are, and what does it cost?

> python benchmarks/long.py --source DIR --n_layers 2 8 \\
>     --csv test.csv --data_root /an4

Joins the utterances of a CSV file of one's own to files of 10 minutes and an
hour (again from the first where they are fewer), scores them beside the same
utterances alone, and takes the real-time factor of each and of the first 60 s
(of the processor's time, so that other work on the machine is not in it), and
the peak of a process's memory. Prints a table, writes JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple, Optional

import jiwer
import numpy as np
import soundfile
import torch
from load import watched
from long_tables import by_length
from timing import machine, summary, write_result
from tqdm import tqdm

from dld_brain.audio.csv_files import read_rows
from dld_brain.audio.reader import read_audio
from dld_brain.files.manifest import read_json
from dld_brain.files.whole import write_text
from dld_brain.tasks import Task
from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.depths.calibration import peak_memory

#: What real-time factors are compared with, s.
SHORT = 60.0


class Joined(NamedTuple):
    """Utterances one after another.

    Arguments
    ---------
    ids : list of str
        Of the utterances, in their order; more than once where they are few.
    """

    path: Path
    ids: list[str]
    seconds: float


def join(
    waves: dict[str, np.ndarray],
    seconds: float,
    pause: float,
    rate: int,
    path: Path,
) -> Joined:
    """Writes whole utterances until there are so many seconds.

    Arguments
    ---------
    waves : dict of str to numpy.ndarray
        By id, [S].
    pause : float
        Zeros between two of them, s.
    """
    gap = np.zeros(round(pause * rate), np.float32)
    ids, n_samples = [], 0
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        for name, wave in cycle(waves.items()):
            for piece in (wave, gap):
                file.write(piece)
                n_samples += len(piece)
            ids.append(name)
            if n_samples >= seconds * rate:
                return Joined(path, ids, n_samples / rate)
    raise AssertionError("cycle() does not end")


def listen(options: argparse.Namespace) -> None:
    """What the process does that is measured: a file, at a depth."""
    torch.set_num_threads(options.threads)
    asr = DynamicEncoderASR.from_hparams(options.source)
    found: list[Any] = []

    def task() -> None:
        """Transcribes, file and all."""
        started = time.process_time()
        told = asr.transcribe(
            str(options.file), options.n_layers[0], progress=True
        )
        found.append((told, time.process_time() - started))

    peak = peak_memory(task, "cpu")  # of the whole process
    for _ in range(options.rounds - 1):
        task()
    told, _ = found[0]
    answer = {
        "text": told.text,
        "windows": told.n_windows,
        "audio_seconds": told.audio_seconds,
        "seconds": [seconds for _, seconds in found],
        "mib": None if peak is None else peak / 2**20,
    }
    write_text(Path(options.output), json.dumps(answer))


def heard(
    options: argparse.Namespace, n_layers: int, path: Path, rounds: int
) -> dict[str, Any]:
    """Has a new process listen to a file."""
    answer = path.with_suffix(f".n{n_layers}.json")
    command = [sys.executable, __file__, "--source", options.source]
    command += ["--n_layers", str(n_layers), "--file", str(path)]
    command += ["--rounds", str(rounds), "--output", str(answer)]
    command += ["--threads", str(options.threads)]
    subprocess.run(command, check=True)
    return read_json(answer)


def read_speech(
    csv: Path, data_root: str, rate: int
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Utterances and their texts, by id."""
    rows = read_rows(csv, data_root, "wrd")
    if rows.problems or not rows.items:
        raise SystemExit("\n".join(rows.problems) or f"{csv} has no utterance")
    waves = {}
    for name, item in tqdm(rows.items.items(), desc="reading", leave=False):
        samples, _ = read_audio(item["wav"], to_rate=rate)
        first, last = item["start"], item["stop"]
        waves[name] = samples.squeeze(1).numpy()[first:last]
    return waves, {name: item["wrd"] for name, item in rows.items.items()}


def measure(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Rows of the report: each depth and length."""
    asr = DynamicEncoderASR.from_hparams(options.source)
    rate = asr.hparams.sample_rate
    waves, texts = read_speech(options.csv, options.data_root, rate)
    files = [
        join(waves, seconds, options.pause, rate, folder / f"{seconds:g}.wav")
        for seconds in (SHORT, *options.seconds)
    ]
    rows = []
    for n in options.n_layers:
        names = {name: None for file in files[1:] for name in file.ids}
        bar = tqdm(names, desc=f"n = {n}, alone", leave=False)
        told = {"n_layers": n, "sampling_rate": rate}
        alone = {x: asr.transcribe(waves[x], **told).text for x in bar}
        short = heard(options, n, files[0].path, options.rounds)
        for file in files[1:]:
            found = heard(options, n, file.path, 1)
            wer = word_error_rates(asr.task, texts, alone, found, file.ids)
            rows.append(
                {
                    "task": "an utterance after another",
                    "input": f"n={n}, {file.seconds:.0f} s",
                    "ms": summary(found["seconds"]),
                    "wer": wer[0],
                    "wer_alone": wer[1],
                    "rtf": rtf(found),
                    "rtf_60": rtf(short),
                    "mib": found["mib"],
                    "mib_60": short["mib"],
                    "windows": found["windows"],
                    "times_said": len(file.ids) / len(waves),
                    "pause": options.pause,
                }
            )
            tqdm.write(by_length({}, {"rows": rows[-1:]}))
    return rows


def word_error_rates(
    task: Task,
    texts: dict[str, str],
    alone: dict[str, str],
    found: dict[str, Any],
    ids: list[str],
) -> tuple[float, float]:
    """Of a joined file, and of its utterances alone, %.

    Both as one text: in a long text fewer words may count as wrong.
    """
    references, said = (
        " ".join(task.scored(told[name]) for name in ids)
        for told in (texts, alone)
    )
    joined = task.scored(found["text"])
    return 100 * jiwer.wer(references, joined), 100 * jiwer.wer(
        references, said
    )


def rtf(found: dict[str, Any]) -> float:
    """Real-time factor of the fastest round."""
    return min(found["seconds"]) / found["audio_seconds"]


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    root = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root.add_argument("--source", required=True)
    root.add_argument("--n_layers", type=int, nargs="+", required=True)
    root.add_argument("--csv", type=Path, help="speech to join")
    root.add_argument("--data_root", default="")
    root.add_argument(
        "--seconds", type=float, nargs="+", default=[600.0, 3600.0]
    )
    root.add_argument("--pause", type=float, default=0.5, help="between, s")
    root.add_argument("--threads", type=int, default=1)
    root.add_argument("--rounds", type=int, default=5, help="of the 60 s")
    root.add_argument("--output", default="long.json")
    root.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    return root


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the benchmark; gives the exit status."""
    options = parser().parse_args(arguments)
    warnings.simplefilter("ignore")  # files are longer than training's
    if options.file is not None:
        listen(options)
        return 0
    if options.csv is None:
        parser().error("give --csv, the speech to join")
    torch.set_num_threads(options.threads)
    print(machine())
    with tempfile.TemporaryDirectory() as name, watched() as load:
        rows = measure(options, Path(name))
    print(by_length({}, {"rows": rows}))
    question = "Is an hour heard as its utterances are, and what does it cost?"
    return write_result(options.output, question, rows, load)


if __name__ == "__main__":
    sys.exit(main())
