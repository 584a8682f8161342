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

from dld_brain.costs import executed_params, macs_at
from dld_brain.depth import Layers
from dld_brain.encoders.gated import DynamicEncoder
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
        How the layers were chosen; "random": an own draw for each
        utterance.
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
        By the layers that ran, the transcripts.
    random_hypotheses : dict
        By depth and draw, the transcripts with random layers.
    entropies : dict
        By the layers that ran, the mean entropy of each utterance's
        posterior, nats per frame.
    seconds : dict
        By (part, layers) the compute time, s; that of the stem, which all
        depths share, by ("stem", None).
    audio_seconds : float
        Duration of the set, s.
    """

    ids: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    hypotheses: dict[Layers, list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    random_hypotheses: dict[tuple[int, int], list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    entropies: dict[Layers, list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    seconds: dict[Any, float] = field(
        default_factory=lambda: defaultdict(float)
    )
    audio_seconds: float = 0.0


def error_rates(references: list[str], texts: list[str]) -> tuple[float, float]:
    """WER and CER by jiwer, %.

    Arguments
    ---------
    references : list of str
        What was said.
    texts : list of str
        What was recognised.

    Returns
    -------
    tuple of float

    Example
    -------
    >>> error_rates(["A B"], ["A"])
    (50.0, 66.66666666666666)
    """
    return (
        100 * jiwer.wer(references, texts),
        100 * jiwer.cer(references, texts),
    )


def depth_score(
    model: DynamicEncoder,
    macs: Mapping[str, float],
    result: Transcripts,
    layers: Layers,
    selection: str,
) -> DepthScore:
    """Scores a layer set.

    Arguments
    ---------
    model : DynamicEncoder
        The model.
    macs : mapping of str to float
        Of `macs_by_part`.
    result : Transcripts
        Transcripts of the set.
    layers : tuple of int
        Layers that ran.
    selection : str
        How they were chosen.

    Returns
    -------
    DepthScore
    """
    wer, cer = error_rates(result.references, result.hypotheses[layers])
    parts = macs_at(macs, len(layers), model.n_total)
    keys = {"stem": None, "layers": layers, "head": layers}
    rtf = {
        part: result.seconds[part, key] / result.audio_seconds
        for part, key in keys.items()
    }
    return DepthScore(
        n_layers=len(layers),
        layers=list(layers),
        selection=selection,
        params=executed_params(model, gates_from_layers(layers, model.n_total)),
        macs_per_second=sum(parts.values()),
        macs_parts=parts,
        wer=wer,
        cer=cer,
        rtf=sum(rtf.values()),
        rtf_parts=rtf,
    )


def random_score(
    model: DynamicEncoder,
    macs: Mapping[str, float],
    result: Transcripts,
    n_layers: int,
    draws: int,
) -> DepthScore:
    """Scores random layers: mean and deviation over the draws.

    Arguments
    ---------
    model : DynamicEncoder
        The model.
    macs : mapping of str to float
        Of `macs_by_part`.
    result : Transcripts
        Transcripts of the set.
    n_layers : int
        The depth.
    draws : int
        How often layers were drawn for each utterance.

    Returns
    -------
    DepthScore
    """
    rates = [
        error_rates(result.references, result.random_hypotheses[n_layers, draw])
        for draw in range(draws)
    ]
    wers, cers = zip(*rates)
    gates = gates_from_layers(range(n_layers), model.n_total)
    parts = macs_at(macs, n_layers, model.n_total)
    return DepthScore(
        n_layers=n_layers,
        layers=None,
        selection="random",
        params=executed_params(model, gates),
        macs_per_second=sum(parts.values()),
        macs_parts=parts,
        wer=statistics.mean(wers),
        cer=statistics.mean(cers),
        wer_std=statistics.pstdev(wers),
        draws=draws,
    )
