"""What a transcription gives beside the words."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.tasks.confidence import mean_confidence, mean_entropy
from pretrained_interfaces.timed import Segment, Word
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
    segments : list of Segment
        What was said between pauses, in its order.
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
    segments: list[Segment] = field(default_factory=list)

    @property
    def words(self) -> list[Word]:
        """The words with their times, in their order.

        Raises
        ------
        ValueError
            If they were not asked for.
        """
        found: list[Word] = []
        for segment in self.segments:
            if segment.words is None:
                raise ValueError(
                    "`words` were not asked for: call transcribe(..., "
                    "word_times=True), of a model with a CTC head"
                )
            found += segment.words
        return found

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
) -> Transcription:
    """What was said in some stretches of speech, one after another.

    Words never reach over a pause: texts are joined with a space.
    """
    texts: list[str] = []
    found = Transcription("", 0, (), audio_seconds, 0.0, 0.0, 0.0, 0)
    n_frames = 0.0
    for out, gates, n_computed in stretches:
        texts += decode(out)
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
