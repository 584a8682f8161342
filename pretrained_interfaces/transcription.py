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
        Mean over the frames of the likeliest token's probability, in
        (0, 1].
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
