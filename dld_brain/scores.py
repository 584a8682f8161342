"""Scores of transcripts at a depth.

Authors
 * The dld_brain authors 2026
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

import jiwer
import torch

from dld_brain.depth import executed_params, macs_by_part
from dld_brain.gates import gates_from_layers


@dataclass
class DepthScore:
    """One row of the depth report.

    Arguments
    ---------
    n_layers : int
        Open gates.
    layers : list of int, optional
        Which layers ran; none where they were drawn.
    selection : str
        "even" or "random": an own draw for each utterance.
    params : int
        Parameters that execute.
    macs_per_second : float
        Multiply-accumulates of the encoder for a second of audio.
    wer : float
        Word error rate, %; of random layers, the mean over the draws.
    cer : float
        Character error rate, %.
    macs_parts : dict of str to float
        The same of "stem", "layers" and "head".
    rtf : float, optional
        Compute seconds, from waveform to text, for a second of audio.
    rtf_parts : dict of str to float, optional
        The same of "stem" (features included), "layers" and "head"
        (decoding included).
    wer_std : float, optional
        Standard deviation of the WER over the draws.
    draws : int, optional
        How many.
    """

    n_layers: int
    layers: Optional[list[int]]
    selection: str
    params: int
    macs_per_second: float
    wer: float
    cer: float
    macs_parts: dict[str, float] = field(default_factory=dict)
    rtf: Optional[float] = None
    rtf_parts: Optional[dict[str, float]] = None
    wer_std: Optional[float] = None
    draws: Optional[int] = None


@dataclass
class Transcripts:
    """What the decoding of a test set gives.

    Arguments
    ---------
    ids : list of str
        Utterances.
    references : list of str
        What was said.
    hypotheses : dict
        By key (a depth, or a depth and a draw) the transcripts.
    seconds : dict
        By (part, key) the compute time, s; that of the stem, which all
        depths share, by ("stem", None).
    audio_seconds : float
        Duration of the set, s.
    """

    ids: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    hypotheses: dict[Any, list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    seconds: dict[Any, float] = field(
        default_factory=lambda: defaultdict(float)
    )
    audio_seconds: float = 0.0


def depth_score(
    modules: Mapping[str, torch.nn.Module],
    sample_rate: int,
    result: Transcripts,
    layers: tuple[int, ...],
    draws: int = 0,
) -> DepthScore:
    """Scores one depth: WER and CER by jiwer, and what it costs.

    Arguments
    ---------
    modules : mapping of str to torch.nn.Module
        `compute_features`, `normalize` and `model`.
    sample_rate : int
        Rate of the audio, Hz.
    result : Transcripts
        Transcripts of the set, at this depth among others.
    layers : tuple of int
        Layers that ran; for random layers, as many as ran.
    draws : int
        Random layers were drawn so many times; 0 for these layers.

    Returns
    -------
    DepthScore
    """
    n_layers = len(layers)
    keys = [(n_layers, draw) for draw in range(draws)] or [n_layers]
    texts = [result.hypotheses[key] for key in keys]
    wers = [100 * jiwer.wer(result.references, t) for t in texts]
    cers = [100 * jiwer.cer(result.references, t) for t in texts]
    gates = gates_from_layers(layers, modules["model"].n_total)
    macs = macs_by_part(modules, gates, sample_rate)
    score = DepthScore(
        n_layers=n_layers,
        layers=None if draws else list(layers),
        selection="random" if draws else "even",
        params=executed_params(modules["model"], gates),
        macs_per_second=sum(macs.values()),
        macs_parts=macs,
        wer=statistics.mean(wers),
        cer=statistics.mean(cers),
    )
    if draws:
        score.wer_std, score.draws = statistics.pstdev(wers), draws
    else:
        keys = {"stem": None, "layers": n_layers, "head": n_layers}
        score.rtf_parts = {
            part: result.seconds[part, key] / result.audio_seconds
            for part, key in keys.items()
        }
        score.rtf = sum(score.rtf_parts.values())
    return score
