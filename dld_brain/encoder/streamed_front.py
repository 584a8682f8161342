"""The front of a stream: samples as they come -> stem, chunk by chunk.

SpeechBrain's StreamingFeatureWrapper takes its audio in pieces of one size
and begins with zeros; here samples come in any number, and a chunk is what
the same audio gives as a file.
"""

import copy
from collections.abc import Iterator, Mapping
from math import ceil, inf
from typing import Optional

import torch
from torch import nn

from dld_brain.audio.features import LogMel
from dld_brain.encoder.conformer import ConvStem, sinusoidal_positions
from speechbrain.processing.features import spectral_magnitude


class StreamedFront:
    """Features and stem of one stream; keeps the samples of a chunk.

    Of features that are cut off below the loudest of an utterance
    (`LogMel`'s `top_db`), a frame is cut off below the loudest so far.

    Arguments
    ---------
    modules : mapping of str to torch.nn.Module
        compute_features, normalize and model, in eval mode.
    size : int
        Frames T' of a chunk, C.

    Raises
    ------
    ValueError
        If the features need the whole utterance.
    """

    def __init__(self, modules: Mapping[str, nn.Module], size: int) -> None:
        self.features, self.normalize = (
            modules["compute_features"],
            modules["normalize"],
        )
        self.stem = modules["model"].stem
        check_front(self.features, self.normalize, self.stem)
        #: Without what depends on the whole utterance.
        self.mel = copy.deepcopy(self.features.compute_fbanks)
        self.mel.top_db = inf
        self.size = size
        self.hop = self.features.hop_samples
        #: Samples on each side of a frame's centre.
        self.reach = self.features.compute_STFT.n_fft // 2
        #: Frames F in front of those of a chunk that are computed in vain.
        self.n_before = ceil(self.reach / self.hop)
        #: Samples from the first frame of `n_before` on.
        self.samples = torch.zeros(self.n_before * self.hop)
        self.parts: list[torch.Tensor] = []
        self.n_waiting = len(self.samples)
        self.n_fed = 0
        self.n_done = 0  # chunks
        self.first = 0  # position of the next frame
        self.loudest: Optional[torch.Tensor] = None

    @property
    def n_frames(self) -> int:
        """Frames F of a chunk, with those that it shares with the next."""
        return self.stem.stride * (self.size - 1) + self.stem.min_frames

    @property
    def n_needed(self) -> int:
        """Samples that a chunk is computed of."""
        return (self.n_before + self.n_frames - 1) * self.hop + self.reach

    @property
    def lookahead(self) -> int:
        """Samples behind a chunk's last that it waits for."""
        n_chunk = self.size * self.stem.stride * self.hop
        return self.n_needed - self.n_before * self.hop - n_chunk

    def feed(self, samples: torch.Tensor) -> None:
        """Takes samples, [S]."""
        self.parts.append(samples)
        self.n_waiting += len(samples)
        self.n_fed += len(samples)

    def chunks(self) -> Iterator[torch.Tensor]:
        """The chunks that can be computed, [1, C, D] each."""
        while self.n_waiting >= self.n_needed:
            yield self._chunk(self.n_frames)

    def finish(self) -> Iterator[torch.Tensor]:
        """The last chunk, [1, up to C, D], where there is one."""
        left = self.n_frames_left
        while self.n_fed and left >= self.stem.min_frames:
            missing = max(0, self.n_needed - self.n_waiting)
            self.parts.append(torch.zeros(missing))
            self.n_waiting += missing
            yield self._chunk(min(left, self.n_frames))
            left = self.n_frames_left

    @property
    def n_frames_left(self) -> int:
        """Frames F of what was fed, from the next chunk's first on."""
        done = self.n_done * self.size * self.stem.stride
        return self.n_fed // self.hop + 1 - done

    @torch.no_grad()
    def _chunk(self, n_frames: int) -> torch.Tensor:
        """Computes a chunk of so many frames F."""
        self.samples = torch.cat((self.samples, *self.parts))
        self.parts = []
        device = next(self.stem.parameters()).device
        samples = self.samples[: self.n_needed].to(device)
        feats = self._log_mel(samples)[:, self.n_before :][:, :n_frames]
        feats = self._cut_off(feats)
        rel_lens = torch.ones(1, device=device)
        x = self.stem.subsample(self.normalize(feats, rel_lens))
        if self.stem.has_positions:
            x = x + sinusoidal_positions(*x.shape[1:], self.first).to(x)
        self.first += x.shape[1]
        self.n_done += 1
        n_past = self.size * self.stem.stride * self.hop
        self.samples = self.samples[n_past:].clone()
        self.n_waiting = len(self.samples)
        return x

    def _log_mel(self, samples: torch.Tensor) -> torch.Tensor:
        """Log-mel features that no frame behind changes, [S] -> [1, T, F]."""
        spectrum = self.features.compute_STFT(samples.unsqueeze(0))
        return self.mel(spectral_magnitude(spectrum))

    def _cut_off(self, feats: torch.Tensor) -> torch.Tensor:
        """Nothing quieter than `top_db` below the loudest so far."""
        top_db = self.features.compute_fbanks.top_db
        if top_db == inf:
            return feats
        peaks = feats.amax(2)  # [1, T]
        if self.loudest is not None:
            peaks = torch.cat((self.loudest, peaks), 1)
        loudest = peaks.cummax(1).values
        n_next = self.size * self.stem.stride  # the next chunk's first frame
        if self.loudest is not None:
            loudest = loudest[:, 1:]
        last = min(n_next, loudest.shape[1]) - 1
        self.loudest = loudest[:, last : last + 1].clone()
        return torch.max(feats, loudest.unsqueeze(2) - top_db)


def check_front(
    features: nn.Module, normalize: nn.Module, stem: nn.Module
) -> None:
    """Raises unless features and stem can be computed as audio comes.

    Raises
    ------
    ValueError
        If the features need the whole utterance.
    """
    if not isinstance(features, LogMel) or not isinstance(stem, ConvStem):
        raise ValueError(
            "a model that runs in chunks must be a Conformer of hparams/"
            "conformer_*.yaml, whose stem sees 7 frames, but is another: "
            "stream it by a sliding window (`window=10`)"
        )
    if normalize.enabled and normalize.norm_type != "global":
        raise ValueError(
            f"`norm_type` of the features must be global for a stream, but is "
            f"{normalize.norm_type}, which needs the whole utterance: train "
            f"with global"
        )
