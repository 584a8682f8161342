"""A Whisper at the depth that one asks for, decoder and all."""

import copy
from typing import Any, Optional

import torch

from dld_brain.audio.windows import Window
from dld_brain.gates.gates import Gates
from dld_brain.tasks.seq2seq import Seq2SeqTask
from pretrained_interfaces.asr import DynamicEncoderASR
from pretrained_interfaces.transcription import Transcription


class DynamicWhisperASR(DynamicEncoderASR):
    """A Whisper that runs as many layers as the caller says.

    `transcribe`, `transcribe_file`, `transcribe_batch`, budgets and
    calibration are those of `DynamicEncoderASR`; `n_layers` are the
    encoder's, `n_decoder_layers` the decoder's. Text is as a Whisper writes
    it. A stretch of speech without a pause in 28 s is cut where it is, and a
    word may be cut with it.

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
    has_word_times = False

    def set_decoding_function(self) -> None:
        """Has the task decode; SpeechBrain calls this once."""
        self.task = Seq2SeqTask(self.tokenizer)

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

    def find_windows(
        self, waveform: torch.Tensor, *args: Any, **options: Any
    ) -> list[Window]:
        """Windows that do not overlap: their texts are joined, not frames."""
        windows = super().find_windows(waveform, *args, **options)
        found: list[Window] = []
        for i, window in enumerate(windows):
            start, stop = window.start, window.stop
            if i and not windows[i - 1].is_last:
                start = found[-1].stop
            if not window.is_last:  # half of what both have seen
                stop = (windows[i + 1].start + stop) // 2
            found.append(Window(start, stop, True))
        return found
