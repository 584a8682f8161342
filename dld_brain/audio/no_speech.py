"""What is no speech, mixed into training: the answer to it is no word."""

import numpy as np
import torch

from dld_brain.audio.lengths import absolute_lengths

KINDS = ("zeros", "constant", "noise")
#: Level of noise, dB of full scale (root mean square): from what 16 bits
#: hardly hold (their step is -90) to what covers speech (about -25).
LEVELS = (-80.0, -20.0)
#: The most that is put around an utterance, s.
AROUND = 2.0


def no_speech(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Silence, a constant, or white noise of any level.

    Returns
    -------
    np.ndarray
        Samples in [-1, 1], [S].

    Example
    -------
    >>> no_speech(4000, np.random.default_rng(0)).shape
    (4000,)
    """
    kind = KINDS[rng.integers(len(KINDS))]
    if kind == "zeros":
        return np.zeros(n_samples, np.float32)
    if kind == "constant":
        return np.full(n_samples, rng.uniform(-1, 1), np.float32)
    amplitude = 10 ** (rng.uniform(*LEVELS) / 20)
    noise = amplitude * rng.standard_normal(n_samples, np.float32)
    return noise.clip(-1, 1).astype(np.float32)


def mix_in(
    wavs: torch.Tensor,
    wav_lens: torch.Tensor,
    share: float,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Puts what is no speech into the place of some utterances.

    Arguments
    ---------
    wavs : torch.Tensor
        Waveforms, [B, S].
    wav_lens : torch.Tensor
        Lengths relative to S, [B], in (0, 1].
    share : float
        How likely each utterance is replaced, by as many samples.

    Returns
    -------
    tuple of torch.Tensor
        Waveforms [B, S], and which of them are as they were, [B].

    Example
    -------
    >>> wavs, is_kept = mix_in(
    ...     torch.ones(2, 9), torch.ones(2), 0.5, np.random.default_rng(0)
    ... )
    >>> is_kept
    tensor([ True, False])
    """
    is_kept = torch.from_numpy(rng.random(len(wavs)) >= share)
    lengths = absolute_lengths(wav_lens, wavs.shape[1]).tolist()
    wavs = wavs.clone()
    for i in (~is_kept).nonzero()[:, 0].tolist():
        samples = torch.from_numpy(no_speech(lengths[i], rng))
        wavs[i, : lengths[i]] = samples.to(wavs)
    return wavs, is_kept.to(wavs.device)


def put_around(
    wavs: torch.Tensor,
    wav_lens: torch.Tensor,
    n_samples: int,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Puts what is no speech before and behind each utterance of a batch.

    All of a batch get as much, which adds no padding, and each has a share
    of its own in front.

    Arguments
    ---------
    wavs : torch.Tensor
        Waveforms, [B, S].
    wav_lens : torch.Tensor
        Lengths relative to S, [B], in (0, 1].
    n_samples : int
        How much longer each becomes.

    Returns
    -------
    tuple of torch.Tensor
        Waveforms [B, S + n_samples], and relative lengths [B].

    Example
    -------
    >>> wavs, lens = put_around(
    ...     torch.ones(2, 6),
    ...     torch.tensor([1, 0.5]),
    ...     4,
    ...     np.random.default_rng(0),
    ... )
    >>> wavs.shape, lens
    (torch.Size([2, 10]), tensor([1.0000, 0.7000]))
    """
    lengths = absolute_lengths(wav_lens, wavs.shape[1])
    longer = wavs.new_zeros(len(wavs), wavs.shape[1] + n_samples)
    for wav, found, n in zip(wavs, longer, lengths.tolist()):
        around = torch.from_numpy(no_speech(n_samples, rng)).to(wavs)
        start = int(rng.integers(n_samples + 1))
        parts = (around[:start], wav[:n], around[start:])
        found[: n + n_samples] = torch.cat(parts)
    lens = (lengths + n_samples) / longer.shape[1]
    return longer, lens.to(wav_lens.dtype)
