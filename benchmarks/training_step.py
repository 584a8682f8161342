"""What does a DLD training step cost, its teacher included?

> python benchmarks/training_step.py --threads 1

Times, in turn, on one batch of the paper's 31.2 M model: a CTC step at
full depth (the teacher's training), a step of random dropping, and a DLD
step. Depths are drawn as in training, the same for both.
"""

import argparse
import statistics
from typing import Any, Optional

import speechbrain as sb
import torch
from sentencepiece import SentencePieceProcessor
from speechbrain.dataio.batch import PaddedBatch
from timing import interleaved, machine, write_json

from dld_brain.gates.by_layer import BernoulliGates
from dld_brain.run.config import compose, load_flat, load_hparams
from dld_brain.run.run import make_brain as brain_of_a_run
from dld_brain.tasks import TranscriptionTask
from dld_brain.training.brain import DLDBrain
from dld_brain.training.memory import keep_freed_memory


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


def make_batch(n_utterances: int, seconds: float) -> PaddedBatch:
    """Makes a batch of noise, 10 tokens a second."""
    n_tokens = int(10 * seconds)
    return PaddedBatch(
        [
            {
                "id": str(i),
                "sig": torch.randn(int(16000 * seconds)),
                "reference": "NOISE",
                "targets": torch.randint(1, 256, (n_tokens,)),
            }
            for i in range(n_utterances)
        ]
    )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--utterances", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--output", default="training_step.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    print(machine())
    teacher = load_flat(
        "hparams/conformer_dld.yaml",
        {"data_folder": "none", "output_folder": "none"},
    )["modules"]
    n_steps = options.rounds + 2
    brains = {
        "CTC, full depth": make_brain(1.0, None, n_steps),
        "random dropping": make_brain(0.5, None, n_steps),
        "DLD": make_brain(0.5, teacher, n_steps),
    }
    batch = make_batch(options.utterances, options.seconds)

    def step(brain: DLDBrain) -> None:
        """Takes a step on the batch."""
        brain.step += 1
        brain.fit_batch(batch)

    seconds = interleaved(
        {name: lambda b=brain: step(b) for name, brain in brains.items()},
        options.rounds,
    )
    sampler = brains["DLD"].gate_sampler
    depths = [sum(sampler.gates(i)) for i in range(2, n_steps)]
    print(f"mean depth drawn: {statistics.mean(depths):.2f}")
    print("\n| step | mean ms | to CTC |\n|---|---|---|")
    plain = sum(seconds["CTC, full depth"])
    ratios = {}
    for name, times in seconds.items():
        # Means, since the depth differs from step to step.
        ratios[name] = sum(times) / plain
        print(
            f"| {name} | {1000 * statistics.mean(times):.0f} "
            f"| {ratios[name]:.2f} |"
        )
    write_json(options.output, {"ratios": ratios, "depths": depths})


if __name__ == "__main__":
    main()
