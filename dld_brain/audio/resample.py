"""Resampling piece by piece: an hour takes no more memory than its result."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from speechbrain.augment.time_domain import Resample

#: Samples of the lower rate on each side that a filter of torchaudio's sees
#: (7 by default), and some.
REACH = 16


def resampled(
    pieces: Iterable[np.ndarray], rate: int, to_rate: int
) -> Iterator[np.ndarray]:
    """Gives what resampling all pieces in one would give.

    Arguments
    ---------
    pieces : iterable of numpy.ndarray
        Audio from its start, [s] each.

    Example
    -------
    >>> x = np.random.default_rng(0).standard_normal(50000, np.float32)
    >>> parts = [*resampled(np.split(x, 100), 44100, 16000)]
    >>> whole = Resample(44100, 16000)(torch.from_numpy(x)[None])[0]
    >>> len(parts), bool(np.allclose(np.concatenate(parts), whole, atol=1e-5))
    (100, True)
    """
    if rate == to_rate:
        yield from pieces
        return
    resample = Resample(rate, to_rate)
    common = math.gcd(rate, to_rate)
    p, q = rate // common, to_rate // common  # p samples become q
    context = p * math.ceil(REACH * max(1.0, rate / to_rate) / p)
    held, left = np.zeros(0, np.float32), 0  # `left` of it were seen before
    for piece in pieces:
        held = np.concatenate((held, piece))
        n = (len(held) - context) // p * p
        if n > left:
            yield _run(resample, held)[left // p * q : n // p * q]
            start = max(0, n - context)
            held, left = held[start:], n - start
    yield _run(resample, held)[left // p * q :]


def _run(resample: Resample, samples: np.ndarray) -> np.ndarray:
    """Resamples samples, [s]."""
    return resample(torch.from_numpy(samples).unsqueeze(0)).squeeze(0).numpy()
