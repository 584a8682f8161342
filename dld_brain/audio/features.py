"""From waveforms to normalised features, with lengths that are exact.

Relative lengths are turned into whole samples once, here: everything after
counts frames, so that an utterance has as many in a batch as alone.
"""

from collections.abc import Mapping
from math import inf
from typing import Optional

import torch
from torch import nn
from torch.distributed import ReduceOp

from dld_brain.audio.lengths import absolute_lengths
from speechbrain.lobes.features import Fbank
from speechbrain.processing.features import (
    InputNormalization,
    combine_gaussian_statistics,
    combine_gaussian_statistics_distributed,
    gaussian_statistics,
    make_padding_mask,
)
from speechbrain.utils.distributed import ddp_all_reduce


class LogMel(Fbank):
    """SpeechBrain's log-mel features, with the frames of each utterance.

    Arguments
    ---------
    sample_rate : int
        Rate of the audio, Hz.
    hop_length : float
        From one frame to the next, ms.
    top_db : float, optional
        Nothing is quieter than this below the loudest of the input, dB; as
        it is if not given, where a frame depends on none behind it.

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
        top_db: Optional[float] = 80.0,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            n_fft=n_fft,
            n_mels=n_mels,
            win_length=win_length,
            hop_length=hop_length,
        )
        self.compute_fbanks.top_db = inf if top_db is None else top_db
        self.n_features = n_mels
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

    hop_samples = 1
    n_features = 1

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

    What is no speech, or no finite number, is not learnt from: one such
    utterance would make the statistics of all NaN.

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
        is_speech: Optional[torch.Tensor] = None,
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
        is_speech : torch.Tensor, optional
            Which utterances are learnt from, [B]; all if not given.

        Returns
        -------
        torch.Tensor
            [B, T, F].
        """
        if not self.enabled:
            return x
        if self.norm_type == "global" and self._should_update(epoch):
            self._learn(x, lengths, is_speech)
        # `update_until_epoch` is past: SpeechBrain's own learns no more.
        return super().forward(x, lengths, self.update_until_epoch)

    def _learn(
        self,
        x: torch.Tensor,
        lengths: Optional[torch.Tensor],
        is_speech: Optional[torch.Tensor],
    ) -> None:
        """Adds a batch to the statistics, in step with the other ranks."""
        is_finite = x.isfinite().all(dim=2).all(dim=1)  # [B, T, F] -> [B]
        counted = is_finite if is_speech is None else is_finite & is_speech
        x = x.masked_fill(~is_finite[:, None, None], 0.0)
        mask = make_padding_mask(x, lengths) & counted[:, None, None]
        if self.count == 0:
            self.glob_mean = x.new_zeros(x.shape[2])
            self.glob_std = x.new_ones(x.shape[2])
        n_frames = int(mask.sum())
        total = torch.tensor(n_frames, device=x.device)
        if not int(ddp_all_reduce(total, ReduceOp.SUM)):
            return
        nothing = (0, torch.zeros_like(x[0, 0]), torch.zeros_like(x[0, 0]))
        new = gaussian_statistics(x, mask, (0, 1)) if n_frames else nothing
        known = (self.count, self.glob_mean, self.glob_std.square())
        self.count, self.glob_mean, var = combine_gaussian_statistics(
            known, combine_gaussian_statistics_distributed(new)
        )
        self.glob_std = var.sqrt()


def extract(
    modules: Mapping[str, nn.Module],
    wavs: torch.Tensor,
    wav_lens: torch.Tensor,
    epoch: Optional[int] = None,
    is_speech: Optional[torch.Tensor] = None,
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
    is_speech : torch.Tensor, optional
        Which utterances it learns from, [B]; all if not given.

    Returns
    -------
    tuple of torch.Tensor
        Features [B, T, F] and valid frames [B].
    """
    feats, lengths = modules["compute_features"](wavs, wav_lens)
    rel_lens = lengths / feats.shape[1]
    normalize = modules["normalize"]
    return normalize(feats, rel_lens, epoch, is_speech), lengths


def min_samples(modules: Mapping[str, nn.Module]) -> int:
    """The shortest audio that fills one window of the stem."""
    n_frames = modules["model"].stem.min_frames
    return modules["compute_features"].min_samples(n_frames)


def samples_per_frame(modules: Mapping[str, nn.Module]) -> int:
    """How many samples later a frame of the encoder's output is."""
    hop_samples = modules["compute_features"].hop_samples
    model = modules["model"]
    behind = 1 if model.pool is None else model.pool.stride
    return hop_samples * model.stem.stride * behind
