"""What a transcription gives beside the words."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from dld_brain.audio.interrupted import keeping
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.tasks import Task
from dld_brain.tasks.alignment import WordSpan
from dld_brain.tasks.confidence import mean_confidence, mean_entropy
from pretrained_interfaces.times.timed import Segment, Word, segments, words_in
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
                    "word_times=True)"
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


class Clock(NamedTuple):
    """What turns samples and frames into seconds.

    Arguments
    ---------
    rate : int
        Samples a second.
    step : int
        Samples from a frame to the next.
    audio_seconds : float
        Length of the audio, s.
    """

    rate: int
    step: int
    audio_seconds: float

    def starts(self, out: EncoderOutput, first: int) -> list[float]:
        """When each frame starts, s, of an output for samples from there on."""
        n_frames = int(out.lengths if out.frames is None else out.frames)
        return [(first + k * self.step) / self.rate for k in range(n_frames)]

    def words(
        self, spans: Iterable[WordSpan], starts: Sequence[float]
    ) -> list[Word]:
        """Words by time; see `words_in`."""
        seconds = self.step / self.rate
        return words_in(spans, starts, seconds, self.audio_seconds)


def transcription(
    task: Task,
    stretches: Iterable[Stretch],
    clock: Clock,
    word_times: bool = False,
    on_text: Optional[Callable[[str], None]] = None,
) -> Transcription:
    """What was said in some stretches of speech, one after another.

    Words never reach over a pause: texts are joined with a space.

    Arguments
    ---------
    word_times : bool
        Whether words are timed, too.
    on_text : callable, optional
        Given the text of each stretch as soon as there is one.

    Raises
    ------
    Interrupted
        At Ctrl-C, with the texts that there are.
    """
    texts: list[str] = []
    found = Transcription("", 0, (), clock.audio_seconds, 0.0, 0.0, 0.0, 0)
    n_frames = 0.0
    with keeping(texts):
        for stretch in stretches:
            text = " ".join(task.decode(stretch.out))
            texts.append(text)
            if on_text is not None and text:
                on_text(text)
            found.segments += _segments(task, stretch, text, clock, word_times)
            n_frames = add_stretch(found, stretch, n_frames)
    found.text = " ".join(text for text in texts if text)
    if not texts:
        found.confidence = 1.0
    return found


def add_stretch(
    found: Transcription, stretch: Stretch, n_frames: float
) -> float:
    """Adds to a transcription what a stretch took, and how sure it is.

    Arguments
    ---------
    n_frames : float
        Frames of the stretches before.

    Returns
    -------
    float
        Frames with these.
    """
    out, gates = stretch.out, stretch.gates
    n_frames += float(out.lengths)
    share = float(out.lengths) / n_frames
    found.confidence += share * (float(mean_confidence(out)) - found.confidence)
    found.entropy += share * (float(mean_entropy(out)) - found.entropy)
    if gates.depth >= found.n_layers:
        found.n_layers, found.layers = gates.depth, gates.layers
    found.layers_computed = max(found.layers_computed, stretch.n_computed)
    return n_frames


def _segments(
    task: Task, stretch: Stretch, text: str, clock: Clock, word_times: bool
) -> list[Segment]:
    """The segments of a stretch of speech: one, but for pauses of words."""
    if not text:
        return []
    spans = task.words(stretch.out, [text]) if word_times else None
    if spans is None:
        start, stop = stretch.start / clock.rate, stretch.stop / clock.rate
        return [Segment(text, start, stop)]
    starts = clock.starts(stretch.out, stretch.start)
    return [*segments(clock.words(spans[0], starts))]
