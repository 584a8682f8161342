"""What does a depth cost, and what do other encoders of this size?

> python benchmarks/encoder_speed.py --threads 1
> python benchmarks/encoder_speed.py --encoder wavlm --inputs "1 x 10 s"

One run. Conformer: the paper's stack (12 layers of width 256) at each depth,
a static stack of just those layers, SpeechBrain's and torchaudio's Conformers
of the same size. WavLM-base: ours at each depth, from the waveform on, and
Hugging Face's model cut to as many layers. And the floor: its
multiply-accumulates at the rate of a large matrix product. Prints a table,
writes JSON.
"""

import argparse
import statistics
import time

import torch
from stacks import (
    N_TOTAL,
    conformer_macs,
    conformer_tasks,
    wavlm_macs,
    wavlm_tasks,
)
from timing import interleaved, machine, ratio, write_json

from dld_brain.evaluation.evaluate import default_depths

ENCODERS = {
    "conformer": (conformer_tasks, conformer_macs),
    "wavlm": (wavlm_tasks, wavlm_macs),
}
#: Utterances and seconds of each input.
INPUTS = {"1 x 10 s": (1, 10), "1 x 60 s": (1, 60), "8 x 4 s": (8, 4)}


def matmul_rate(n: int = 2048, rounds: int = 5) -> float:
    """Multiply-accumulates a second of a large matrix product."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return n**3 / statistics.median(seconds)


def measure(
    encoder: str, name: str, rounds: int, rate: float
) -> dict[str, object]:
    """Measures one input and prints its table.

    Returns
    -------
    dict
        Median ms by task, and the ratios that matter.
    """
    make_tasks, count_macs = ENCODERS[encoder]
    tasks = make_tasks(*INPUTS[name])
    with torch.inference_mode():
        seconds = interleaved(tasks, rounds)
    full = f"ours, n={N_TOTAL}"
    floor = count_macs(*INPUTS[name]) / rate
    print(
        f"\n## {encoder}, {name}\n\n| | ms | to n = {N_TOTAL} |\n|---|---|---|"
    )
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
    for peer in [k for k in seconds if not k.startswith(("ours", "static"))]:
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
    parser.add_argument("--encoder", default="conformer", choices=ENCODERS)
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
        name: measure(options.encoder, name, options.rounds, rate)
        for name in options.inputs
    }
    write_json(options.output, {options.encoder: results})


if __name__ == "__main__":
    main()
