"""WER of utterances that are streams of their own, by chunk and depth."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Optional

import jiwer
import numpy as np
import torch
from tqdm import tqdm

from dld_brain.audio.features import extract, samples_per_frame
from dld_brain.tasks.transcription import TranscriptionTask
from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.streams.chunk_stream import chunks_of

#: What a stream computes at once, s.
CHUNKS = (1.28, 0.64, 0.32)
#: Utterances of a batch, where they need not be streams.
BATCH = 16
NO_TIME = {"min": None, "median": None, "max": None}
#: Texts by depth.
Heard = dict[int, list[str]]


class Speech(NamedTuple):
    """Utterances one after another.

    Arguments
    ---------
    waves : list of numpy.ndarray
        [S] each.
    samples : numpy.ndarray
        All of them with pauses between, [S].
    words : str
        What is said in them.
    """

    waves: list[np.ndarray]
    texts: list[str]
    samples: np.ndarray
    words: str


def depths(
    asr: DynamicEncoderASR, speech: Speech, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """WER of whole utterances and in chunks, at each depth."""
    hear = masked if asr.task.name == TranscriptionTask.name else played
    rows = []
    for chunk in (None, *CHUNKS):
        name = f"{chunk:.2f} s" if chunk else "whole utterances"
        for n, found in hear(asr, speech, options, chunk).items():
            said = [asr.task.scored(text) for text in found]
            wer = 100 * jiwer.wer(speech.texts, said)
            row = {"task": name, "input": f"n={n}", "wer": wer, "ms": NO_TIME}
            rows.append({**row, "source": options.title})
            print(f"| {name} | {n} | {wer:.2f} |", flush=True)
    return rows


def masked(
    asr: DynamicEncoderASR,
    speech: Speech,
    options: argparse.Namespace,
    chunk: Optional[float],
) -> Heard:
    """In batches: a stream gives what the pass under its mask does.

    (tests/encoder/test_chunks.py)
    """
    frame = samples_per_frame(asr.mods) / asr.hparams.sample_rate
    told = chunk and chunks_of(chunk, options.left_chunks * chunk, frame)
    gates = [asr.gates(n) for n in options.depths]
    found: Heard = {n: [] for n in options.depths}
    for wavs, lens in batches(speech.waves):
        feats, lengths = extract(asr.mods, wavs, lens)
        with torch.no_grad():
            outs = asr.mods.model(feats, lengths, gates, told or None)
        for texts, out in zip(found.values(), outs):
            texts += asr.task.decode(out)
    return found


def played(
    asr: DynamicEncoderASR,
    speech: Speech,
    options: argparse.Namespace,
    chunk: Optional[float],
) -> Heard:
    """One stream after another: of a model that hears whole utterances.

    All of an utterance comes at once, so that nothing is spent on partial
    texts; what is final depends on the chunks alone.
    """
    rate = asr.hparams.sample_rate
    found: Heard = {}
    for n in options.depths:
        found[n] = []
        for wave in tqdm(speech.waves, desc=f"n = {n}", leave=False):
            if chunk is None:
                heard = asr.transcribe(wave, n, sampling_rate=rate)
                found[n].append(heard.text)
                continue
            stream = asr.stream(chunk, n_layers=n)
            words = stream.feed(wave.astype(np.float32)).words
            words += stream.finish().words
            found[n].append(" ".join(w.text for w in words))
    return found


def batches(waves: Sequence[np.ndarray]) -> Iterator[Any]:
    """Padded batches, [B, S] and relative lengths [B]."""
    for first in range(0, len(waves), BATCH):
        part = [torch.from_numpy(w).float() for w in waves[first:][:BATCH]]
        longest = max(map(len, part))
        lengths = torch.tensor([len(w) / longest for w in part])
        yield torch.nn.utils.rnn.pad_sequence(part, batch_first=True), lengths
