"""Whisper's features: what its weights were trained to hear."""

import torch
import torch.nn.functional as F
from torch import nn
from torchaudio.functional import melscale_fbanks

from dld_brain.audio.lengths import absolute_lengths, padding_mask
from speechbrain.processing.features import STFT, spectral_magnitude
from speechbrain.utils.autocast import fwd_default_precision

#: What Whisper hears, Hz; and the longest audio that it has positions for, s.
SAMPLE_RATE, MAX_SECONDS = 16000, 30


class WhisperMel(nn.Module):
    """Log-mel features as OpenAI's, over the true length of an utterance.

    `log_mel_spectrogram` of https://github.com/openai/whisper: log10 of the
    mel power, at least 8 below the maximum, (x + 4) / 4. OpenAI fills audio
    up with silence to 30 s; here only the frames of the utterance are made,
    each as it is there.

    Arguments
    ---------
    sample_rate : int
        Rate of the audio, Hz; 16000.
    n_mels : int
        Mel bands: 80; 128 for large-v3.

    Raises
    ------
    ValueError
        If the rate is another.

    Example
    -------
    >>> feats, lengths = WhisperMel()(
    ...     torch.randn(2, 16000), torch.tensor([1.0, 0.5])
    ... )
    >>> feats.shape, lengths
    (torch.Size([2, 100, 80]), tensor([100,  50]))
    """

    def __init__(
        self, sample_rate: int = SAMPLE_RATE, n_mels: int = 80
    ) -> None:
        super().__init__()
        self.n_features = n_mels
        if sample_rate != SAMPLE_RATE:
            raise ValueError(
                f"`sample_rate` must be {SAMPLE_RATE}, which Whisper was "
                f"trained with, but is {sample_rate}"
            )
        n_fft = 400
        self.compute_STFT = STFT(
            sample_rate, n_fft=n_fft, window_fn=torch.hann_window, center=False
        )
        self.hop_samples = self.compute_STFT.hop_length
        self.half_window = n_fft // 2
        filters = melscale_fbanks(
            n_fft // 2 + 1, 0.0, 8000.0, n_mels, sample_rate, "slaney", "slaney"
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
            Features [B, T, F] and valid frames [B].

        Raises
        ------
        ValueError
            If the audio is longer than 30 s.
        """
        check_seconds(wavs.shape[1])
        samples = absolute_lengths(wav_lens, wavs.shape[1])
        # The last frame of OpenAI's is left out, here as there.
        lengths = (samples // self.hop_samples).clamp(min=1)
        stft = self.compute_STFT(self._padded(wavs, samples))[:, :-1]
        mels = spectral_magnitude(stft) @ self.filters
        x = mels.clamp(min=1e-10).log10()
        padding = padding_mask(lengths, x.shape[1]).unsqueeze(-1)
        top = x.masked_fill(padding, -10.0).amax(dim=(1, 2), keepdim=True)
        x = (torch.maximum(x, top - 8.0) + 4.0) / 4.0
        return x.masked_fill(padding, 0.0), lengths

    def _padded(
        self, wavs: torch.Tensor, samples: torch.Tensor
    ) -> torch.Tensor:
        """Half a window on either side, [B, S] -> [B, S + 400].

        Mirrored in front; behind, silence, as OpenAI's has it, but for audio
        of 30 s, which is mirrored there as well.
        """
        half = self.half_window
        x = wavs.masked_fill(padding_mask(samples, wavs.shape[1]), 0.0)
        x = F.pad(x, (0, max(0, self.min_samples(1) - x.shape[1])))
        n_max = x.shape[1]
        x = F.pad(x.unsqueeze(1), (half, half), mode="reflect").squeeze(1)
        is_whole = samples == MAX_SECONDS * SAMPLE_RATE
        ends = torch.where(is_whole, n_max + 2 * half, samples + half)
        return x.masked_fill(padding_mask(ends, x.shape[1]), 0.0)

    def min_samples(self, n_frames: int) -> int:
        """The shortest audio that gives so many frames, and can be mirrored."""
        return max(n_frames * self.hop_samples, self.half_window + 1)


def check_seconds(n_samples: int) -> None:
    """Raises where audio is longer than Whisper has positions for.

    Example
    -------
    >>> check_seconds(31 * SAMPLE_RATE)
    Traceback (most recent call last):
    ...
    ValueError: audio must have at most 30 s for Whisper, but has 31.00 s: ...
    """
    if torch.compiler.is_exporting():
        return
    seconds = n_samples / SAMPLE_RATE
    if seconds > MAX_SECONDS:
        raise ValueError(
            f"audio must have at most {MAX_SECONDS} s for Whisper, but has "
            f"{seconds:.2f} s: cut it at pauses, or take an encoder without "
            f"this limit (Conformer, WavLM)"
        )
