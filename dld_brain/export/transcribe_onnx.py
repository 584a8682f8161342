"""Transcribes audio with an exported model; no torch.

> pip install onnxruntime numpy soundfile sentencepiece
> pip install --no-deps dld-brain
> python -m dld_brain.export.transcribe_onnx --folder OUT --n_layers 6 a.wav
> python -m dld_brain.export.transcribe_onnx --folder OUT --int8 a.wav

The folder is what `python -m dld_brain.export onnx` wrote: data, every file of
which is checked against its manifest. It prints one line a file, its name and
the transcript with a tab between. Exit status: see `STATUSES`.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
import onnxruntime
import sentencepiece

from dld_brain.audio.interrupted import Interrupted, keeping
from dld_brain.audio.window_flags import add_windows
from dld_brain.audio.window_limits import check_batch_seconds, limits
from dld_brain.export.onnx_audio import greedy, read_audio, stretches
from dld_brain.files import manifest
from dld_brain.files.console import (
    FAULTS,
    SOME_FAILED,
    STATUSES,
    Parser,
    complain,
    fault_of,
    guarded,
    say,
)

SETTINGS, TOKENIZER = "model.json", "tokenizer.model"


class Settings(NamedTuple):
    """What model.json has.

    Arguments
    ---------
    sample_rate : int
        Hz.
    min_samples : int
        The shortest audio that can be encoded.
    samples_per_frame : int
        Samples between two frames of the output.
    longest_utterance : float, optional
        Of training, s: longer audio is encoded in windows.
    depths : list of int
        Depths that there are graphs of, rising.
    layers : dict
        By depth, the layers that run.
    """

    sample_rate: int
    min_samples: int
    samples_per_frame: int
    longest_utterance: Optional[float]
    blank_id: int
    depths: list[int]
    layers: dict[str, list[int]]


def read_folder(folder: Path) -> Settings:
    """Checks every file of a folder, and reads its settings.

    Raises
    ------
    FileNotFoundError
        If it is no folder of ONNX graphs, or a file is missing.
    ValueError
        If a file was changed or added, or is of another model.
    """
    if not (folder / manifest.FILE).is_file():
        raise FileNotFoundError(
            f"`--folder` must hold ONNX graphs and their {manifest.FILE}, but "
            f"{folder.absolute()} does not: make it with python -m "
            f"dld_brain.export onnx"
        )
    needed = (SETTINGS, TOKENIZER)
    manifest.check_manifest(folder, needed, manifest.ONNX)
    path = folder / SETTINGS
    content = manifest.read_json(path)
    if not isinstance(content, dict) or set(content) != set(Settings._fields):
        raise ValueError(
            f"{path} must have {', '.join(Settings._fields)}, but has not"
        )
    found = Settings(**content)
    depths = found.depths if isinstance(found.depths, list) else []
    counts = [found.sample_rate, found.min_samples, found.samples_per_frame]
    counts += [found.blank_id, *depths]
    if not depths or any(type(x) is not int or x < 0 for x in counts):
        raise ValueError(f"{path} must have whole numbers, but has others")
    longest = found.longest_utterance
    if longest is not None and not (type(longest) is float and longest > 0):
        raise ValueError(
            f"{path} must have a `longest_utterance` above 0, or null, but has "
            f"{str(longest)[:40]}"
        )
    return found


def open_graph(
    folder: Path, n_layers: int, is_int8: bool = False, threads: int = 0
) -> onnxruntime.InferenceSession:
    """A session of a depth.

    It is given the bytes: a graph that names files of weights finds none.

    Raises
    ------
    FileNotFoundError
        If there is no such graph.
    ValueError
        If onnxruntime cannot load it.
    """
    path = folder / f"model_n{n_layers}{'.int8' if is_int8 else ''}.onnx"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: give python -m dld_brain.export onnx "
            f"--int8, or leave --int8 out"
        )
    if threads < 0:
        raise ValueError(f"`--threads` must be at least 0, but is {threads}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options)
    except Exception as error:  # onnxruntime's have no base of their own
        raise ValueError(
            f"{path} must be an ONNX graph, but is not: {str(error)[:200]}"
        ) from None


class Recogniser:
    """A graph and a tokenizer.

    Raises
    ------
    ValueError
        If one of them is none, or there is no such depth.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        folder = Path(options.folder).expanduser()
        self.settings = read_folder(folder)
        depths = self.settings.depths
        n_layers = options.n_layers
        n_layers = max(depths) if n_layers is None else n_layers
        if n_layers not in depths:
            raise ValueError(
                f"`--n_layers` must be one of {', '.join(map(str, depths))}, "
                f"but is {n_layers}"
            )
        self.window_seconds = options.window
        self.overlap_seconds = options.overlap
        self.batch_seconds = check_batch_seconds(options.batch_seconds)
        self.vad = None if options.vad == "none" else options.vad
        self.graph = open_graph(folder, n_layers, options.int8, options.threads)
        path = folder / TOKENIZER
        try:
            self.tokenizer = sentencepiece.SentencePieceProcessor(
                model_proto=path.read_bytes()
            )
        except RuntimeError:
            raise ValueError(f"{path} is no SentencePiece model") from None

    def encode(self, windows: list[np.ndarray]) -> list[np.ndarray]:
        """Samples of windows, [S] each -> log-probabilities, [T', V] each."""
        vocabulary = self.tokenizer.get_piece_size()
        sizes = np.array([len(samples) for samples in windows])
        wavs = np.zeros((len(windows), sizes.max()), np.float32)
        for row, samples in zip(wavs, windows):
            row[: len(samples)] = samples
        try:
            log_probs, n_frames = self.graph.run(
                None, {"wavs": wavs, "n_samples": sizes}
            )
        except Exception as error:  # onnxruntime's have no base of their own
            raise RuntimeError(f"onnxruntime cannot run it: {error}") from None
        if log_probs.shape[::2] != (len(windows), vocabulary):
            raise ValueError(
                f"the graph must give {vocabulary} tokens, as the tokenizer "
                f"has, but gives {log_probs.shape}"
            )
        return [out[:n] for out, n in zip(log_probs, n_frames)]

    def transcribe(self, path: str) -> str:
        """Transcribes a file.

        Raises
        ------
        Interrupted
            At Ctrl-C, with the text of the stretches before it.
        """
        told = self.settings
        window_limits = limits(
            told.longest_utterance,
            told.sample_rate,
            told.min_samples,
            told.samples_per_frame,
            self.window_seconds,
            self.overlap_seconds,
        )
        wav = read_audio(path, window_limits, told.sample_rate)
        outs = stretches(
            self.encode,
            wav,
            window_limits,
            told.sample_rate,
            told.blank_id,
            path,
            self.vad,
            self.batch_seconds,
        )
        texts: list[str] = []
        with keeping(texts):
            for out in outs:
                ids = greedy(out, told.blank_id)
                texts.append(self.tokenizer.decode(ids))
        return " ".join(filter(None, texts))


