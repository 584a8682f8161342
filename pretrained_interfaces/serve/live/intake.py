"""Bytes of a WebSocket become samples at the model's rate."""

import numpy as np
import soxr

#: NumPy's types of the formats.
TYPES = {"pcm_s16le": "<i2", "f32le": "<f4"}
#: Samples of floats are in [-1, 1]: what is so far above has another scale.
LARGEST = 8.0


class Intake:
    """What one stream sends, in its own format and rate.

    Arguments
    ---------
    rate, to_rate : int
        Of what comes, and of the model, Hz.
    format : str
        pcm_s16le or f32le; mono.

    Example
    -------
    >>> Intake(16000, 16000, "pcm_s16le").samples(b"\\x00\\x40")
    array([0.5], dtype=float32)
    """

    def __init__(self, rate: int, to_rate: int, format: str) -> None:
        self.type = np.dtype(TYPES[format])
        self.rate = rate
        self._resampler = None
        if rate != to_rate:
            self._resampler = soxr.ResampleStream(
                rate, to_rate, 1, dtype="float32"
            )

    def seconds(self, data: bytes) -> float:
        """Length of so many bytes, s.

        Raises
        ------
        ValueError
            If they are no whole samples.
        """
        width = self.type.itemsize
        if len(data) % width:
            raise ValueError(
                f"a frame must hold whole samples of {width} bytes, but has "
                f"{len(data)} bytes"
            )
        return len(data) / width / self.rate

    def samples(self, data: bytes, is_last: bool = False) -> np.ndarray:
        """Samples of some bytes, float32 [S], in [-1, 1].

        Arguments
        ---------
        is_last : bool
            Whether what the resampler holds back comes, too.

        Raises
        ------
        ValueError
            If they are not finite, or of another scale.
        """
        found = np.frombuffer(data, self.type).astype(np.float32)
        if self.type.kind == "i":
            found = found / np.float32(2**15)
        else:
            _check(found)
        if self._resampler is None:
            return found
        return self._resampler.resample_chunk(found, last=is_last)


def _check(samples: np.ndarray) -> None:
    """Raises unless floats are samples."""
    if not len(samples):
        return
    most = float(np.abs(samples).max())
    if not most <= LARGEST:  # NaN is not
        raise ValueError(
            f"samples of f32le must be in [-1, 1], but reach {most:.3g}"
        )
