"""Scores test sets at every depth.

Audio, features and stem are computed once a batch; each depth then runs
the layers it has. The real-time factor of a depth counts both.

Authors
 * The dld_brain authors 2026
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Optional

import jiwer
import numpy as np
import torch
from tqdm import tqdm

from dld_brain.decode import Decoder
from dld_brain.depth import executed_params, macs_per_second
from dld_brain.encoders.gated import EncoderOutput
from dld_brain.features import extract
from dld_brain.gates import check_n_layers, evenly_spread, gates_from_layers


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
    rtf : float, optional
        Compute seconds, from waveform to text, for a second of audio.
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
    rtf: Optional[float] = None
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
        By key the compute time, s.
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


def default_depths(n_total: int) -> list[int]:
    """Depths of the paper's tables: 2, 4, ... and full depth.

    Arguments
    ---------
    n_total : int
        Layers in the stack.

    Returns
    -------
    list of int

    Example
    -------
    >>> default_depths(5)
    [2, 4, 5]
    """
    return sorted({*range(2, n_total + 1, 2), n_total})


class DepthEvaluation:
    """Evaluates a model at every depth.

    Arguments
    ---------
    modules : mapping of str to torch.nn.Module
        `compute_features`, `normalize` and `model`, in eval mode.
    decoder : callable
        EncoderOutput -> transcripts.
    sample_rate : int
        Rate of the audio, Hz.
    depths : list of int, optional
        Depths; `default_depths` if empty.
    random_draws : int
        How often random layers are drawn for each utterance and depth.
    seed : int
        Seed of those draws.

    Raises
    ------
    ValueError
        If a depth is none of the model.
    """

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        decoder: Decoder,
        sample_rate: int,
        depths: Optional[list[int]] = None,
        random_draws: int = 0,
        seed: int = 0,
    ) -> None:
        self.modules = modules
        self.model = modules["model"]
        self.n_total = self.model.n_total
        self.depths = depths or default_depths(self.n_total)
        for n_layers in self.depths:
            check_n_layers(n_layers, self.n_total)
        self.decoder = decoder
        self.sample_rate = sample_rate
        self.random_draws = random_draws
        self.seed = seed
        self.device = next(self.model.parameters()).device

    def layers(self, n_layers: int) -> tuple[int, ...]:
        """Layers that run at a depth.

        Arguments
        ---------
        n_layers : int
            The depth.

        Returns
        -------
        tuple of int
        """
        return evenly_spread(n_layers, self.n_total)

    @torch.no_grad()
    def transcribe(self, loader: Iterable[Any], name: str) -> Transcripts:
        """Transcribes a set at every depth.

        Arguments
        ---------
        loader : iterable of PaddedBatch
            Batches with `id`, `sig` and `wrd`.
        name : str
            Name of the set, for the progress bar.

        Returns
        -------
        Transcripts
            Keys are depths, and (depth, draw) for random layers.
        """
        result = Transcripts()
        for batch in tqdm(loader, desc=f"{name}, every depth"):
            batch = batch.to(self.device)
            wavs, wav_lens = batch.sig
            with self.timed(result.seconds, "shared"):
                feats, lengths = extract(self.modules, wavs, wav_lens)
                x, lengths = self.model.stem(feats, lengths)
            for n_layers in self.depths:
                with self.timed(result.seconds, n_layers):
                    texts = self.decode(x, lengths, self.layers(n_layers))
                result.hypotheses[n_layers] += texts
            self.transcribe_randomly(result, x, lengths)
            result.ids += batch.id
            result.references += batch.wrd
            samples = float((wav_lens * wavs.shape[1]).sum())
            result.audio_seconds += samples / self.sample_rate
        return result

    def transcribe_randomly(
        self, result: Transcripts, x: torch.Tensor, lengths: torch.Tensor
    ) -> None:
        """Adds transcripts with random layers, an own draw an utterance.

        LDASR's `random_fixed`; an utterance alone, since another draws
        other layers. All layers leave nothing to draw.

        Arguments
        ---------
        result : Transcripts
            What to add to.
        x : torch.Tensor
            Output of the stem, [B, T', D].
        lengths : torch.Tensor
            Valid frames, [B].
        """
        for n_layers, draw in self.random_keys():
            for i, length in enumerate(lengths.tolist()):
                utterance = len(result.ids) + i
                rng = np.random.default_rng(
                    [self.seed, n_layers, draw, utterance]
                )
                layers = rng.choice(self.n_total, n_layers, replace=False)
                alone = x[i : i + 1, :length], lengths[i : i + 1]
                result.hypotheses[n_layers, draw] += self.decode(
                    *alone, layers.tolist()
                )

    def random_keys(self) -> list[tuple[int, int]]:
        """Depths and draws of random layers.

        Returns
        -------
        list of tuple of int
        """
        return [
            (n_layers, draw)
            for n_layers in self.depths
            if n_layers < self.n_total
            for draw in range(self.random_draws)
        ]

    def decode(
        self, x: torch.Tensor, lengths: torch.Tensor, layers: Iterable[int]
    ) -> list[str]:
        """Runs the layers given and decodes.

        Arguments
        ---------
        x : torch.Tensor
            Output of the stem, [B, T', D].
        lengths : torch.Tensor
            Valid frames, [B].
        layers : iterable of int
            Layers that run.

        Returns
        -------
        list of str
        """
        gates = gates_from_layers(list(layers), self.n_total)
        out: EncoderOutput = self.model.run_layers(x, lengths, gates)
        return self.decoder(out)

    @contextmanager
    def timed(self, seconds: dict[Any, float], key: Any) -> Iterator[None]:
        """Adds the time of a block, the device's work included.

        Arguments
        ---------
        seconds : dict
            What to add to.
        key : hashable
            Where.

        Yields
        ------
        None
        """
        is_cuda = self.device.type == "cuda"
        if is_cuda:
            torch.cuda.synchronize(self.device)
        started = time.perf_counter()
        yield
        if is_cuda:
            torch.cuda.synchronize(self.device)
        seconds[key] += time.perf_counter() - started

    def scores(self, result: Transcripts) -> list[DepthScore]:
        """Scores the transcripts of a set.

        Arguments
        ---------
        result : Transcripts
            Of `transcribe`.

        Returns
        -------
        list of DepthScore
            Even layers first, then random ones.
        """
        rows = [self.even_score(result, n) for n in self.depths]
        if self.random_draws:
            depths = [n for n in self.depths if n < self.n_total]
            rows += [self.random_score(result, n) for n in depths]
        return rows

    def costs(self, n_layers: int) -> dict[str, Any]:
        """What a depth costs on any machine.

        Arguments
        ---------
        n_layers : int
            The depth.

        Returns
        -------
        dict
            `params` and `macs_per_second`.
        """
        gates = gates_from_layers(self.layers(n_layers), self.n_total)
        return {
            "params": executed_params(self.model, gates),
            "macs_per_second": macs_per_second(
                self.modules, gates, self.sample_rate
            ),
        }

    def even_score(self, result: Transcripts, n_layers: int) -> DepthScore:
        """Scores evenly spread layers.

        Arguments
        ---------
        result : Transcripts
            Of `transcribe`.
        n_layers : int
            The depth.

        Returns
        -------
        DepthScore
        """
        texts = result.hypotheses[n_layers]
        seconds = result.seconds["shared"] + result.seconds[n_layers]
        return DepthScore(
            n_layers=n_layers,
            layers=list(self.layers(n_layers)),
            selection="even",
            wer=100 * jiwer.wer(result.references, texts),
            cer=100 * jiwer.cer(result.references, texts),
            rtf=seconds / result.audio_seconds,
            **self.costs(n_layers),
        )

    def random_score(self, result: Transcripts, n_layers: int) -> DepthScore:
        """Scores random layers: mean and deviation over the draws.

        Arguments
        ---------
        result : Transcripts
            Of `transcribe`.
        n_layers : int
            The depth.

        Returns
        -------
        DepthScore
        """
        draws = [
            result.hypotheses[n_layers, draw]
            for draw in range(self.random_draws)
        ]
        wers = [100 * jiwer.wer(result.references, texts) for texts in draws]
        cers = [100 * jiwer.cer(result.references, texts) for texts in draws]
        return DepthScore(
            n_layers=n_layers,
            layers=None,
            selection="random",
            wer=statistics.mean(wers),
            cer=statistics.mean(cers),
            wer_std=statistics.pstdev(wers),
            draws=len(draws),
            **self.costs(n_layers),
        )
