"""Speech recognition at the depth that one asks for."""

import time
from pathlib import Path
from typing import Any, Optional, Union

import torch

from dld_brain.audio.reader import Audio
from dld_brain.tasks import TranscriptionTask
from dld_brain.tasks.confidence import mean_confidence, mean_entropy
from pretrained_interfaces.calibrated import Calibrated
from pretrained_interfaces.depth import Depth, choose_depth
from pretrained_interfaces.dynamic import DynamicDepth
from pretrained_interfaces.inputs import is_batch
from pretrained_interfaces.transcription import Transcription
from speechbrain.inference.ASR import EncoderASR


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

    HPARAMS_NEEDED = [*DynamicDepth.HPARAMS_NEEDED, "tokenizer"]

    def set_decoding_function(self) -> None:
        """Has the task decode; SpeechBrain calls this once."""
        self.task = TranscriptionTask(self.tokenizer)

    def decode_with(self, decoding: str, **options: Any) -> "DynamicEncoderASR":
        """Decodes in another way from now on.

        Arguments
        ---------
        decoding : str
            "greedy", as it is at first, or "beam".
        **options
            Of SpeechBrain's `CTCBeamSearcher`.
        """
        self.task = self.task.with_decoding(decoding, options)
        return self

    def __call__(
        self, audio: Any, *args: Any, **kwargs: Any
    ) -> Union[Transcription, list[Transcription], torch.Tensor]:
        """Transcribes what is given; a list gives a list.

        A batch of waveforms with their lengths is what SpeechBrain's
        interface takes here, and gives what that gives: log-probabilities.

        Arguments
        ---------
        audio : str, Path, file object, array, tensor, mapping or list
            See `transcribe`.
        """
        if is_batch(audio, args, kwargs):
            return super().__call__(audio, *args, **kwargs)
        if isinstance(audio, list):
            return [self.transcribe(each, *args, **kwargs) for each in audio]
        return self.transcribe(audio, *args, **kwargs)

    def transcribe_file(
        self,
        path: Union[str, Path],
        depth: Union[int, Depth, None] = None,
        **options: Any,
    ) -> str:
        """Transcribes an audio file; see `transcribe`."""
        return self.transcribe(path, depth, **options).text

    @torch.no_grad()
    def transcribe(
        self,
        audio: Audio,
        depth: Union[int, Depth, None] = None,
        *,
        n_layers: Optional[int] = None,
        max_rtf: Optional[float] = None,
        max_latency: Optional[float] = None,
        best_effort: bool = False,
        sampling_rate: Optional[int] = None,
        savedir: Optional[str] = None,
    ) -> Transcription:
        """Transcribes audio; says what it took.

        Arguments
        ---------
        audio : str, Path, file object, array, tensor or mapping
            A file of any rate and number of channels, a URL,
            hub:owner/name/file, an open file; samples [S] or [S, channels]
            with their `sampling_rate`; or `{"array": ..., "sampling_rate":
            ...}`.
        depth : int, Budget, Escalate or Routed, optional
            Layers that run, or what decides; all if not given.
        n_layers, max_rtf, max_latency, best_effort
            The short way for a number and for a `Budget`.
        sampling_rate : int, optional
            Rate of samples, Hz.

        Raises
        ------
        TypeError
            If `audio` is nothing of the above.
        ValueError
            If the model has no such depth, nothing fits the budget, or the
            file is no audio, too short, or has samples that are no numbers.
        """
        how = choose_depth(depth, n_layers, max_rtf, max_latency, best_effort)
        how.check(self)  # before the file is read
        waveform = self.load_audio(audio, savedir, sampling_rate)
        seconds = len(waveform) / self.hparams.sample_rate
        plan = how.plan(self, seconds)
        started = time.perf_counter()
        feats, lengths = self.features(waveform.unsqueeze(0), torch.ones(1))
        with self.inference_ctx:
            step = plan(feats, lengths)
        (text,) = self.task.decode(step.out)
        layers, probability = step.gates.layers, mean_confidence(step.out)
        return Transcription(
            text=text,
            n_layers=step.gates.depth,
            layers=layers,
            audio_seconds=seconds,
            compute_seconds=time.perf_counter() - started,
            confidence=self.table.confidence(layers, float(probability)),
            entropy=float(mean_entropy(step.out)),
            layers_computed=step.n_computed,
        )

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
        return self.task.decoder(self.encode(wavs, wav_lens, n_layers))
