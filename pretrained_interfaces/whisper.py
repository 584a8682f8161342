"""A Whisper at the depth that one asks for, decoder and all."""

import copy
from collections.abc import Sequence
from typing import Any, Optional

import torch

from dld_brain.audio.whisper_mel import MAX_SECONDS
from dld_brain.audio.window_limits import Limits
from dld_brain.audio.windows import Window, quietest
from dld_brain.gates.gates import Gates
from dld_brain.tasks.seq2seq import Seq2SeqTask
from pretrained_interfaces.asr import DynamicEncoderASR
from pretrained_interfaces.depths.depth import Fixed
from pretrained_interfaces.times.aligning import as_written, with_words
from pretrained_interfaces.transcription import Transcription, add_stretch
from pretrained_interfaces.windowed import Stretch

#: What a Whisper has positions for, s.
HEARS = float(MAX_SECONDS)
#: Longer pauses part what it hears, s: in long silence it makes words up.
OVER = 2.0


class DynamicWhisperASR(DynamicEncoderASR):
    """A Whisper that runs as many layers as the caller says.

    `transcribe`, `transcribe_file`, `transcribe_batch`, budgets and
    calibration are those of `DynamicEncoderASR`; `n_layers` are the
    encoder's, `n_decoder_layers` the decoder's. Text is as a Whisper writes
    it, and words are timed by what the decoder looked at. A stretch of speech
    that has no pause for longer than a window is cut where it is softest.

    Example
    -------
    >>> asr = DynamicWhisperASR.from_hparams(
    ...     source="results/MiniLibriSpeech/whisper_any_depth/1986/pretrained"
    ... )  # doctest: +SKIP
    >>> asr.transcribe_file("a.wav", n_layers=3)  # doctest: +SKIP
    'Turn on the kitchen light.'
    """

    TASK = Seq2SeqTask.name
    #: Gates of the decoder; all open.
    decoder_gates: Optional[Gates] = None

    def set_decoding_function(self) -> None:
        """Has the task decode; SpeechBrain calls this once."""
        self.task = Seq2SeqTask(self.tokenizer).timed_by(self.mods.model.head)

    @property
    def n_decoder_total(self) -> int:
        """Layers of the decoder."""
        return self.mods.model.head.n_total

    def with_decoder_layers(self, n_layers: Optional[int]) -> Any:
        """The same model, its decoder at another depth.

        Arguments
        ---------
        n_layers : int, optional
            The first so many less one, and the last; all if not given.

        Raises
        ------
        ValueError
            If the decoder has no such depth.

        Returns
        -------
        DynamicWhisperASR
            Of the same weights.
        """
        found = copy.copy(self)
        found.decoder_gates = self.mods.model.head.gates_for(n_layers)
        return found

    def transcribe(
        self,
        audio: Any,
        *args: Any,
        n_decoder_layers: Optional[int] = None,
        **options: Any,
    ) -> Transcription:
        """Transcribes audio; see `DynamicEncoderASR.transcribe`.

        Arguments
        ---------
        n_decoder_layers : int, optional
            Layers of the decoder that run; all if not given.
        """
        if n_decoder_layers is not None:
            model = self.with_decoder_layers(n_decoder_layers)
            return model.transcribe(audio, *args, **options)
        return super().transcribe(audio, *args, **options)

    def gates(self, n_layers: Optional[int] = None) -> Gates:
        """Gates of a depth, those of the decoder with them."""
        return super().gates(n_layers).with_decoder(self.decoder_gates)

    def limits(
        self,
        window_seconds: Optional[float] = None,
        overlap_seconds: Optional[float] = None,
    ) -> Limits:
        """Limits of windows; none is longer than a Whisper hears.

        A decoder writes what follows from what it has written: speech is
        heard together over pauses that are not long.
        """
        if isinstance(window_seconds, (int, float)) and window_seconds > HEARS:
            raise ValueError(
                f"`window_seconds` must be at most {HEARS:g}, which a Whisper "
                f"has positions for, but is {window_seconds:g}"
            )
        found = super().limits(window_seconds, overlap_seconds)
        return found._replace(over=round(OVER * self.hparams.sample_rate))

    def find_windows(
        self, waveform: torch.Tensor, *args: Any, **options: Any
    ) -> list[Window]:
        """Windows that do not overlap: their texts are joined, not frames.

        Neighbours are parted where what both have seen is softest.
        """
        windows = super().find_windows(waveform, *args, **options)
        found: list[Window] = []
        rate = self.hparams.sample_rate
        for i, window in enumerate(windows):
            start, stop = window.start, window.stop
            if i and not windows[i - 1].is_last:
                start = found[-1].stop
            if not window.is_last:
                both = windows[i + 1].start  # have seen what is behind it
                samples = waveform[both:stop].cpu().numpy()
                stop = both + quietest(samples, rate)
            found.append(Window(start, stop, True))
        return found

    def windows_to_align(
        self, waveform: torch.Tensor, name: str, vad: Optional[str]
    ) -> list[Window]:
        """The whole audio as one window; none without speech.

        Raises
        ------
        ValueError
            If it is longer than a Whisper hears at once.
        """
        seconds = len(waveform) / self.hparams.sample_rate
        if seconds > HEARS:
            raise ValueError(
                f"audio must be at most {HEARS:g} s to have a text laid on it "
                f"by a Whisper, but {name} has {seconds:.1f} s: align it in "
                f"parts, or transcribe it with word_times=True"
            )
        return self.find_windows(waveform, name, vad, windowed=False)

    def lay(
        self,
        text: str,
        ids: Sequence[int],
        waveform: torch.Tensor,
        windows: list[Window],
        how: Fixed,
    ) -> Transcription:
        """Has the decoder read a text, and times it by what it looked at."""
        gates, clock = self.gates(how.n_layers), self.clock(waveform)
        wavs, told = waveform.unsqueeze(0), torch.tensor([[*ids]])
        feats, lengths = self.features(wavs, torch.ones(1))
        sizes = torch.tensor([len(ids)])
        with self.inference_ctx:
            (out,) = self.mods.model(
                feats, lengths, [gates], **self.task.given(told, sizes)
            )
        (window,) = windows
        stretch = Stretch(
            out._replace(tokens=told),
            gates,
            gates.depth,
            window.start,
            window.stop,
        )
        seconds = clock.audio_seconds
        found = Transcription("", 0, (), seconds, 0.0, 0.0, 0.0, 0)
        add_stretch(found, stretch, 0.0)
        (spans,) = self.task.words(stretch.out, [text])
        starts = clock.starts(stretch.out, stretch.start)
        words = clock.words(as_written(spans, text), starts)
        return with_words(found, words)
