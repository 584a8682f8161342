"""Mel features of CTC models of the Hub, as their own extractors make them.

Filters are transformers' own; the rest is theirs over a batch, and over the
true length of each utterance, so that it gets what it gets alone.
"""

import torch
import torch.nn.functional as F
from torch import nn

from dld_brain.audio.lengths import absolute_lengths, padding_mask
from speechbrain.processing.features import STFT, spectral_magnitude
from speechbrain.utils.autocast import fwd_default_precision


class ParakeetMel(nn.Module):
    """Log-mel features as transformers' ParakeetFeatureExtractor (NeMo's).

    Arguments
    ---------
    sample_rate : int
        Rate of the audio, Hz.
    win_length : float
        Window, ms.
    hop_length : float
        Hop, ms.
    preemphasis : float
        Share of each sample that is taken from the next.

    Example
    -------
    >>> feats, lengths = ParakeetMel()(
    ...     torch.randn(2, 16000), torch.tensor([1.0, 0.5])
    ... )
    >>> feats.shape, lengths
    (torch.Size([2, 100, 80]), tensor([100,  50]))
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        n_fft: int = 512,
        n_mels: int = 80,
        win_length: float = 25.0,
        hop_length: float = 10.0,
        preemphasis: float = 0.97,
    ) -> None:
        super().__init__()
        self.n_features = n_mels
        self.preemphasis = preemphasis
        self.compute_STFT = STFT(
            sample_rate, win_length, hop_length, n_fft, symmetric_hann
        )
        self.hop_samples = self.compute_STFT.hop_length
        filters = mel_filters(
            n_fft, n_mels, sample_rate, 0.0, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("filters", filters, persistent=False)

    @property
    def mel_shape(self) -> tuple[int, int]:
        """Frequencies and mel bands of the filters."""
        return tuple(self.filters.shape)

    @fwd_default_precision(cast_inputs=torch.float32)
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
            Features [B, T, F], each band of mean 0 and deviation 1 over an
            utterance, and valid frames [B].
        """
        samples = absolute_lengths(wav_lens, wavs.shape[1])
        lengths = (samples // self.hop_samples).clamp(min=1)
        x = wavs - self.preemphasis * F.pad(wavs, (1, 0))[:, :-1]
        x = x.masked_fill(padding_mask(samples, x.shape[1]), 0.0)
        x = F.pad(x, (0, max(0, self.min_samples(1) - x.shape[1])))
        # The last frame, of which half is past the end, theirs masks too.
        stft = self.compute_STFT(x)[:, :-1]
        mels = spectral_magnitude(stft) @ self.filters
        return normalised((mels + 2**-24).log(), lengths), lengths

    def min_samples(self, n_frames: int) -> int:
        """The shortest audio that gives so many frames, and a deviation."""
        return max(2, n_frames) * self.hop_samples


def symmetric_hann(n_samples: int) -> torch.Tensor:
    """A window whose last sample is 0, as NeMo's."""
    return torch.hann_window(n_samples, periodic=False)


def normalised(
    x: torch.Tensor, lengths: torch.Tensor, epsilon: float = 1e-5
) -> torch.Tensor:
    """Each band of mean 0 and deviation 1 over the valid frames, [B, T, F]."""
    padding = padding_mask(lengths, x.shape[1]).unsqueeze(-1)
    n = lengths.view(-1, 1, 1)
    mean = x.masked_fill(padding, 0.0).sum(1, keepdim=True) / n
    centred = (x - mean).masked_fill(padding, 0.0)
    variance = centred.square().sum(1, keepdim=True) / (n - 1).clamp(min=1)
    return centred / (variance.sqrt() + epsilon)


class SeamlessMel(nn.Module):
    """Kaldi's log-mel features as transformers' SeamlessM4TFeatureExtractor.

    Arguments
    ---------
    n_stacked : int
        Frames that are put side by side as one.

    Example
    -------
    >>> feats, lengths = SeamlessMel()(
    ...     torch.randn(2, 16000), torch.tensor([1.0, 0.5])
    ... )
    >>> feats.shape, lengths
    (torch.Size([2, 49, 160]), tensor([49, 24]))
    """

    n_fft, window_samples, hop_of_frames = 512, 400, 160  # samples

    def __init__(
        self, sample_rate: int = 16000, n_mels: int = 80, n_stacked: int = 2
    ) -> None:
        super().__init__()
        self.n_features = n_mels * n_stacked
        self.n_stacked = n_stacked
        self.hop_samples = self.hop_of_frames * n_stacked
        filters = mel_filters(
            self.n_fft,
            n_mels,
            sample_rate,
            20.0,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        self.register_buffer("filters", filters, persistent=False)
        # Kaldi's own window, "povey".
        window = symmetric_hann(self.window_samples).pow(0.85)
        self.register_buffer("window", window, persistent=False)

    @property
    def mel_shape(self) -> tuple[int, int]:
        """Frequencies and mel bands of the filters."""
        return tuple(self.filters.shape)

    @fwd_default_precision(cast_inputs=torch.float32)
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
            Features [B, T, F], each band of mean 0 and deviation 1 over an
            utterance, and valid frames [B]: a last frame that has no other
            beside it is none.
        """
        samples = absolute_lengths(wav_lens, wavs.shape[1])
        window, hop = self.window_samples, self.hop_of_frames
        missing = max(0, self.min_samples(1) - wavs.shape[1])
        x = self._log_mels(F.pad(wavs, (0, missing)).unfold(1, window, hop))
        lengths = ((samples - window) // hop + 1).clamp(min=self.n_stacked)
        x = normalised(x, lengths, 1e-7)
        x = x.unfold(1, self.n_stacked, self.n_stacked)  # [B, T, F, n]
        x = x.transpose(2, 3).flatten(2)
        lengths = lengths // self.n_stacked
        padding = padding_mask(lengths, x.shape[1]).unsqueeze(-1)
        return x.masked_fill(padding, 0.0), lengths

    def _log_mels(self, frames: torch.Tensor) -> torch.Tensor:
        """[B, T, samples] -> [B, T, F]; levels are those of 16 bits."""
        x = frames * 2**15
        x = x - x.mean(-1, keepdim=True)
        before = torch.cat((x[..., :1], x[..., :-1]), dim=-1)
        x = (x - 0.97 * before) * self.window
        power = torch.view_as_real(torch.fft.rfft(x, self.n_fft))
        mels = power.square().sum(-1) @ self.filters
        return mels.clamp(min=torch.finfo(torch.float32).eps).log()

    def min_samples(self, n_frames: int) -> int:
        """The shortest audio that gives so many frames."""
        n_single = max(2, n_frames * self.n_stacked)
        return self.window_samples + (n_single - 1) * self.hop_of_frames


def mel_filters(
    n_fft: int, n_mels: int, sample_rate: int, lowest: float, **options: object
) -> torch.Tensor:
    """transformers' filters up to half the rate, [frequencies, F]."""
    try:
        from transformers.audio_utils import mel_filter_bank
    except ImportError as error:
        raise ImportError(
            "these features need transformers: pip install -e '.[wavlm]'"
        ) from error
    filters = mel_filter_bank(
        n_fft // 2 + 1, n_mels, lowest, sample_rate / 2, sample_rate, **options
    )
    return torch.from_numpy(filters).float()
