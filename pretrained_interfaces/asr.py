"""Speech recognition at the depth that one asks for."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, Union

import torch

from dld_brain.audio.checks import LONGEST
from dld_brain.audio.reader import Audio
from dld_brain.audio.vad import check_vad
from dld_brain.audio.window_limits import BATCH, Limits, check_batch_seconds
from dld_brain.audio.windows import Window, find_windows
from dld_brain.tasks import TranscriptionTask
from pretrained_interfaces.decoding import Decoding
from pretrained_interfaces.depths.calibrated import Calibrated
from pretrained_interfaces.depths.choose import choose_depth
from pretrained_interfaces.depths.depth import Depth, Escalate, Routed
from pretrained_interfaces.dynamic import DynamicDepth
from pretrained_interfaces.inputs import is_batch
from pretrained_interfaces.streams.chunk_stream import ChunkStream
from pretrained_interfaces.streams.governor import Governor
from pretrained_interfaces.streams.segment_stream import SegmentStream
from pretrained_interfaces.streams.stream import Stream
from pretrained_interfaces.streams.window_stream import WindowStream
from pretrained_interfaces.times.aligning import Aligning, audio_name
from pretrained_interfaces.transcription import Transcription, transcription
from pretrained_interfaces.windowed import run_windows
from speechbrain.inference.ASR import EncoderASR


class DynamicEncoderASR(
    Decoding, Aligning, Calibrated, DynamicDepth, EncoderASR
):
    """A CTC recogniser that runs as many layers as the caller says.

    An `EncoderASR`: `from_hparams`, `transcribe_file`, `transcribe_batch`
    and `encode_batch` work as there, and take `n_layers` as well. The
    depth is an argument of each call: threads that share a model do not
    meet.

    Example
    -------
    >>> asr = DynamicEncoderASR.from_hparams(
    ...     source="results/quickstart/student/1986/pretrained"
    ... )  # doctest: +SKIP
    >>> asr.transcribe_file("a.wav", n_layers=6)  # doctest: +SKIP
    'TURN ON THE KITCHEN LIGHT'
    """

    HPARAMS_NEEDED = [*DynamicDepth.HPARAMS_NEEDED, "tokenizer"]
    TASK = TranscriptionTask.name

    @classmethod
    def for_task(cls, task: str) -> Optional[type[DynamicDepth]]:
        """Its own class; of a Whisper with its decoder `DynamicWhisperASR`."""
        from pretrained_interfaces.whisper import DynamicWhisperASR

        if (
            issubclass(DynamicWhisperASR, cls)
            and task == DynamicWhisperASR.TASK
        ):
            return DynamicWhisperASR
        return super().for_task(task)

    def set_decoding_function(self) -> None:
        """Has the task decode; SpeechBrain calls this once."""
        self.task = TranscriptionTask(self.tokenizer)

    def __call__(
        self, audio: Any, *args: Any, **kwargs: Any
    ) -> Union[Transcription, list[Transcription], torch.Tensor]:
        """Transcribes what is given; a list gives a list.

        A batch of waveforms with their lengths is what SpeechBrain's
        interface takes here, and gives what that gives: log-probabilities.

        Arguments
        ---------
        audio : str, Path, file object, array, tensor, mapping or list
            See `transcribe`.
        """
        if is_batch(audio, args, kwargs):
            return super().__call__(audio, *args, **kwargs)
        if isinstance(audio, list):
            return [self.transcribe(each, *args, **kwargs) for each in audio]
        return self.transcribe(audio, *args, **kwargs)

    def transcribe_file(
        self,
        path: Union[str, Path],
        depth: Union[int, Depth, None] = None,
        **options: Any,
    ) -> str:
        """Transcribes an audio file; see `transcribe`."""
        return self.transcribe(path, depth, **options).text

    @torch.no_grad()
    def transcribe(
        self,
        audio: Audio,
        depth: Union[int, Depth, None] = None,
        *,
        n_layers: Optional[int] = None,
        max_rtf: Optional[float] = None,
        max_latency: Optional[float] = None,
        best_effort: bool = False,
        sampling_rate: Optional[int] = None,
        savedir: Optional[str] = None,
        vad: Optional[str] = "energy",
        windowed: bool = True,
        max_audio_seconds: float = LONGEST,
        word_times: bool = False,
        window_seconds: Optional[float] = None,
        overlap_seconds: Optional[float] = None,
        batch_seconds: float = BATCH,
        progress: Optional[bool] = None,
        on_text: Optional[Callable[[str], None]] = None,
    ) -> Transcription:
        """Transcribes audio; says what it took.

        Arguments
        ---------
        audio : str, Path, file object, array, tensor or mapping
            A file of any rate and number of channels, a URL,
            hub:owner/name/file, an open file; samples [S] or [S, channels]
            with their `sampling_rate`; or `{"array": ..., "sampling_rate":
            ...}`.
        depth : int, Budget, Escalate or Routed, optional
            Layers that run, or what decides; all if not given.
        n_layers, max_rtf, max_latency, best_effort
            The short way for a number and for a `Budget`.
        sampling_rate : int, optional
            Rate of samples, Hz.
        vad : str, optional
            What decides whether there is speech, and where its pauses are:
            "energy" (silence, a constant, steady noise and tones are none),
            "silero" (a network, behind the energy; the extra `vad`), or
            None: all is speech. Without speech the text is empty.
        windowed : bool
            Whether audio is cut at pauses, and where speech without one is
            longer than the longest utterance of training, into windows that
            overlap. False: it is encoded in one piece.
        max_audio_seconds : float
            Longer audio is refused, s.
        word_times : bool
            Whether words are timed, too: `Transcription.words`. Nothing is
            computed for it otherwise.
        window_seconds : float, optional
            Longest window, s, at least 1. If not given, 20 or the longest
            utterance of training, where that is less; audio that is no
            longer than training's is one window then.
        overlap_seconds : float, optional
            What of a window is context alone on either side, s: less than
            half of it. If not given, 2, or a sixth of the window.
        batch_seconds : float
            Windows that are run together, padding included, s, at least 1;
            a window that is longer runs alone. Memory grows with it, and on
            a GPU speed.
        progress : bool, optional
            Whether a bar on stderr shows the audio that is done. If not
            given, that of audio longer than a minute, on a terminal.
        on_text : callable, optional
            Given the text of each stretch of speech as soon as it is
            decoded.

        Raises
        ------
        TypeError
            If `audio` is nothing of the above, or an option no number.
        Interrupted
            At Ctrl-C; a KeyboardInterrupt whose `text` is what was decoded
            by then.
        ValueError
            If the model has no such depth, nothing fits the budget, or the
            file is no audio, cut, too short, too long, or has samples that
            are no numbers.
        """
        how = choose_depth(depth, n_layers, max_rtf, max_latency, best_effort)
        how.check(self)  # before the file is read
        check_vad(vad)
        sizes = (window_seconds, overlap_seconds)
        if not windowed and sizes != (None, None):
            raise ValueError(
                "give `window_seconds` and `overlap_seconds`, or "
                "`windowed=False` (--whole), but not both"
            )
        limits = self.limits(*sizes)
        batch_seconds = check_batch_seconds(batch_seconds)
        waveform = self.checked_audio(
            audio, savedir, sampling_rate, max_audio_seconds
        )
        clock = self.clock(waveform)
        plan = how.plan(self, clock.audio_seconds)
        started = time.perf_counter()
        windows = self.find_windows(
            waveform, audio_name(audio), vad, windowed, limits
        )
        one_by_one = isinstance(how, (Escalate, Routed))
        stretches = run_windows(
            self, plan, waveform, windows, one_by_one, progress, batch_seconds
        )
        found = transcription(self.task, stretches, clock, word_times, on_text)
        if windows:
            found.confidence = self.table.confidence(
                found.layers, found.confidence
            )
        found.compute_seconds = time.perf_counter() - started
        found.n_windows = len(windows)
        return found

    def stream(
        self,
        chunk: float = 0.64,
        left: float = 5.12,
        n_layers: Optional[int] = None,
        governor: Optional[Governor] = None,
        refill: bool = True,
        window: Optional[float] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Stream:
        """Begins to transcribe speech while it is spoken.

        Decodes greedily, and equals the pass of the whole audio under the
        mask of the same chunks. For a model that was trained in chunks
        (hparams/conformer_streaming_*.yaml); others make more errors, and
        warn of it. A
        model of whole utterances streams by a `window`; a Whisper with its
        decoder hears what is said since the last pause anew with each chunk.

        Arguments
        ---------
        chunk : float
            What is computed at once, s: a multiple of a frame (0.04 s).
        left : float
            What is seen before it, s; rounded up to whole chunks.
        n_layers : int, optional
            Layers that run, until `set_depth`; all if not given.
        governor : Governor, optional
            Chooses the depth of each chunk instead.
        refill : bool
            Whether a layer that opens in mid-stream computes what it has
            missed of its left context, or begins without one.
        window : float, optional
            Encode the last so many seconds anew with each chunk instead, up
            to 30; `left` and `refill` are not used then. The way of models
            that see whole utterances (WavLM, Whisper's encoder). Of a
            Whisper with its decoder, the longest speech that no pause cuts;
            as long as in training if not given.
        clock : callable
            Seconds, from any beginning; what lags are measured by.

        Raises
        ------
        ValueError
            If one is not what it must be, or the model does not stream.
        """
        if governor is not None and n_layers is not None:
            raise ValueError("give `n_layers` or `governor`, not both")
        if self.task.name != TranscriptionTask.name:
            return SegmentStream(self, chunk, window, n_layers, governor, clock)
        if window is not None:
            return WindowStream(self, chunk, window, n_layers, governor, clock)
        return ChunkStream(self, chunk, left, n_layers, governor, refill, clock)

    def find_windows(
        self,
        waveform: torch.Tensor,
        name: str,
        vad: Optional[str] = "energy",
        windowed: bool = True,
        limits: Optional[Limits] = None,
    ) -> list[Window]:
        """The windows that an audio is encoded in; see `transcribe`.

        Arguments
        ---------
        waveform : torch.Tensor
            [S], at the model's rate.
        name : str
            What a warning calls it.
        limits : Limits, optional
            Those of the model if not given.
        """
        samples, rate = waveform.cpu().numpy(), self.hparams.sample_rate
        limits = limits or self.window_limits
        return find_windows(samples, rate, limits, name, vad, windowed)
