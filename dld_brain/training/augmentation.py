"""What a batch's audio becomes in training: augmented, and no speech."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Optional

import numpy as np
import torch

from dld_brain.audio.no_speech import AROUND, mix_in, put_around
from speechbrain.dataio.batch import PaddedData


class Augmentation(NamedTuple):
    """SpeechBrain's augmenters of waveforms and of features, and no speech.

    Arguments
    ---------
    no_speech : float
        Share of the utterances in whose place there is none; see
        dld_brain.audio.no_speech.
    no_speech_around : float
        Share of the batches with some before and behind each utterance, from
        the second epoch on.
    longest : float
        Nothing is made longer than this, s: the longest utterance.
    """

    wav: Optional[Callable] = None
    feats: Optional[Callable] = None
    no_speech: float = 0.0
    no_speech_around: float = 0.0
    longest: float = math.inf

    def mix_in(self, batch: Any, rng: np.random.Generator) -> None:
        """Puts what is no speech, with no word to say, for some utterances.

        Arguments
        ---------
        batch : PaddedBatch
            Its `sig` and `targets` change.
        """
        if not self.no_speech:
            return
        (wavs, wav_lens), (targets, target_lens) = batch.sig, batch.targets
        wavs, is_kept = mix_in(wavs, wav_lens, self.no_speech, rng)
        batch.sig = PaddedData(wavs, wav_lens)
        batch.targets = PaddedData(targets, target_lens * is_kept)

    def put_around(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor,
        sample_rate: int,
        epoch: int,
        rng: np.random.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Puts what is no speech around the utterances of some batches.

        Not in the first epoch, which finds out where words are: with it, 0.3
        to 4 points of WER more are lost on clips without.

        Arguments
        ---------
        wavs : torch.Tensor
            Waveforms, [B, S].
        wav_lens : torch.Tensor
            Lengths relative to S, [B], in (0, 1].
        sample_rate : int
            Rate of the audio, Hz.
        epoch : int
            From 1.
        rng : np.random.Generator
            That of `mix_in`, as it was before.

        Returns
        -------
        tuple of torch.Tensor
            Waveforms and relative lengths; as they were in other batches.
        """
        # Not the numbers that `mix_in` draws: else one would decide both.
        rng = rng.spawn(1)[0]
        if epoch == 1 or rng.random() >= self.no_speech_around:
            return wavs, wav_lens
        room = self.longest - wavs.shape[1] / sample_rate
        seconds = min(rng.uniform(0, AROUND), max(0.0, room))
        return put_around(wavs, wav_lens, round(seconds * sample_rate), rng)

    def of_waveforms(
        self, wavs: torch.Tensor, wav_lens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augments waveforms [B, S] of relative lengths [B]."""
        if self.wav is None:
            return wavs, wav_lens
        return self.wav(wavs, wav_lens)

    def of_features(
        self, feats: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """Augments features [B, T, F] of so many valid frames [B]."""
        if self.feats is None:
            return feats
        return self.feats(feats, lengths / feats.shape[1])[0]
