"""Scores of answers at a depth."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Optional

import numpy as np

from dld_brain.encoder.costs import executed_params, macs_at
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import prefix
from dld_brain.tasks import Task


@dataclass
class DepthScore:
    """One row of the depth report.

    Arguments
    ---------
    layers : list of int, optional
        Which layers ran; none where they were drawn.
    selection : str
        How the layers were chosen; "random": an own draw for each
        utterance.
    macs_per_second : float
        Multiply-accumulates of the encoder for a second of audio.
    rates : dict of str to float
        By metric, %, the task's own first: WER and CER, or accuracy; of
        random layers, the mean over the draws.
    macs_parts : dict of str to float
        The same of "stem", "layers" and "head".
    rtf : float, optional
        Compute seconds, from waveform to answer, for a second of audio.
    rtf_parts : dict of str to float, optional
        The same of "stem" (features included), "layers" and "head"
        (decoding included).
    std : float, optional
        Standard deviation of the task's metric over the draws.
    ece, ece_raw : float, optional
        Expected calibration error of the confidence, and of the mean
        probability that it is made of, %; see `confidence`.
    n_decoder_layers : int, optional
        Of a decoder behind the encoder, open gates; all if not given.
    decoder_layers : list of int, optional
        Which of its layers ran.
    lm_rates : dict of str to float, optional
        `rates` of the beam search with a language model.
    lm_rtf : float, optional
        Seconds of that search, for a second of audio.
    word_start_ms, word_start_p90_ms : float, optional
        Median distance of the starts of right words from those that forced
        alignment of the true text finds at full depth, and what nine of ten
        stay within, ms.
    """

    n_layers: int
    layers: Optional[list[int]]
    selection: str
    params: int
    macs_per_second: float
    rates: dict[str, float]
    macs_parts: dict[str, float] = field(default_factory=dict)
    rtf: Optional[float] = None
    rtf_parts: Optional[dict[str, float]] = None
    std: Optional[float] = None
    draws: Optional[int] = None
    ece: Optional[float] = None
    ece_raw: Optional[float] = None
    n_decoder_layers: Optional[int] = None
    decoder_layers: Optional[list[int]] = None
    lm_rates: Optional[dict[str, float]] = None
    lm_rtf: Optional[float] = None
    word_start_ms: Optional[float] = None
    word_start_p90_ms: Optional[float] = None

    @property
    def rate(self) -> float:
        """The task's own metric, %."""
        return next(iter(self.rates.values()))


@dataclass
class Answers:
    """What a test set gives.

    Arguments
    ---------
    answers : dict
        By the gates of the run, the answers.
    lm_answers : dict
        The same, found with a language model.
    random_answers : dict
        By depth and draw, the answers with random layers.
    entropies : dict
        By the gates of the run, the mean entropy of each utterance's
        posterior, nats per frame.
    probabilities : dict
        By the gates of the run, the mean probability of the likeliest
        token, of each utterance.
    seconds : dict
        By (part, gates) the compute time, s; that of the stem, which all
        depths share, by ("stem", None).
    word_starts : dict
        By the gates of the run, how far the start of each right word is from
        the true text's at full depth, s; see `word_starts`.
    audio_seconds : float
        Duration of the set, s.
    """

    ids: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    answers: dict[Gates, list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    random_answers: dict[tuple[int, int], list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    lm_answers: dict[Gates, list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    entropies: dict[Gates, list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    probabilities: dict[Gates, list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    seconds: dict[Any, float] = field(
        default_factory=lambda: defaultdict(float)
    )
    word_starts: dict[Gates, list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    audio_seconds: float = 0.0


def joined(parts: Iterable[Answers]) -> Answers:
    """The answers of batches, one after another.

    Example
    -------
    >>> parts = [Answers(ids=["a"], audio_seconds=1.0), Answers(ids=["b"])]
    >>> joined(parts).ids, joined(parts).audio_seconds
    (['a', 'b'], 1.0)
    """
    result = Answers()
    for part in parts:
        for each in fields(Answers):
            found, new = getattr(result, each.name), getattr(part, each.name)
            if isinstance(new, dict):
                for key, value in new.items():
                    found[key] += value
            else:
                setattr(result, each.name, found + new)
    return result


def depth_score(
    task: Task,
    model: DynamicEncoder,
    macs: Mapping[str, float],
    result: Answers,
    gates: Gates,
    selection: str,
) -> DepthScore:
    """Scores a layer set."""
    parts = macs_at(macs, gates.depth, model.n_total)
    keys = {"stem": None, "layers": gates, "head": gates}
    rtf = {
        part: result.seconds[part, key] / result.audio_seconds
        for part, key in keys.items()
    }
    found = DepthScore(
        n_layers=gates.depth,
        layers=list(gates.layers),
        selection=selection,
        params=executed_params(model, gates),
        macs_per_second=sum(parts.values()),
        macs_parts=parts,
        rates=task.rates(result.references, result.answers[gates]),
        rtf=sum(rtf.values()),
        rtf_parts=rtf,
    )
    if gates.decoder is not None:
        found.n_decoder_layers = gates.decoder.depth
        found.decoder_layers = list(gates.decoder.layers)
    if result.word_starts.get(gates):
        ms = 1000 * np.array(result.word_starts[gates])
        found.word_start_ms = float(np.median(ms))
        found.word_start_p90_ms = float(np.quantile(ms, 0.9))
    if gates in result.lm_answers:
        answers = result.lm_answers[gates]
        found.lm_rates = task.rates(result.references, answers)
        found.lm_rtf = result.seconds["lm", gates] / result.audio_seconds
    return found


def random_score(
    task: Task,
    model: DynamicEncoder,
    macs: Mapping[str, float],
    result: Answers,
    n_layers: int,
    draws: int,
) -> DepthScore:
    """Scores random layers: mean and deviation over the draws.

    Arguments
    ---------
    draws : int
        How often layers were drawn for each utterance.
    """
    rates = [
        task.rates(result.references, result.random_answers[n_layers, draw])
        for draw in range(draws)
    ]
    values = {metric: [r[metric] for r in rates] for metric in rates[0]}
    parts = macs_at(macs, n_layers, model.n_total)
    return DepthScore(
        n_layers=n_layers,
        layers=None,
        selection="random",
        params=executed_params(model, prefix(n_layers, model.n_total)),
        macs_per_second=sum(parts.values()),
        macs_parts=parts,
        rates={metric: statistics.mean(v) for metric, v in values.items()},
        std=statistics.pstdev(values[task.metric]),
        draws=draws,
    )
