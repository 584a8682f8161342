"""A model of one depth as an ONNX graph: waveform in, log-probs out."""

import copy
import math
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from dld_brain.audio.features import LogMel, extract
from dld_brain.audio.hub_mels import ParakeetMel, SeamlessMel
from dld_brain.audio.whisper_mel import WhisperMel
from dld_brain.encoder.part import part_of
from dld_brain.gates.gates import Gates
from speechbrain.processing.features import STFT

#: Features that begin with an STFT, and go on with mel filters; and all that
#: have such filters.
STFTS = (LogMel, ParakeetMel, WhisperMel)
MELS = (*STFTS, SeamlessMel)
#: ONNX operators that are quantised: matrix products, nothing else.
QUANTIZED = ["MatMul", "Gemm"]
OPSET = 18


class ConvSTFT(nn.Module):
    """SpeechBrain's STFT as a convolution, which every runtime has.

    Example
    -------
    >>> stft = STFT(sample_rate=16000, win_length=20, hop_length=10, n_fft=512)
    >>> x = torch.randn(2, 4000)
    >>> torch.allclose(ConvSTFT(stft)(x), stft(x), atol=1e-4)
    True
    """

    def __init__(self, stft: STFT) -> None:
        super().__init__()
        n_fft, window = stft.n_fft, stft.window.double()
        left = (n_fft - len(window)) // 2
        window = F.pad(window, (left, n_fft - len(window) - left))
        bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64).unsqueeze(1)
        angles = bins * torch.arange(n_fft) * (2 * math.pi / n_fft)
        kernels = torch.cat((angles.cos() * window, -angles.sin() * window))
        self.register_buffer("kernels", kernels.unsqueeze(1).float())
        self.padding = n_fft // 2 if stft.center else 0
        self.stride = stft.hop_length

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Transforms.

        Arguments
        ---------
        x : torch.Tensor
            Waveforms, [B, S].

        Returns
        -------
        torch.Tensor
            Real and imaginary parts, [B, T, n_fft / 2 + 1, 2].
        """
        x = F.pad(x, (self.padding, self.padding)).unsqueeze(1)
        both = F.conv1d(x, self.kernels, stride=self.stride).transpose(1, 2)
        return torch.stack(both.chunk(2, dim=-1), dim=-1)


class OnnxModel(nn.Module):
    """The whole arrow at one depth, with lengths in samples and frames."""

    def __init__(self, modules: Mapping[str, nn.Module], gates: Gates) -> None:
        super().__init__()
        self.compute_features = copy.deepcopy(modules["compute_features"])
        if isinstance(self.compute_features, STFTS):
            stft = self.compute_features.compute_STFT
            self.compute_features.compute_STFT = ConvSTFT(stft)
        self.normalize = modules["normalize"]
        self.model = part_of(modules["model"], gates)
        self.eval()

    def forward(
        self, wavs: torch.Tensor, n_samples: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Computes log-probabilities.

        Arguments
        ---------
        wavs : torch.Tensor
            Waveforms, [B, S].
        n_samples : torch.Tensor
            Valid samples, [B].

        Returns
        -------
        tuple of torch.Tensor
            Log-probabilities [B, T', V], and valid frames [B].
        """
        modules = {
            "compute_features": self.compute_features,
            "normalize": self.normalize,
        }
        feats, lengths = extract(modules, wavs, n_samples / wavs.shape[1])
        (out,) = self.model(feats, lengths)
        return out.log_probs, out.lengths


def write_onnx(
    modules: Mapping[str, nn.Module], gates: Gates, path: Path
) -> OnnxModel:
    """Writes a model of one depth; batch and time are dynamic.

    Arguments
    ---------
    modules : mapping of str to torch.nn.Module
        `compute_features`, `normalize` and `model`, in eval mode, on the
        CPU.
    """
    module = OnnxModel(modules, gates)
    # Two utterances of other lengths: nothing is taken for a constant.
    wavs, n_samples = torch.randn(2, 16000), torch.tensor([16000, 12000])
    batch = torch.export.Dim.DYNAMIC
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (wavs, n_samples),
            str(path),
            input_names=["wavs", "n_samples"],
            output_names=["log_probs", "n_frames"],
            dynamic_shapes={
                "wavs": {0: batch, 1: torch.export.Dim.DYNAMIC},
                "n_samples": {0: batch},
            },
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    return module


def quantize_onnx(
    source: Path, target: Path, modules: Mapping[str, nn.Module]
) -> None:
    """Writes an int8 version: weights of matrix products, per channel.

    The product with the mel filters stays as it is: a power spectrum spans
    more orders of magnitude than 8 bits hold (on AN4, 71 % WER for 16 %).
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = target.with_suffix(".prepared")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_dynamic(
        str(prepared),
        str(target),
        op_types_to_quantize=QUANTIZED,
        nodes_to_exclude=mel_products(prepared, modules["compute_features"]),
        per_channel=True,
        weight_type=QuantType.QInt8,
    )
    prepared.unlink()


def mel_products(path: Path, features: nn.Module) -> list[str]:
    """Finds the product with the mel filters in a graph.

    Returns
    -------
    list of str
        Names of nodes; none for features without mel filters.

    Raises
    ------
    ValueError
        If there are mel filters, and the graph has no such product.
    """
    import onnx

    if not isinstance(features, MELS):
        return []
    shape = list(features.mel_shape)
    graph = onnx.load(str(path)).graph
    weights = {w.name for w in graph.initializer if list(w.dims) == shape}
    names = [
        node.name
        for node in graph.node
        if node.op_type in QUANTIZED and weights & set(node.input)
    ]
    if not names:
        raise ValueError(f"{path} must hold the mel filters, {shape}")
    return names
