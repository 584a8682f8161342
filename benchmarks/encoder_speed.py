"""What does a depth cost, and what do other encoders of this size?

> python benchmarks/encoder_speed.py --threads 1

One run: the paper's stack (12 layers of width 256) at each depth, a static
stack of just those layers, SpeechBrain's and torchaudio's Conformers of the
same size, and the floor: its multiply-accumulates at the rate of a large
matrix product. Prints a table, writes JSON.

Authors
 * The dld_brain authors 2026
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torchaudio
from speechbrain.lobes.models.transformer.Conformer import ConformerEncoder
from speechbrain.nnet.attention import RelPosEncXL
from timing import interleaved, machine, ratio, write_json
from torch import nn

from dld_brain.encoders.conformer import conformer_layers
from dld_brain.encoders.gated import GatedLayers
from dld_brain.evaluate import default_depths
from dld_brain.gates import evenly_spread, gates_from_layers

N_TOTAL, D_MODEL, D_FFN, N_HEADS, KERNEL = 12, 256, 2048, 8, 31
#: Batch and frames behind the stem (25 a second) of each input.
INPUTS = {"10 s": (1, 249), "60 s": (1, 1499), "8 x 4 s": (8, 99)}


class StaticStack(nn.Module):
    """Layers without gates.

    Arguments
    ---------
    layers : list of torch.nn.Module
        The layers.
    """

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

    Returns
    -------
    ConformerEncoder
    """
    return ConformerEncoder(
        num_layers=N_TOTAL,
        d_model=D_MODEL,
        d_ffn=D_FFN,
        nhead=N_HEADS,
        kernel_size=KERNEL,
        attention_type=attention_type,
    ).eval()


def macs(batch: int, frames: int) -> int:
    """Multiply-accumulates of the stack.

    Arguments
    ---------
    batch : int
        Utterances.
    frames : int
        Frames of each.

    Returns
    -------
    int
    """
    d, t = D_MODEL, frames
    layer = 4 * d * D_FFN * t + 4 * d * d * t + 2 * t * t * d
    layer += (2 * d + KERNEL + d) * d * t
    return batch * N_TOTAL * layer


def matmul_rate(n: int = 2048, rounds: int = 5) -> float:
    """Multiply-accumulates a second of a large matrix product.

    Arguments
    ---------
    n : int
        Rows and columns.
    rounds : int
        Products timed.

    Returns
    -------
    float
    """
    a, b = torch.randn(n, n), torch.randn(n, n)
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return n**3 / statistics.median(seconds)


def tasks(x: torch.Tensor) -> dict[str, Callable[[], object]]:
    """What is timed on an input.

    Arguments
    ---------
    x : torch.Tensor
        [B, T, D].

    Returns
    -------
    dict of str to callable
    """
    sizes = {"kernel_size": KERNEL, "dropout": 0.1}
    layers = conformer_layers(N_TOTAL, D_MODEL, D_FFN, N_HEADS, **sizes)
    ours = GatedLayers(layers).eval()
    found: dict[str, Callable[[], object]] = {}
    for n in default_depths(N_TOTAL):
        kept = evenly_spread(n, N_TOTAL)
        gates = gates_from_layers(kept, N_TOTAL)
        static = StaticStack([layers[i] for i in kept]).eval()
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


def measure(name: str, rounds: int, rate: float) -> dict[str, object]:
    """Measures one input and prints its table.

    Arguments
    ---------
    name : str
        Key of `INPUTS`.
    rounds : int
        How often each task is timed.
    rate : float
        Of `matmul_rate`.

    Returns
    -------
    dict
        Median ms by task, and the ratios that matter.
    """
    batch, frames = INPUTS[name]
    with torch.inference_mode():
        seconds = interleaved(
            tasks(torch.randn(batch, frames, D_MODEL)), rounds
        )
    full = f"ours, n={N_TOTAL}"
    floor = macs(batch, frames) / rate
    print(f"\n## {name}\n\n| | ms | to n = {N_TOTAL} |\n|---|---|---|")
    for task, times in seconds.items():
        median = 1000 * statistics.median(times)
        print(f"| {task} | {median:.1f} | {ratio(seconds, task, full):.2f} |")
    print(f"| floor | {1000 * floor:.1f} | |\n")
    ratios = {
        f"n={n} to static": ratio(
            seconds, f"ours, n={n}", f"static, {n} layers"
        )
        for n in default_depths(N_TOTAL)
    }
    half = f"ours, n={N_TOTAL // 2}"
    ratios[f"n={N_TOTAL // 2} to n={N_TOTAL}"] = ratio(seconds, half, full)
    for peer in list(seconds)[-3:]:
        ratios[f"full depth to {peer}"] = ratio(seconds, full, peer)
    for label, value in ratios.items():
        print(f"{label}: {value:.3f}")
    medians = {k: 1000 * statistics.median(v) for k, v in seconds.items()}
    return {"ms": medians, "floor_ms": 1000 * floor, "ratios": ratios}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--inputs", nargs="+", default=list(INPUTS), choices=list(INPUTS)
    )
    parser.add_argument("--output", default="encoder_speed.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(machine())
    rate = matmul_rate()
    results = {
        name: measure(name, options.rounds, rate) for name in options.inputs
    }
    write_json(options.output, {"inputs": results})


if __name__ == "__main__":
    main()