def transcribe_all(options: argparse.Namespace) -> int:
    """Transcribes the files of a command line and prints them."""
    recogniser, status = Recogniser(options), 0
    for path in options.files:
        try:
            text = recogniser.transcribe(path)
        except FAULTS as error:
            complain(fault_of(path, error))
            status = SOME_FAILED
            continue
        except Interrupted as stopped:
            if stopped.text:
                say(path, stopped.text)
            raise
        say(path, text)
    return status


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    root = Parser(
        prog="python -m dld_brain.export.transcribe_onnx",
        description=__doc__.splitlines()[0],
        epilog=STATUSES,
    )
    root.add_argument(
        "--folder", required=True, help="what dld_brain.export onnx wrote"
    )
    root.add_argument(
        "--n_layers", type=int, help="layers that run (default: the most)"
    )
    root.add_argument("--int8", action="store_true", help="the int8 graph")
    root.add_argument(
        "--vad",
        default="energy",
        choices=["energy", "none"],
        help="what decides whether there is speech (default: energy)",
    )
    add_windows(root)
    root.add_argument(
        "--threads", type=int, default=0, help="0: as onnxruntime has it"
    )
    root.add_argument(
        "files",
        nargs="+",
        help="audio files (names that begin with a dash: behind --)",
    )
    return root


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the command line.

    Arguments
    ---------
    arguments : list of str, optional
        Those of the process if not given.
    """
    options = parser().parse_args(arguments)
    return guarded(lambda: transcribe_all(options), FAULTS)


if __name__ == "__main__":
    sys.exit(main())
