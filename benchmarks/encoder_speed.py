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
import sys
import time

import torch
from load import watched
from stacks import (
    N_TOTAL,
    conformer_macs,
    conformer_tasks,
    wavlm_macs,
    wavlm_tasks,
)
from timing import interleaved, machine, ratio, summary, unequal, write_result

from dld_brain.evaluation.evaluate import default_depths
from dld_brain.evaluation.tables import markdown_table

ENCODERS = {
    "conformer": (conformer_tasks, conformer_macs),
    "wavlm": (wavlm_tasks, wavlm_macs),
}
#: Seconds of each utterance.
INPUTS = {
    "1 x 10 s": [10.0],
    "1 x 60 s": [60.0],
    "8 x 4 s": [4.0] * 8,
    "8 x 1 to 7 s": unequal(8, 4.0),
    "2 x 1 s": [1.0] * 2,  # for trying it out
}


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
) -> list[dict[str, object]]:
    """Measures one input.

    Returns
    -------
    list of dict
        A row for each task: ms over the rounds, ratio to our full depth, and
        of ours to the static stack of as many layers.
    """
    make_tasks, count_macs = ENCODERS[encoder]
    with torch.inference_mode():
        seconds = interleaved(make_tasks(INPUTS[name]), rounds)
    full = f"ours, n={N_TOTAL}"
    rows: list[dict[str, object]] = []
    for task, times in seconds.items():
        row = {"task": task, "input": name, "ms": summary(times)}
        rows.append({**row, "ratio": ratio(seconds, task, full)})
    for row, n in zip(rows[::2], default_depths(N_TOTAL)):
        ours, static = f"ours, n={n}", f"static, {n} layers"
        row["to_static"] = ratio(seconds, ours, static)
    floor = sum(map(count_macs, INPUTS[name])) / rate
    ms = summary([floor])
    return [*rows, {"task": "floor", "input": name, "ms": ms, "ratio": None}]


def show(rows: list[dict[str, object]]) -> None:
    """Prints the rows of all inputs."""
    lines = [
        [str(r["input"]), str(r["task"])]
        + [f"{x:.1f}" for x in r["ms"].values()]
        + [f"{r.get(k) or float('nan'):.2f}" for k in ("ratio", "to_static")]
        for r in rows
    ]
    head = ["input", "task", "min ms", "median", "max"]
    print(markdown_table([*head, f"to n = {N_TOTAL}", "to static"], lines))


def main() -> int:
    """Runs the benchmark; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--encoder", default="conformer", choices=ENCODERS)
    parser.add_argument(
        "--inputs", nargs="+", default=list(INPUTS)[:-1], choices=list(INPUTS)
    )
    parser.add_argument("--output", default="encoder_speed.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(machine())
    rows = []
    with watched() as load:
        rate = matmul_rate()
        for name in options.inputs:
            rows += measure(options.encoder, name, options.rounds, rate)
    show(rows)
    question = f"What does a depth of the {options.encoder} cost?"
    return write_result(options.output, question, rows, load)


if __name__ == "__main__":
    sys.exit(main())
