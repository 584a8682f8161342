"""How far an exported model is from the dynamic one."""

from collections.abc import Callable
from typing import Any

import torch
from tqdm import tqdm

from dld_brain.audio.features import extract, min_samples
from dld_brain.audio.reader import read_file
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import PretrainedModel

#: Seconds of noise that exported models are compared on.
PARITY_SECONDS = (0.3, 4.0, 10.0)

#: A model as the comparison sees it: waveform [1, S] -> log-probs [1, T', V].
Runner = Callable[[torch.Tensor], torch.Tensor]


def ours(model: PretrainedModel, gates: Gates) -> Runner:
    """The dynamic model at a depth."""
    encoder = model.modules["model"]

    @torch.no_grad()
    def run(wavs: torch.Tensor) -> torch.Tensor:
        """Waveform to log-probabilities."""
        feats, lengths = extract(model.modules, wavs, torch.ones(1))
        (out,) = encoder(feats, lengths, [gates])
        return out.log_probs

    return run


def compare(
    model: PretrainedModel,
    gates: Gates,
    exported: Runner,
    files: list[str],
) -> dict[str, Any]:
    """Compares an exported model with the dynamic one.

    Returns
    -------
    dict
        `n_layers`, `layers`, `max_difference` of the log-probabilities, and
        how many of the transcripts of the `files` are `identical`.
    """
    reference = ours(model, gates)
    wavs = noise(model)
    wavs += [load(model, path).unsqueeze(0) for path in files]
    differences, texts = [], []
    for wav in tqdm(wavs, desc=f"comparing, n = {gates.depth}", leave=False):
        both = reference(wav), exported(wav)
        differences.append(float((both[0] - both[1]).abs().max()))
        length = torch.tensor([both[0].shape[1]])
        texts.append(
            [model.task.decode(EncoderOutput(x, length))[0] for x in both]
        )
    texts = texts[len(PARITY_SECONDS) :]
    return {
        "n_layers": gates.depth,
        "layers": list(gates.layers),
        "max_difference": max(differences),
        "files": len(files),
        "identical": sum(a == b for a, b in texts),
    }


def noise(model: PretrainedModel) -> list[torch.Tensor]:
    """Noise of several lengths, [1, S] each."""
    generator = torch.Generator().manual_seed(0)
    shortest = min_samples(model.modules)
    sizes = [max(shortest, int(s * model.sample_rate)) for s in PARITY_SECONDS]
    return [0.1 * torch.randn(1, n, generator=generator) for n in sizes]


def load(model: PretrainedModel, path: str) -> torch.Tensor:
    """Reads audio as mono at the model's rate.

    Returns
    -------
    torch.Tensor
        Samples, [S].
    """
    return model.hparams["audio_normalizer"](*read_file(path))


def runner(session: Any) -> Runner:
    """An ONNX session as the comparison sees it."""

    def run(wavs: torch.Tensor) -> torch.Tensor:
        """Waveform to log-probabilities."""
        n_samples = torch.tensor([wavs.shape[1]]).numpy()
        feed = {"wavs": wavs.numpy(), "n_samples": n_samples}
        return torch.from_numpy(session.run(None, feed)[0])

    return run
