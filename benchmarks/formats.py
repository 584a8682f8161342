"""What does a model cost in torch and ONNX, in fp32 and int8?

> python benchmarks/formats.py --source DIR --n_layers 2 6 12
> python benchmarks/formats.py --source DIR --csv test.csv --data_root /an4

Times each depth and format in turn, from an audio file to its text; with a
CSV file of one's own also scores them. Prints a table, writes JSON.
"""

import argparse
import csv
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jiwer
import onnxruntime
import soundfile
import torch
from load import watched
from timing import interleaved, machine, ratio, summary, write_result
from tqdm import tqdm

from dld_brain.audio.features import min_samples, samples_per_frame
from dld_brain.audio.window_limits import limits
from dld_brain.evaluation.tables import markdown_table
from dld_brain.export.onnx_audio import read_audio
from dld_brain.export.onnx_graph import quantize_onnx, write_onnx
from dld_brain.export.transcribe_onnx import greedy
from dld_brain.losses import BLANK_ID
from dld_brain.model_folder import load_for_inference
from pretrained_interfaces import DynamicEncoderASR

SECONDS = 10

#: A format at a depth: audio file -> text, and its size.
Format = tuple[Callable[[str], str], int]
#: A depth, and the name of a format.
Key = tuple[int, str]


def torch_formats(source: str, n_layers: int) -> dict[str, Format]:
    """The model in torch; each with the layers of the depth alone."""
    found = {}
    for name in ("torch fp32", "torch int8"):
        asr = DynamicEncoderASR.from_hparams(source, n_layers=n_layers)
        if name == "torch int8":
            asr.quantize()
        buffer = io.BytesIO()
        torch.save(asr.mods.model.state_dict(), buffer)
        found[name] = (asr.transcribe_file, len(buffer.getvalue()))
    return found


def onnx_formats(
    source: str, n_layers: int, folder: Path, threads: int
) -> dict[str, Format]:
    """The model in ONNX."""
    model = load_for_inference(source)
    exact, rough = (folder / f"{n_layers}.{x}.onnx" for x in ("fp32", "int8"))
    n_total = model.modules["model"].n_total
    write_onnx(model.modules, model.table.gates(n_layers, n_total), exact)
    quantize_onnx(exact, rough, model.modules)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    rate, modules = model.sample_rate, model.modules
    sizes = limits(None, rate, min_samples(modules), samples_per_frame(modules))
    found = {}
    for name, path in (("ONNX fp32", exact), ("ONNX int8", rough)):
        session = onnxruntime.InferenceSession(str(path), options)

        def run(file: str, session: Any = session) -> str:
            """Transcribes as transcribe_onnx.py does."""
            wav = torch.from_numpy(read_audio(file, sizes, rate))[None]
            n_samples = torch.tensor([wav.shape[1]]).numpy()
            feed = {"wavs": wav.numpy(), "n_samples": n_samples}
            ids = greedy(session.run(None, feed)[0][0], BLANK_ID)
            return model.task.vocabulary.decode_ids(ids)

        found[name] = (run, path.stat().st_size)
    return found


def word_error_rate(
    run: Callable[[str], str], path: str, data_root: str, title: str
) -> float:
    """Transcribes the files of a CSV.

    Arguments
    ---------
    path : str
        CSV file with columns wav and wrd.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    texts = [
        run(row["wav"].replace("$data_root", data_root))
        for row in tqdm(rows, desc=title, leave=False)
    ]
    return 100 * jiwer.wer([row["wrd"] for row in rows], texts)


def all_formats(options: argparse.Namespace, folder: Path) -> dict[Key, Format]:
    """Each depth in each format; ONNX files are written into the folder."""
    return {
        (n, name): found
        for n in options.n_layers
        for name, found in {
            **torch_formats(options.source, n),
            **onnx_formats(options.source, n, folder, options.threads),
        }.items()
    }


def timed(
    formats: dict[Key, Format], folder: Path, rounds: int
) -> dict[Key, list[float]]:
    """Seconds that each takes for noise, in turn."""
    noise = str(folder / "noise.wav")
    soundfile.write(noise, 0.1 * torch.randn(SECONDS * 16000).numpy(), 16000)
    return interleaved(
        {key: lambda r=run: r(noise) for key, (run, _) in formats.items()},
        rounds,
    )


def row_of(
    key: Key,
    found: Format,
    seconds: dict[Key, list[float]],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """What the report has of a depth in a format."""
    run, size = found
    first = (max(options.n_layers), "torch fp32")
    row = {
        "task": key[1],
        "input": f"n={key[0]}",
        "ms": summary(seconds[key]),
        "ratio": ratio(seconds, key, first),
        "mib": size / 2**20,
    }
    if options.csv:
        title = f"n = {key[0]}, {key[1]}"
        row["wer"] = word_error_rate(run, options.csv, options.data_root, title)
    return row


def table_of(rows: list[dict[str, Any]]) -> str:
    """The rows as they are printed."""
    lines = []
    for row in rows:
        cells = [f"{row['ms']['median']:.0f}", f"{row['ratio']:.2f}"]
        cells += [f"{row['mib']:.1f}", f"{row.get('wer', float('nan')):.2f}"]
        lines.append([row["input"], row["task"], *cells])
    head = ["n", "format", "ms", "to torch fp32, full", "MiB", "WER %"]
    return markdown_table(head, lines)


def main() -> int:
    """Runs the benchmark; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True)
    parser.add_argument("--n_layers", type=int, nargs="+", required=True)
    parser.add_argument("--csv", help="speech to score on")
    parser.add_argument("--data_root", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", default="formats.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    with tempfile.TemporaryDirectory() as name, watched() as load:
        formats = all_formats(options, Path(name))
        seconds = timed(formats, Path(name), options.rounds)
    rows = [
        row_of(key, found, seconds, options) for key, found in formats.items()
    ]
    print(table_of(rows))
    question = "What does a model cost in torch and ONNX, fp32 and int8?"
    return write_result(options.output, question, rows, load)


if __name__ == "__main__":
    sys.exit(main())
