"""Forced alignment: when the words of a text were said in an audio."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

import torch
from sentencepiece import SentencePieceProcessor

from dld_brain.audio.checks import LONGEST
from dld_brain.audio.reader import Audio
from dld_brain.audio.vad import check_vad
from dld_brain.audio.windows import Window
from dld_brain.losses import BLANK_ID
from dld_brain.tasks.alignment import WordSpan, align_tokens, words_of
from pretrained_interfaces.depths.depth import Fixed
from pretrained_interfaces.dynamic import DynamicDepth
from pretrained_interfaces.inputs import check_batch
from pretrained_interfaces.times.timed import Word, segments
from pretrained_interfaces.transcription import (
    Clock,
    Transcription,
    add_stretch,
)
from pretrained_interfaces.windowed import Stretch, run_windows

#: Log-probability of what is not said in a pause.
NEVER = -1e9


class Aligning(DynamicDepth):
    """What a recogniser has that times the words of a text."""

    task: Any
    find_windows: Any

    @torch.no_grad()
    def align(
        self,
        audio: Audio,
        text: str,
        n_layers: Optional[int] = None,
        *,
        sampling_rate: Optional[int] = None,
        savedir: Optional[str] = None,
        vad: Optional[str] = "energy",
        max_audio_seconds: float = LONGEST,
    ) -> Transcription:
        """Finds when the words of a text were said; see `transcribe`.

        Arguments
        ---------
        text : str
            What is said in the whole audio. In the other case if the model
            writes that; what it cannot spell is an error.
        n_layers : int, optional
            Layers that run; all if not given.

        Returns
        -------
        Transcription
            With `words`, as they are written in `text`; its confidence is
            their mean.

        Raises
        ------
        ValueError
            If the vocabulary cannot spell the text, the audio is too short
            for it or has no speech, or as `transcribe` does.
        """
        check_vad(vad)
        how = Fixed(n_layers)
        how.check(self)
        ids = self.task.spell(text)
        waveform = self.checked_audio(
            audio, savedir, sampling_rate, max_audio_seconds
        )
        started = time.perf_counter()
        windows = self.windows_to_align(waveform, audio_name(audio), vad)
        if not windows:
            raise ValueError(
                f"{audio_name(audio)}: no speech was found to align: give "
                f"vad=None (--vad none) if there is some"
            )
        self.check_text(ids, windows)
        found = self.lay(text, ids, waveform, windows, how)
        found.n_windows = len(windows)
        found.compute_seconds = time.perf_counter() - started
        return found

    def windows_to_align(
        self, waveform: torch.Tensor, name: str, vad: Optional[str]
    ) -> list[Window]:
        """The windows that a text is laid on; none without speech."""
        return self.find_windows(waveform, name, vad)

    def check_text(self, ids: Sequence[int], windows: list[Window]) -> None:
        """Raises if a decoder cannot read a text, or it fits no audio.

        Of a CTC head, what it is aligned with says so.

        Arguments
        ---------
        ids : sequence of int
            Tokens of the text.
        """
        decoder = getattr(self.task, "times", None)
        if decoder is None:
            return
        step = self.window_limits.step
        n_frames = sum(-(-(w.stop - w.start) // step) for w in windows)
        # What no frame is left for would be a word of no length.
        if len(ids) > n_frames:
            raise ValueError(
                f"text must fit into its audio, but its {len(ids)} tokens "
                f"need at least {len(ids)} frames, and there are {n_frames}: "
                f"give the text that is said in it"
            )
        config = decoder.config
        most = config.max_target_positions - len(config.prompt) - 1
        if len(ids) > most:
            raise ValueError(
                f"text must have at most {most} tokens, which this model "
                f"reads at once, but has {len(ids)}: align audio and text in "
                f"parts"
            )

    def lay(
        self,
        text: str,
        ids: Sequence[int],
        waveform: torch.Tensor,
        windows: list[Window],
        how: Fixed,
    ) -> Transcription:
        """Lays a text on the windows of an audio; see `align`.

        Arguments
        ---------
        ids : sequence of int
            Tokens of the text.
        waveform : torch.Tensor
            [S], at the model's rate.
        """
        clock = self.clock(waveform)
        plan = how.plan(self, clock.audio_seconds)
        stretches = run_windows(self, plan, waveform, windows)
        return aligned(self.task.vocabulary, stretches, clock, text, ids)

    def clock(self, waveform: torch.Tensor) -> Clock:
        """What turns samples and frames of an audio into seconds.

        Arguments
        ---------
        waveform : torch.Tensor
            [S], at the model's rate.
        """
        rate = self.hparams.sample_rate
        return Clock(rate, self.window_limits.step, len(waveform) / rate)

    def checked_audio(
        self,
        audio: Audio,
        savedir: Optional[str],
        sampling_rate: Optional[int],
        max_audio_seconds: float,
    ) -> torch.Tensor:
        """Reads audio as `load_audio` does; raises if it cannot be encoded.

        Returns
        -------
        torch.Tensor
            Samples, [S].
        """
        waveform = self.load_audio(
            audio, savedir, sampling_rate, max_audio_seconds
        )
        shortest, rate = self.window_limits.shortest, self.hparams.sample_rate
        check_batch(waveform.unsqueeze(0), torch.ones(1), shortest, rate)
        return waveform


def aligned(
    tokenizer: SentencePieceProcessor,
    stretches: Iterable[Stretch],
    clock: Clock,
    text: str,
    ids: Sequence[int],
) -> Transcription:
    """Aligns a text with all stretches of speech together.

    Between two of them is a frame that is blank for sure, over which no token
    lasts.

    Arguments
    ---------
    ids : sequence of int
        Tokens of the text.
    """
    found = Transcription("", 0, (), clock.audio_seconds, 0.0, 0.0, 0.0, 0)
    parts: list[torch.Tensor] = []
    starts: list[float] = []
    n_frames = 0.0
    for stretch in stretches:
        n_frames = add_stretch(found, stretch, n_frames)
        log_probs = stretch.out.log_probs[0].float().cpu()
        pause = torch.full_like(log_probs[:1], NEVER)
        pause[:, BLANK_ID] = 0.0
        parts += [log_probs, pause]
        starts += clock.starts(stretch.out, stretch.start)
        starts.append(stretch.stop / clock.rate)
    spans = words_of(align_tokens(torch.cat(parts[:-1]), ids), tokenizer)
    words = clock.words(as_written(spans, text), starts)
    return with_words(found, words)


def with_words(found: Transcription, words: Sequence[Word]) -> Transcription:
    """Gives a transcription the words of a text that was laid on its audio."""
    found.text = " ".join(word.text for word in words)
    found.segments = [*segments(words)]
    found.confidence = sum(word.confidence for word in words) / len(words)
    return found


def as_written(spans: Sequence[WordSpan], text: str) -> list[WordSpan]:
    """Words as a text has them, unless the vocabulary parts them otherwise.

    Example
    -------
    >>> as_written([WordSpan("HI", 0, 1, 1.0)], "Hi")[0].text
    'Hi'
    """
    written = text.split()
    if len(written) != len(spans):
        return [*spans]
    return [span._replace(text=word) for span, word in zip(spans, written)]


def audio_name(audio: Audio) -> str:
    """What a message calls an audio."""
    return str(audio) if isinstance(audio, (str, Path)) else "audio"
