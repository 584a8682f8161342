"""Speech recognition at the depth that one asks for."""

import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import torch
from speechbrain.inference.ASR import EncoderASR

from dld_brain.encoder.deepen import Step, deepen, default_ladder
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.encoder.routers.of_input import InputRouter
from dld_brain.gates.layer_sets import Routed
from dld_brain.tasks.confidence import mean_confidence, mean_entropy
from dld_brain.tasks.decode import relative
from pretrained_interfaces.budget import Budget, Calibrated
from pretrained_interfaces.dynamic import DynamicDepth
from pretrained_interfaces.transcription import Transcription


class DynamicEncoderASR(Calibrated, DynamicDepth, EncoderASR):
    """A CTC recogniser that runs as many layers as the caller says.

    An `EncoderASR`: `from_hparams`, `transcribe_file`, `transcribe_batch`
    and `encode_batch` work as there, and take `n_layers` as well. The
    depth is an argument of each call: threads that share a model do not
    meet.

    Example
    -------
    >>> asr = DynamicEncoderASR.from_hparams(
    ...     source="results/quickstart/student/1986/pretrained"
    ... )  # doctest: +SKIP
    >>> asr.transcribe_file("a.wav", n_layers=6)  # doctest: +SKIP
    'TURN ON THE KITCHEN LIGHT'
    """

    HPARAMS_NEEDED = [
        *DynamicDepth.HPARAMS_NEEDED,
        "tokenizer",
        "decoding_function",
    ]

    def transcribe_file(
        self,
        path: Union[str, Path],
        n_layers: Optional[int] = None,
        **options: Any,
    ) -> str:
        """Transcribes an audio file.

        Arguments
        ---------
        path : str or Path
            A file of any rate and number of channels, a URL, or a file of
            a hub repository.
        n_layers : int, optional
            Layers that run; all if not given.

        Raises
        ------
        ValueError
            If `n_layers` is no depth of the model, nothing fits the budget,
            or the file is no audio, too short, or has samples that are no
            numbers.
        """
        return self.transcribe(path, n_layers, **options).text

    @torch.no_grad()
    def transcribe(
        self,
        path: Union[str, Path],
        n_layers: Optional[int] = None,
        *,
        max_rtf: Optional[float] = None,
        max_latency: Optional[float] = None,
        best_effort: bool = False,
        max_entropy: Optional[float] = None,
        ladder: Optional[Sequence[int]] = None,
        open_threshold: Optional[float] = None,
        savedir: Optional[str] = None,
    ) -> Transcription:
        """Transcribes an audio file; says what it took.

        Arguments
        ---------
        n_layers : int, optional
            Layers that run; all if not given.
        max_rtf : float, optional
            The deepest depth is taken whose calibrated real-time factor is
            no higher. A model that is not calibrated on this machine is
            calibrated first.
        max_latency : float, optional
            The same of the time from file to text, s.
        best_effort : bool
            Whether the fastest depth is taken where none fits.
        max_entropy : float, optional
            Start at `n_layers` (by default a third of the layers) and go
            deeper while the posterior's mean entropy is higher, nats per
            frame.
        ladder : sequence of int, optional
            Depths that are tried with `max_entropy`, rising; by default the
            first, one half way, and the deepest.
        open_threshold : float, optional
            Of a model whose router looks at the input: layers run whose
            probability is higher, in [0, 1).
        """
        budget = Budget(max_rtf, max_latency, best_effort)
        # Before the file is read.
        budget.check(
            n_layers=n_layers,
            max_entropy=max_entropy,
            open_threshold=open_threshold,
        )
        self.layers(n_layers)
        if open_threshold is not None:
            self._check_router(
                open_threshold, n_layers=n_layers, max_entropy=max_entropy
            )
        rungs = self._rungs(n_layers, max_entropy, ladder)
        waveform = self.load_audio(path, savedir)
        seconds = len(waveform) / self.hparams.sample_rate
        if budget.is_given:
            rungs = [self.depth_for(seconds, budget)]
        started = time.perf_counter()
        if open_threshold is None:
            step, n_computed = self._climb(waveform, rungs, max_entropy)
        else:
            step, n_computed = self._route(waveform, open_threshold)
        text = self.texts(step.out)[0][0]
        return Transcription(
            text=text,
            n_layers=len(step.layers),
            layers=step.layers,
            audio_seconds=seconds,
            compute_seconds=time.perf_counter() - started,
            confidence=float(mean_confidence(step.out)),
            entropy=float(mean_entropy(step.out)),
            layers_computed=n_computed,
        )

    def _check_router(self, open_threshold: float, **others: object) -> None:
        """Raises unless the model's router can decide on its own."""
        if not isinstance(self.mods.model.router, InputRouter):
            raise ValueError(
                "`open_threshold` needs a model whose router looks at the "
                "input: train one with --gates=routed --router=global"
            )
        if not 0 <= open_threshold < 1:
            raise ValueError(
                f"`open_threshold` must be at least 0 and less than 1, but "
                f"is {open_threshold}"
            )
        for name, value in others.items():
            if value is not None:
                raise ValueError(f"give `open_threshold` or `{name}`, not both")

    def _route(
        self, waveform: torch.Tensor, open_threshold: float
    ) -> tuple[Step, int]:
        """Runs the layers that the router decides."""
        feats, lengths = self.features(waveform.unsqueeze(0), torch.ones(1))
        routed = Routed(threshold=open_threshold)
        with self.inference_ctx:
            found = self.mods.model(feats, lengths, routed)
        layers = tuple(found.gates[:, 0].nonzero()[:, 0].tolist())
        return Step(layers, found.out, len(layers)), len(layers)

    def _rungs(
        self,
        n_layers: Optional[int],
        max_entropy: Optional[float],
        ladder: Optional[Sequence[int]],
    ) -> list[int]:
        """Depths that are tried in turn."""
        if max_entropy is None:
            if ladder is not None:
                raise ValueError("`ladder` needs `max_entropy`")
            return [n_layers or self.n_total]
        if ladder is None:
            shallow = [n for n in self.depths if n <= self.n_total // 3]
            start = n_layers or max(shallow, default=self.depths[0])
            ladder = default_ladder(start, self.depths)
        rungs = list(ladder)
        if not rungs or rungs != sorted(set(rungs)):
            raise ValueError(
                f"`ladder` must be depths that rise, but is {rungs}"
            )
        for depth in rungs:
            self.layers(depth)
        return rungs

    def _climb(
        self,
        waveform: torch.Tensor,
        rungs: Sequence[int],
        max_entropy: Optional[float],
    ) -> tuple[Step, int]:
        """Goes deeper until an answer is sure enough."""
        feats, lengths = self.features(waveform.unsqueeze(0), torch.ones(1))
        n_computed = 0
        with self.inference_ctx:
            x, lengths = self.mods.model.stem(feats, lengths)
            sets = [self.layers(depth) for depth in rungs]
            for step in deepen(self.mods.model, x, lengths, sets):
                n_computed += step.n_computed
                if max_entropy is None:
                    break
                if float(mean_entropy(step.out)) <= max_entropy:
                    break
        return step, n_computed

    @torch.no_grad()
    def transcribe_batch(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor,
        n_layers: Optional[int] = None,
    ) -> tuple[list[str], list[Any]]:
        """Transcribes a batch of waveforms at the model's rate.

        Arguments
        ---------
        wavs : torch.Tensor
            Waveforms, [B, S].
        wav_lens : torch.Tensor
            Lengths relative to S, [B], in (0, 1].
        n_layers : int, optional
            Layers that run; all if not given.

        Returns
        -------
        tuple
            Transcripts, and what the decoder gave for each: token ids, or
            the hypotheses of a beam search.

        Raises
        ------
        ValueError
            If an input or `n_layers` is not what it must be.
        """
        return self.texts(self.encode(wavs, wav_lens, n_layers))

    def texts(self, out: EncoderOutput) -> tuple[list[str], list[Any]]:
        """Decodes."""
        found = self.decoding_function(out.log_probs.float(), relative(out))
        if isinstance(self.hparams.decoding_function, functools.partial):
            return [self.tokenizer.decode_ids(ids) for ids in found], found
        return [nbest[0].text.strip() for nbest in found], found
