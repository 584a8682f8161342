"""How far a Whisper of transformers is from the student that it was made of."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dld_brain.audio.features import extract
from dld_brain.audio.whisper_mel import MAX_SECONDS, SAMPLE_RATE
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.export.parity import load, noise
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import PretrainedModel

#: Tokens, any, whose log-probabilities are compared.
N_TOKENS = 20


class WrittenWhisper:
    """A folder that was written, as transformers runs it.

    Arguments
    ---------
    folder : Path
        See `write_whisper`.
    """

    def __init__(self, folder: Path) -> None:
        import transformers

        kind = transformers.WhisperForConditionalGeneration
        self.model = kind.from_pretrained(folder).eval()
        self.processor = transformers.WhisperProcessor.from_pretrained(folder)

    def features(self, wav: torch.Tensor) -> torch.Tensor:
        """Waveform [S] -> features of 30 s, [1, F, 3000]."""
        return self.processor(
            wav.numpy(), sampling_rate=SAMPLE_RATE, return_tensors="pt"
        ).input_features

    @torch.no_grad()
    def log_probs(
        self, wav: torch.Tensor, prompt: Sequence[int], targets: torch.Tensor
    ) -> torch.Tensor:
        """Of tokens that are told, [1, U], and of the end: [1, U + 1, V]."""
        tokens = torch.cat((torch.tensor([prompt]), targets), dim=1)
        logits = self.model(
            input_features=self.features(wav), decoder_input_ids=tokens
        ).logits
        return logits[:, len(prompt) - 1 :].log_softmax(-1)

    @torch.no_grad()
    def transcript(self, wav: torch.Tensor) -> str:
        """What `generate` writes."""
        ids = self.model.generate(self.features(wav))
        (text,) = self.processor.batch_decode(ids, skip_special_tokens=True)
        return text.strip()


class Student:
    """The dynamic model at a depth, as the comparison sees it."""

    def __init__(self, model: PretrainedModel, gates: Gates) -> None:
        self.modules, self.task = model.modules, model.task
        self.encoder, self.gates = model.modules["model"], gates

    @torch.no_grad()
    def run(self, wav: torch.Tensor, **given: Any) -> EncoderOutput:
        """Waveform [S] -> the encoder's output."""
        feats, lengths = extract(self.modules, wav[None], torch.ones(1))
        (out,) = self.encoder(feats, lengths, [self.gates], **given)
        return out

    def told(self, wav: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """As `WrittenWhisper.log_probs`, of 30 s as well."""
        n_tokens = torch.tensor([targets.shape[1]])
        given = {"targets": targets, "target_lengths": n_tokens}
        return self.run(filled(wav), **given).log_probs

    def transcript(self, wav: torch.Tensor) -> str:
        """What it writes of a waveform, [S]."""
        return self.task.decode(self.run(wav))[0]


def filled(wav: torch.Tensor) -> torch.Tensor:
    """A waveform with zeros behind it, 30 s in all."""
    n_samples = MAX_SECONDS * SAMPLE_RATE
    return torch.nn.functional.pad(wav, (0, n_samples - len(wav)))


def read_files(model: PretrainedModel, paths: Iterable[str]) -> list[Any]:
    """The waveforms of audio files, [S] each.

    Raises
    ------
    ValueError
        If one is longer than a Whisper hears at once.
    """
    found = []
    for path in paths:
        wav = load(model, path)
        seconds = len(wav) / SAMPLE_RATE
        if seconds > MAX_SECONDS:
            raise ValueError(
                f"`--files` must have at most {MAX_SECONDS} s each for a "
                f"Whisper, but {path} has {seconds:.1f} s: cut it at pauses"
            )
        found.append(wav)
    return found


def compare_whisper(
    model: PretrainedModel,
    gates: Gates,
    folder: Path,
    wavs: Sequence[torch.Tensor],
) -> dict[str, Any]:
    """Compares a folder that was written with the dynamic model.

    Arguments
    ---------
    wavs : sequence of torch.Tensor
        Waveforms, [S] each, beside noise.

    Returns
    -------
    dict
        As `parity.compare`: `max_difference` of log-probabilities where both
        hear the same 30 s and are told the same tokens; `identical`
        transcripts, where the student hears the true length, and
        `identical_on_30_s`, where it hears the silence, too.
    """
    ours, theirs = Student(model, gates), WrittenWhisper(folder)
    config = ours.encoder.head.config
    generator = torch.Generator().manual_seed(0)
    size = (1, min(N_TOKENS, config.max_target_positions // 2))
    noises = [wav[0] for wav in noise(model)]
    targets = torch.randint(config.end, size, generator=generator)
    texts, differences = [], []
    for wav in tqdm([*noises, *wavs], desc="comparing", leave=False):
        both = (
            ours.told(wav, targets),
            theirs.log_probs(wav, config.prompt, targets),
        )
        differences.append(float((both[0] - both[1]).abs().max()))
    for wav in tqdm(wavs, desc="transcribing", leave=False):
        heard = ours.transcript(wav), ours.transcript(filled(wav))
        texts.append((theirs.transcript(wav), *heard))
    return {
        "n_layers": gates.depth,
        "layers": list(gates.layers),
        "n_decoder_layers": _decoder(ours, gates).depth,
        "decoder_layers": list(_decoder(ours, gates).layers),
        "max_difference": max(differences),
        "files": len(wavs),
        "identical": sum(a == b for a, b, _ in texts),
        "identical_on_30_s": sum(a == c for a, _, c in texts),
    }


def _decoder(student: Student, gates: Gates) -> Gates:
    """The gates of a decoder, all open if there are none."""
    return gates.decoder or Gates.full(student.encoder.head.n_total)
