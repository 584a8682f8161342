"""What benchmarks/encoder_speed.py times: ours, cut ones, those of others."""

from collections.abc import Callable

import torch
import torchaudio
import transformers
from speechbrain.lobes.models.transformer.Conformer import ConformerEncoder
from speechbrain.nnet.attention import RelPosEncXL
from torch import nn

from dld_brain.encoder.conformer import conformer_layers
from dld_brain.encoder.stack import GatedLayers
from dld_brain.encoder.wavlm.layers import wavlm_encoder
from dld_brain.evaluation.evaluate import default_depths
from dld_brain.gates.layer_sets import evenly_spread

N_TOTAL, D_MODEL, D_FFN, N_HEADS, KERNEL = 12, 256, 2048, 8, 31
SAMPLE_RATE = 16000

Tasks = dict[str, Callable[[], object]]


class StaticStack(nn.Module):
    """Layers without gates."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Runs all layers.

        Arguments
        ---------
        x : torch.Tensor
            [B, T, D].

        Returns
        -------
        torch.Tensor
            [B, T, D].
        """
        for layer in self.layers:
            x = layer(x)
        return x


def speechbrain_encoder(attention_type: str) -> ConformerEncoder:
    """SpeechBrain's encoder of this size.

    Arguments
    ---------
    attention_type : str
        RelPosMHAXL, its default, or regularMHA.
    """
    return ConformerEncoder(
        num_layers=N_TOTAL,
        d_model=D_MODEL,
        d_ffn=D_FFN,
        nhead=N_HEADS,
        kernel_size=KERNEL,
        attention_type=attention_type,
    ).eval()


def conformer_macs(batch: int, seconds: int) -> int:
    """Multiply-accumulates of the paper's stack."""
    d, t = D_MODEL, 25 * seconds - 1
    layer = 4 * d * D_FFN * t + 4 * d * d * t + 2 * t * t * d
    layer += (2 * d + KERNEL + d) * d * t
    return batch * N_TOTAL * layer


def conformer_tasks(batch: int, seconds: int) -> Tasks:
    """The paper's stack, and those of its size."""
    # Frames behind the stem, 25 a second less those of its windows.
    x = torch.randn(batch, 25 * seconds - 1, D_MODEL)
    sizes = {"kernel_size": KERNEL, "dropout": 0.1}
    layers = conformer_layers(N_TOTAL, D_MODEL, D_FFN, N_HEADS, **sizes)
    ours = GatedLayers(layers).eval()
    found: Tasks = {}
    for n in default_depths(N_TOTAL):
        gates = evenly_spread(n, N_TOTAL)
        static = StaticStack([layers[i] for i in gates.layers]).eval()
        found[f"ours, n={n}"] = lambda gates=gates: ours(x, gates)
        found[f"static, {n} layers"] = lambda static=static: static(x)
    relative = speechbrain_encoder("RelPosMHAXL")
    positions = RelPosEncXL(D_MODEL)
    found["SpeechBrain, RelPosMHAXL"] = lambda: relative(
        x, pos_embs=positions(x)
    )
    regular = speechbrain_encoder("regularMHA")
    found["SpeechBrain, regularMHA"] = lambda: regular(x)
    peer = torchaudio.models.Conformer(
        D_MODEL, N_HEADS, D_FFN, N_TOTAL, KERNEL, dropout=0.1
    ).eval()
    lengths = torch.full((len(x),), x.shape[1])
    found["torchaudio"] = lambda: peer(x, lengths)
    return found


def wavlm_tasks(batch: int, seconds: int) -> Tasks:
    """WavLM-base from the waveform on: ours, and Hugging Face's cut to n."""
    config = {"model_type": "wavlm", "layerdrop": 0.0}
    ours = wavlm_encoder(None, config, vocab_size=29).eval()
    theirs = transformers.WavLMModel(transformers.WavLMConfig()).eval()
    wavs = 0.1 * torch.randn(batch, seconds * SAMPLE_RATE)
    lengths = torch.full((batch,), seconds * SAMPLE_RATE)
    layers = theirs.encoder.layers

    def run_ours(n_layers: int) -> torch.Tensor:
        """Stem and layers, as Hugging Face's model has no head."""
        gates = evenly_spread(n_layers, N_TOTAL)
        x, frames = ours.stem(wavs.unsqueeze(-1), lengths)
        return ours.run_layers(x, frames, gates)

    def run_cut(n_layers: int) -> torch.Tensor:
        """Hugging Face's model with its first n layers."""
        theirs.encoder.layers = layers[:n_layers]
        return theirs(wavs).last_hidden_state

    found: Tasks = {}
    for n in default_depths(N_TOTAL):
        found[f"ours, n={n}"] = lambda n=n: run_ours(n)
        found[f"static, {n} layers"] = lambda n=n: run_cut(n)
    return found


def wavlm_macs(batch: int, seconds: int) -> float:
    """Multiply-accumulates of WavLM-base, tests/test_wavlm.py.

    Arguments
    ---------
    seconds : int
        Length of each; attention's square is left at that of 10 s.
    """
    return batch * seconds * 7.41e9
