"""What does a DLD training step cost, its teacher included?

> python benchmarks/training_step.py --threads 1

Times, in turn, on batches of equal and of unequal lengths, of the paper's 31.2 M model: a CTC step at
full depth (the teacher's training), a step of random dropping, and a DLD
step. Depths are drawn as in training, the same for both.
"""

import argparse
import statistics
import sys
from typing import Any, Optional

import torch
from load import watched
from sentencepiece import SentencePieceProcessor
from timing import interleaved, machine, summary, unequal, write_result

import speechbrain as sb
from dld_brain.evaluation.tables import markdown_table
from dld_brain.gates.by_layer import BernoulliGates
from dld_brain.run.config import compose, load_flat, load_hparams
from dld_brain.run.fitting import make_brain as brain_of_a_run
from dld_brain.tasks import TranscriptionTask
from dld_brain.training.brain import DLDBrain
from dld_brain.training.memory import keep_freed_memory
from speechbrain.dataio.batch import PaddedBatch


def make_brain(
    p_open: float, teacher: Optional[dict[str, Any]], n_rounds: int
) -> DLDBrain:
    """Makes the Brain of the paper's model."""
    settings = {
        "data_folder": "none",
        "output_folder": "none",
        "wav_augment": None,
        "fea_augment": None,
    }
    composed = compose("hparams/conformer_dld.yaml", settings)
    told = composed.settings()
    brain = brain_of_a_run(
        told,
        load_hparams(composed),
        {"device": "cpu"},
        checkpointer=None,
        gate_sampler=BernoulliGates(told.encoder.n_total, 1, p_open),
        task=TranscriptionTask(SentencePieceProcessor()),
        teacher=teacher,
    )
    brain.on_fit_start()
    brain.on_stage_start(sb.Stage.TRAIN, 1)
    brain.modules.train()
    brain.n_train_batches = n_rounds
    return brain


def make_batch(lengths: list[float]) -> PaddedBatch:
    """Makes a batch of noise of these seconds, 10 tokens a second."""
    return PaddedBatch(
        [
            {
                "id": str(i),
                "sig": torch.randn(int(16000 * seconds)),
                "reference": "NOISE",
                "targets": torch.randint(1, 256, (int(10 * seconds),)),
            }
            for i, seconds in enumerate(lengths)
        ]
    )


def measure(
    name: str, batch: PaddedBatch, rounds: int
) -> list[dict[str, object]]:
    """Times the three kinds of step on a batch.

    Returns
    -------
    list of dict
        A row for each: ms over the rounds, and the ratio of the sums, since
        the depth differs from step to step.
    """
    teacher = load_flat(
        "hparams/conformer_dld.yaml",
        {"data_folder": "none", "output_folder": "none"},
    )["modules"]
    n_steps = rounds + 2
    brains = {
        "CTC, full depth": make_brain(1.0, None, n_steps),
        "random dropping": make_brain(0.5, None, n_steps),
        "DLD": make_brain(0.5, teacher, n_steps),
    }

    def step(brain: DLDBrain) -> None:
        """Takes a step on the batch."""
        brain.step += 1
        brain.fit_batch(batch)

    seconds = interleaved(
        {task: lambda b=brain: step(b) for task, brain in brains.items()},
        rounds,
    )
    sampler = brains["DLD"].gate_sampler
    depths = [sum(sampler.gates(i)) for i in range(2, n_steps)]
    print(f"mean depth drawn: {statistics.mean(depths):.2f}")
    plain = sum(seconds["CTC, full depth"])
    return [
        {
            "task": task,
            "input": name,
            "ms": summary(times),
            "ratio": sum(times) / plain,
        }
        for task, times in seconds.items()
    ]


def main() -> int:
    """Runs the benchmark; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--utterances", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--output", default="training_step.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    print(machine())
    s = options.seconds
    inputs = {f"{n} x {s:g} s": [s] * n for n in options.utterances}
    n = max(options.utterances)
    if n > 1:
        inputs[f"{n} x {s / 4:g} to {7 * s / 4:g} s"] = unequal(n, s)
    rows = []
    with watched() as load:
        for name, lengths in inputs.items():
            rows += measure(name, make_batch(lengths), options.rounds)
    head = ["input", "step", "median ms", "to CTC"]
    lines = [
        [r["input"], r["task"], f"{r['ms']['median']:.0f}", f"{r['ratio']:.2f}"]
        for r in rows
    ]
    print(markdown_table(head, lines))
    question = "What does a DLD training step cost, its teacher included?"
    return write_result(options.output, question, rows, load)


if __name__ == "__main__":
    sys.exit(main())
