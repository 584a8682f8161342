"""What benchmarks/encoder_speed.py times: ours, cut ones, those of others."""

from collections.abc import Callable, Sequence
from typing import Optional

import torch
import torchaudio
import transformers
from torch import nn

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.conformer import conformer_layers
from dld_brain.encoder.stack import GatedLayers
from dld_brain.encoder.wavlm.layers import wavlm_encoder
from dld_brain.evaluation.evaluate import default_depths
from dld_brain.gates.layer_sets import evenly_spread
from speechbrain.lobes.models.transformer.Conformer import ConformerEncoder
from speechbrain.nnet.attention import RelPosEncXL

N_TOTAL, D_MODEL, D_FFN, N_HEADS, KERNEL = 12, 256, 2048, 8, 31
SAMPLE_RATE = 16000

Tasks = dict[str, Callable[[], object]]


class StaticStack(nn.Module):
    """Layers without gates."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self, x: torch.Tensor, padding: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
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
            x = layer(x, padding)
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


def conformer_macs(seconds: float) -> int:
    """Multiply-accumulates of the paper's stack for an utterance."""
    d, t = D_MODEL, n_frames(seconds)
    layer = 4 * d * D_FFN * t + 4 * d * d * t + 2 * t * t * d
    layer += (2 * d + KERNEL + d) * d * t
    return N_TOTAL * layer


def n_frames(seconds: float) -> int:
    """Behind the stem: 25 a second less those of its windows."""
    return int(25 * seconds) - 1


def conformer_tasks(seconds: Sequence[float]) -> Tasks:
    """The paper's stack, and those of its size, on a batch of utterances."""
    lengths = torch.tensor([n_frames(s) for s in seconds])
    x = torch.randn(len(lengths), int(lengths.max()), D_MODEL)
    padding = None
    if len(set(seconds)) > 1:
        padding = padding_mask(lengths, x.shape[1])
    sizes = {"kernel_size": KERNEL, "dropout": 0.1}
    layers = conformer_layers(N_TOTAL, D_MODEL, D_FFN, N_HEADS, **sizes)
    ours = GatedLayers(layers).eval()
    found: Tasks = {}
    for n in default_depths(N_TOTAL):
        gates = evenly_spread(n, N_TOTAL)
        static = StaticStack([layers[i] for i in gates.layers]).eval()
        found[f"ours, n={n}"] = lambda gates=gates: ours(
            x, gates, padding=padding
        )
        found[f"static, {n} layers"] = lambda static=static: static(x, padding)
    relative = speechbrain_encoder("RelPosMHAXL")
    positions = RelPosEncXL(D_MODEL)
    found["SpeechBrain, RelPosMHAXL"] = lambda: relative(
        x, src_key_padding_mask=padding, pos_embs=positions(x)
    )
    regular = speechbrain_encoder("regularMHA")
    found["SpeechBrain, regularMHA"] = lambda: regular(
        x, src_key_padding_mask=padding
    )
    peer = torchaudio.models.Conformer(
        D_MODEL, N_HEADS, D_FFN, N_TOTAL, KERNEL, dropout=0.1
    ).eval()
    found["torchaudio"] = lambda: peer(x, lengths)
    return found


def wavlm_tasks(seconds: Sequence[float]) -> Tasks:
    """WavLM-base from the waveform on: ours, and Hugging Face's cut to n."""
    config = {"model_type": "wavlm", "layerdrop": 0.0}
    ours = wavlm_encoder(None, config, vocab_size=29).eval()
    theirs = transformers.WavLMModel(transformers.WavLMConfig()).eval()
    lengths = torch.tensor([int(s * SAMPLE_RATE) for s in seconds])
    wavs = 0.1 * torch.randn(len(lengths), int(lengths.max()))
    mask = None
    if len(set(seconds)) > 1:
        mask = (~padding_mask(lengths, wavs.shape[1])).long()
    layers = theirs.encoder.layers

    def run_ours(n_layers: int) -> torch.Tensor:
        """Stem and layers, as Hugging Face's model has no head."""
        gates = evenly_spread(n_layers, N_TOTAL)
        x, frames = ours.stem(wavs.unsqueeze(-1), lengths)
        return ours.run_layers(x, frames, gates)

    def run_cut(n_layers: int) -> torch.Tensor:
        """Hugging Face's model with its first n layers."""
        theirs.encoder.layers = layers[:n_layers]
        return theirs(wavs, mask).last_hidden_state

    found: Tasks = {}
    for n in default_depths(N_TOTAL):
        found[f"ours, n={n}"] = lambda n=n: run_ours(n)
        found[f"static, {n} layers"] = lambda n=n: run_cut(n)
    return found


def wavlm_macs(seconds: float) -> float:
    """Multiply-accumulates of WavLM-base, tests/encoder/test_wavlm.py.

    Attention's square is left at that of 10 s.
    """
    return seconds * 7.41e9
