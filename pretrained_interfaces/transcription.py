"""What a transcription gives beside the words."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Transcription:
    """A transcript, and what it took.

    Arguments
    ---------
    audio_seconds : float
        Length of the audio, s.
    compute_seconds : float
        Time from waveform to text, s.
    confidence : float
        Share of the words that is to be expected to be right, in (0, 1):
        what 1 - WER was in the mean, on development speech, of answers as
        sure at this depth. Of a model that was not evaluated, the mean over
        the frames of the likeliest token's probability.
    entropy : float
        Mean entropy of the posterior of a frame, nats.
    layers_computed : int
        Layers that were computed in all: with `Escalate`, those of the
        depths tried, less what a deeper one took over.
    """

    text: str
    n_layers: int
    layers: tuple[int, ...]
    audio_seconds: float
    compute_seconds: float
    confidence: float
    entropy: float
    layers_computed: int

    @property
    def rtf(self) -> float:
        """Real-time factor: compute seconds for a second of audio."""
        return self.compute_seconds / self.audio_seconds

    def __str__(self) -> str:
        return self.text

    def __getitem__(self, name: str) -> Any:
        """`["text"]`, as Hugging Face's pipelines give their answers."""
        return getattr(self, name)
