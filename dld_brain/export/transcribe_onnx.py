#!/usr/bin/env python3
"""Transcribes 16 kHz audio with an exported model; no torch.

> pip install onnxruntime numpy soundfile sentencepiece
> pip install --no-deps dld-brain
> python transcribe_onnx.py --n_layers 6 a.wav b.flac
> python transcribe_onnx.py --n_layers 6 --int8 a.wav

The models lie beside this script, as `python -m dld_brain.export onnx`
wrote them: model.json says which depths there are.
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import onnxruntime
import sentencepiece

from dld_brain.audio.windows import limits
from dld_brain.export.onnx_audio import read_audio, stretches

FOLDER = Path(__file__).resolve().parent


def greedy(log_probs: np.ndarray, blank_id: int) -> list[int]:
    """Likeliest token of each frame, repeats and blanks taken out.

    Arguments
    ---------
    log_probs : numpy.ndarray
        [T, V].
    """
    best = [token for token, _ in itertools.groupby(log_probs.argmax(-1))]
    return [int(token) for token in best if token != blank_id]


def main() -> None:
    """Runs the command line."""
    settings = json.loads((FOLDER / "model.json").read_text())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    depths = settings["depths"]
    parser.add_argument(
        "--n_layers", type=int, default=max(depths), choices=depths
    )
    parser.add_argument("--int8", action="store_true")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    suffix = ".int8" if options.int8 else ""
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(
        FOLDER / f"model_n{options.n_layers}{suffix}.onnx", session_options
    )
    tokenizer = sentencepiece.SentencePieceProcessor(
        model_file=str(FOLDER / "tokenizer.model")
    )
    rate = settings["sample_rate"]
    window_limits = limits(
        settings["longest_utterance"],
        rate,
        settings["min_samples"],
        settings["samples_per_frame"],
    )

    def encode(samples: np.ndarray) -> np.ndarray:
        """Samples [S] -> log-probabilities [T', V]."""
        feed = {"wavs": samples[None], "n_samples": np.array([len(samples)])}
        log_probs, n_frames = session.run(None, feed)
        return log_probs[0, : n_frames[0]]

    blank_id = settings["blank_id"]
    for path in options.files:
        wav = read_audio(path, window_limits, rate)
        outs = stretches(encode, wav, window_limits, rate, blank_id, path)
        texts = [tokenizer.decode(greedy(out, blank_id)) for out in outs]
        text = " ".join(text for text in texts if text)
        print(f"{path}\t{text}", flush=True)


if __name__ == "__main__":
    main()
