"""Audio longer than training's, window by window."""

import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Optional

import torch
from tqdm import tqdm

from dld_brain.audio.window_limits import BATCH
from dld_brain.audio.windows import Window, batches, kept_frames
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.gates.gates import Gates
from dld_brain.losses import BLANK_ID
from pretrained_interfaces.depths.depth import Plan
from pretrained_interfaces.dynamic import DynamicDepth

#: Audio that is longer has a bar, s.
BAR_FROM = 60.0


class Stretch(NamedTuple):
    """What a model gives for a stretch of speech.

    Arguments
    ---------
    out : EncoderOutput
        Joined: log-probabilities [1, T', V] and lengths [1].
    gates : Gates
        Of the window that ran deepest, as is `n_computed`.
    start, stop : int
        Its samples in the audio. Frame k begins with sample start + k * step.
    """

    out: EncoderOutput
    gates: Gates
    n_computed: int
    start: int
    stop: int


def run_windows(
    model: DynamicDepth,
    plan: Plan,
    waveform: torch.Tensor,
    windows: list[Window],
    one_by_one: bool = False,
    progress: Optional[bool] = None,
    batch_seconds: float = BATCH,
) -> Iterator[Stretch]:
    """Encodes windows in batches, and joins those of each stretch.

    No more is held than a batch of windows, and the log-probabilities of one
    stretch; what batches of many sizes leave free goes back; see `Trimmer`.

    Arguments
    ---------
    waveform : torch.Tensor
        [S], at the model's rate.
    one_by_one : bool
        Whether each window is a batch: for a plan that looks at its input.
    progress : bool, optional
        Whether a bar on stderr shows the audio that is done; see
        `with_progress`.
    batch_seconds : float
        Of a batch, padding included, s.
    """
    rate, step = model.hparams.sample_rate, model.window_limits.step
    groups = batches(windows, rate, batch_seconds)
    if one_by_one:
        groups = ([w] for w in windows)
    held: list[tuple[Window, Stretch]] = []
    n_samples = len(waveform)
    for group in with_progress(groups, n_samples, rate, progress):
        parts = [waveform[w.start : w.stop] for w in group]
        encoded = _encode(model, plan, group, parts)
        model.trimmer.check()  # here, since who asks may not ask for more
        for window, found in zip(group, encoded):
            held.append((window, found))
            if window.is_last:
                yield _joined(held, step)
                held = []


def with_progress(
    groups: Iterable[list[Window]],
    n_samples: int,
    rate: int,
    progress: Optional[bool] = None,
) -> Iterator[list[Window]]:
    """Batches of windows, with a bar of the seconds of audio that are done.

    Arguments
    ---------
    n_samples : int
        Of the audio.
    progress : bool, optional
        Whether there is a bar; of audio longer than `BAR_FROM`, where stderr
        is a terminal, if not given.
    """
    if progress is None:
        progress = n_samples > BAR_FROM * rate and sys.stderr.isatty()
    total = round(n_samples / rate)
    with tqdm(
        total=total, unit="s", desc="audio", leave=False, disable=not progress
    ) as bar:
        for group in groups:
            yield group
            bar.update(round(group[-1].stop / rate) - bar.n)


def _encode(
    model: DynamicDepth,
    plan: Plan,
    group: list[Window],
    parts: list[torch.Tensor],
) -> list[Stretch]:
    """Runs a batch of windows."""
    sizes = torch.tensor([float(len(part)) for part in parts])
    wavs = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
    feats, lengths = model.features(wavs, sizes / wavs.shape[1])
    with model.inference_ctx:
        step = plan(feats, lengths)
    return [
        Stretch(
            _one(step.out, i)._replace(gates=step.gates),
            step.gates,
            step.n_computed,
            window.start,
            window.stop,
        )
        for i, window in enumerate(group)
    ]


def _one(out: EncoderOutput, i: int) -> EncoderOutput:
    """An utterance of a batch, without its padding."""
    n = out.lengths[i]
    found = EncoderOutput(out.log_probs[i : i + 1, : int(n)], n[None])
    if out.states is None:
        return found
    n = out.frames[i]
    return found._replace(
        states=out.states[i : i + 1, : int(n)], frames=n[None]
    )


def _joined(held: list[tuple[Window, Stretch]], step: int) -> Stretch:
    """Joins the windows of a stretch."""
    if len(held) == 1:  # all of a decoder's, which writes each to its end
        return held[0][1]
    deepest = max((s for _, s in held), key=lambda s: s.gates.depth)
    outs = [stretch.out.log_probs[0] for _, stretch in held]
    blanks = [out[:, BLANK_ID].float().cpu().numpy() for out in outs]
    kept = kept_frames([window for window, _ in held], blanks, step)
    log_probs = torch.cat([out[part] for out, part in zip(outs, kept)])
    n_frames = torch.tensor([len(log_probs)], device=log_probs.device)
    return deepest._replace(
        out=EncoderOutput(log_probs[None], n_frames),
        start=held[0][0].start,
        stop=held[-1][0].stop,
    )
