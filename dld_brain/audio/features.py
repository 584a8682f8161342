"""From waveforms to normalised features, with lengths that are exact.

Relative lengths are turned into whole samples once, here: everything after
counts frames, so that an utterance has as many in a batch as alone.
"""

from collections.abc import Mapping
from typing import Optional

import torch
from torch import nn

from dld_brain.audio.lengths import absolute_lengths
from speechbrain.lobes.features import Fbank
from speechbrain.processing.features import InputNormalization


class LogMel(Fbank):
    """SpeechBrain's log-mel features, with the frames of each utterance.

    Arguments
    ---------
    sample_rate : int
        Rate of the audio, Hz.
    hop_length : float
        From one frame to the next, ms.

    Example
    -------
    >>> compute_features = LogMel(n_mels=80)
    >>> feats, lengths = compute_features(
    ...     torch.randn(2, 16000), torch.tensor([1.0, 0.5])
    ... )
    >>> feats.shape, lengths
    (torch.Size([2, 101, 80]), tensor([101,  51]))
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int = 512,
        n_mels: int = 80,
        win_length: float = 20,
        hop_length: float = 10,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            n_fft=n_fft,
            n_mels=n_mels,
            win_length=win_length,
            hop_length=hop_length,
        )
        self.hop_samples = round(sample_rate * hop_length / 1000)

    def forward(
        self, wavs: torch.Tensor, wav_lens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Computes features.

        Arguments
        ---------
        wavs : torch.Tensor
            Waveforms, [B, S].
        wav_lens : torch.Tensor
            Lengths relative to S, [B], in (0, 1].

        Returns
        -------
        tuple of torch.Tensor
            Features [B, T, F] and valid frames [B].
        """
        # One frame is centred on every hop, the first on sample 0.
        samples = absolute_lengths(wav_lens, wavs.shape[1])
        return super().forward(wavs), samples // self.hop_samples + 1

    @property
    def mel_shape(self) -> tuple[int, int]:
        """Frequencies and mel bands of the filters."""
        return self.compute_fbanks.n_stft, self.compute_fbanks.n_mels

    def min_samples(self, n_frames: int) -> int:
        """The shortest audio that gives so many frames."""
        return (n_frames - 1) * self.hop_samples


class Waveform(nn.Module):
    """For encoders that read samples: a frame is a sample.

    Example
    -------
    >>> feats, lengths = Waveform()(torch.randn(2, 8), torch.tensor([1, 0.5]))
    >>> feats.shape, lengths
    (torch.Size([2, 8, 1]), tensor([8, 4]))
    """

    def forward(
        self, wavs: torch.Tensor, wav_lens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gives the samples as frames of one feature.

        Arguments
        ---------
        wavs : torch.Tensor
            Waveforms, [B, S].
        wav_lens : torch.Tensor
            Lengths relative to S, [B], in (0, 1].

        Returns
        -------
        tuple of torch.Tensor
            Features [B, S, 1] and valid frames [B].
        """
        return wavs.unsqueeze(-1), absolute_lengths(wav_lens, wavs.shape[1])

    def min_samples(self, n_frames: int) -> int:
        """The shortest audio that gives so many frames."""
        return n_frames


class FeatureNorm(InputNormalization):
    """SpeechBrain's normalisation: by the training speech, or by utterance.

    Of waveforms ("sentence", over the valid samples): whether is a matter
    of what the encoder was pretrained with: WavLM-base without, WavLM-large
    with. SpeechBrain's wrapper of WavLM counts padding among the samples.

    Arguments
    ---------
    norm_type : str
        "global" learns mean and deviation in training; "sentence" takes
        those of each utterance.
    update_until_epoch : int
        The first epoch that "global" does not learn in.

    Example
    -------
    >>> x = torch.tensor([[[1.0], [3.0]]])
    >>> FeatureNorm("sentence")(x).flatten()
    tensor([-1.,  1.])
    """

    def __init__(
        self,
        norm_type: str = "global",
        enabled: bool = True,
        update_until_epoch: int = 2,
    ) -> None:
        super().__init__(
            norm_type=norm_type, update_until_epoch=update_until_epoch
        )
        self.enabled = enabled

    def forward(
        self,
        x: torch.Tensor,
        lengths: Optional[torch.Tensor] = None,
        epoch: Optional[int] = None,
    ) -> torch.Tensor:
        """Normalises.

        Arguments
        ---------
        x : torch.Tensor
            Features, [B, T, F].
        lengths : torch.Tensor, optional
            Valid frames relative to T, [B].
        epoch : int, optional
            Epoch of training.

        Returns
        -------
        torch.Tensor
            [B, T, F].
        """
        return super().forward(x, lengths, epoch) if self.enabled else x


def extract(
    modules: Mapping[str, nn.Module],
    wavs: torch.Tensor,
    wav_lens: torch.Tensor,
    epoch: Optional[int] = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The front of the arrow: audio [B, S] -> features [B, T, F].

    Arguments
    ---------
    wavs : torch.Tensor
        Waveforms, [B, S].
    wav_lens : torch.Tensor
        Lengths relative to S, [B], in (0, 1].
    epoch : int, optional
        Epoch of training: the normaliser learns in the first.

    Returns
    -------
    tuple of torch.Tensor
        Features [B, T, F] and valid frames [B].
    """
    feats, lengths = modules["compute_features"](wavs, wav_lens)
    rel_lens = lengths / feats.shape[1]
    return modules["normalize"](feats, rel_lens, epoch=epoch), lengths


def min_samples(modules: Mapping[str, nn.Module]) -> int:
    """The shortest audio that fills one window of the stem."""
    n_frames = modules["model"].stem.min_frames
    return modules["compute_features"].min_samples(n_frames)
