"""What a transcription gives beside the words."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Optional

from dld_brain.audio.interrupted import keeping
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.tasks.confidence import mean_confidence, mean_entropy
from pretrained_interfaces.windowed import Stretch


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
        the frames of the likeliest token's probability; 1 without speech,
        where no frame was in doubt.
    entropy : float
        Mean entropy of the posterior of a frame, nats; 0 without speech.
    layers_computed : int
        Layers that were computed in all: with `Escalate`, those of the
        depths tried, less what a deeper one took over.
    n_windows : int
        Windows that the audio was encoded in: 0 without speech, for which no
        layer runs; of more than one, the layers are those of the window that
        ran deepest.
    """

    text: str
    n_layers: int
    layers: tuple[int, ...]
    audio_seconds: float
    compute_seconds: float
    confidence: float
    entropy: float
    layers_computed: int
    n_windows: int = 1

    @property
    def rtf(self) -> float:
        """Real-time factor: compute seconds for a second of audio."""
        return self.compute_seconds / self.audio_seconds

    def __str__(self) -> str:
        return self.text

    def __getitem__(self, name: str) -> Any:
        """`["text"]`, as Hugging Face's pipelines give their answers."""
        return getattr(self, name)


def transcription(
    decode: Callable[[EncoderOutput], list[str]],
    stretches: Iterable[Stretch],
    audio_seconds: float,
    on_text: Optional[Callable[[str], None]] = None,
) -> Transcription:
    """What was said in some stretches of speech, one after another.

    Words never reach over a pause: texts are joined with a space.

    Arguments
    ---------
    on_text : callable, optional
        Given the text of each stretch as soon as there is one.

    Raises
    ------
    Interrupted
        At Ctrl-C, with the texts that there are.
    """
    texts: list[str] = []
    with keeping(texts):
        return _listened(decode, stretches, audio_seconds, texts, on_text)


def _listened(
    decode: Callable[[EncoderOutput], list[str]],
    stretches: Iterable[Stretch],
    audio_seconds: float,
    texts: list[str],
    on_text: Optional[Callable[[str], None]],
) -> Transcription:
    """Fills texts, and says what they took."""
    found = Transcription("", 0, (), audio_seconds, 0.0, 0.0, 0.0, 0)
    n_frames = 0.0
    for out, gates, n_computed in stretches:
        texts += decode(out)
        if on_text is not None and texts[-1]:
            on_text(texts[-1])
        n_frames += float(out.lengths)
        share = float(out.lengths) / n_frames
        found.confidence += share * (
            float(mean_confidence(out)) - found.confidence
        )
        found.entropy += share * (float(mean_entropy(out)) - found.entropy)
        if gates.depth >= found.n_layers:
            found.n_layers, found.layers = gates.depth, gates.layers
        found.layers_computed = max(found.layers_computed, n_computed)
    found.text = " ".join(text for text in texts if text)
    if not texts:
        found.confidence = 1.0
    return found
