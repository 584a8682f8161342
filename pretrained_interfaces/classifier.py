"""Classification of utterances at the depth that one asks for."""

import math
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import torch

from dld_brain.audio.checks import LONGEST, warn
from dld_brain.audio.vad import check_vad, find_speech
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.tasks import ClassificationTask
from pretrained_interfaces.dynamic import DynamicDepth
from pretrained_interfaces.inputs import check_batch
from speechbrain.inference.classifiers import EncoderClassifier


class Classification(NamedTuple):
    """What SpeechBrain's `EncoderClassifier` returns.

    Arguments
    ---------
    out_prob : torch.Tensor
        Log-posteriors of the labels, [B, V].
    score : torch.Tensor
        Log-posterior of the best, [B].
    index : torch.Tensor
        Its index, [B].
    """

    out_prob: torch.Tensor
    score: torch.Tensor
    index: torch.Tensor
    text_lab: list[str]


class DynamicEncoderClassifier(DynamicDepth, EncoderClassifier):
    """A classifier that runs as many layers as the caller says.

    An `EncoderClassifier`: `from_hparams`, `classify_file` and
    `classify_batch` work as there, and take `n_layers` as well. Its
    `encode_batch` gives the log-posteriors.

    Example
    -------
    >>> classifier = DynamicEncoderClassifier.from_hparams(
    ...     source="results/slu/pretrained"
    ... )  # doctest: +SKIP
    >>> classifier.classify_file("a.wav", n_layers=6).text_lab  # doctest: +SKIP
    ['activate/lights/kitchen']
    """

    HPARAMS_NEEDED = [*DynamicDepth.HPARAMS_NEEDED, "label_encoder"]
    TASK = ClassificationTask.name

    @torch.no_grad()
    def classify_file(
        self,
        path: Union[str, Path],
        n_layers: Optional[int] = None,
        savedir: Optional[str] = None,
        *,
        vad: Optional[str] = "energy",
        max_audio_seconds: float = LONGEST,
    ) -> Classification:
        """Classifies an audio file.

        Arguments
        ---------
        path : str or Path
            A file of any rate and number of channels, a URL, or
            hub:owner/name/file.
        n_layers : int, optional
            Layers that run; all if not given.
        vad : str, optional
            See `DynamicEncoderASR.transcribe`. Without speech no layer runs:
            the label is empty, its index -1, and all are as likely.
        max_audio_seconds : float
            Longer audio is refused, s.

        Raises
        ------
        ValueError
            If `n_layers` is no depth of the model, or the file is no audio,
            cut, too short, too long, or has samples that are no numbers.
        """
        self.layers(n_layers)  # before the file is read
        check_vad(vad)
        waveform = self.load_audio(
            path, savedir, max_audio_seconds=max_audio_seconds
        )
        rate, shortest = self.hparams.sample_rate, self.window_limits.shortest
        check_batch(waveform.unsqueeze(0), torch.ones(1), shortest, rate)
        if not find_speech(waveform.cpu().numpy(), rate, vad):
            return self._nothing_said()
        seconds, trained = len(waveform) / rate, self.longest_utterance
        if trained is not None and seconds > trained:
            warn(
                f"{path}: its {seconds:.1f} s are longer than training's "
                f"{trained:.1f} s, and get one label"
            )
        return self.classify_batch(
            waveform.unsqueeze(0), torch.ones(1), n_layers
        )

    @torch.no_grad()
    def classify_batch(
        self,
        wavs: torch.Tensor,
        wav_lens: Optional[torch.Tensor] = None,
        n_layers: Optional[int] = None,
    ) -> Classification:
        """Classifies a batch of waveforms at the model's rate.

        Arguments
        ---------
        wavs : torch.Tensor
            Waveforms, [B, S].
        wav_lens : torch.Tensor, optional
            Lengths relative to S, [B], in (0, 1]; all 1 if not given.
        n_layers : int, optional
            Layers that run; all if not given.

        Raises
        ------
        ValueError
            If an input or `n_layers` is not what it must be.
        """
        if wav_lens is None and isinstance(wavs, torch.Tensor):
            wav_lens = torch.ones(len(wavs))
        return self.labels(self.encode(wavs, wav_lens, n_layers))

    def _nothing_said(self) -> Classification:
        """No label, on audio without speech."""
        n_labels = self.mods.model.head.out_features
        shape = {"size": (1, n_labels), "device": self.device}
        out_prob = torch.full(fill_value=-math.log(n_labels), **shape)
        index = torch.full_like(out_prob[:, 0], -1, dtype=torch.long)
        return Classification(out_prob, out_prob[:, 0], index, [""])

    def labels(self, out: EncoderOutput) -> Classification:
        """Takes the likeliest label.

        Arguments
        ---------
        out : EncoderOutput
            Log-probabilities, [B, 1, V].
        """
        out_prob = out.log_probs.squeeze(1)
        score, index = out_prob.max(dim=-1)
        names = self.hparams.label_encoder.decode_torch(index)
        return Classification(out_prob, score, index, names)

    def forward(self, *args: Any, **kwargs: Any) -> Classification:
        """The same as `classify_batch`."""
        return self.classify_batch(*args, **kwargs)
