"""Model folders with random weights: for what costs the same with any.

> python benchmarks/random_models.py --tokenizer DIR/tokenizer.model --output OUT

OUT/whisper is an encoder of the size of Whisper tiny, OUT/wavlm one of that
of WavLM-base, each with a CTC head.
"""

import argparse
from pathlib import Path

from dld_brain.model_folder import save_model, weights_hash
from dld_brain.run.config import load_flat
from dld_brain.search.choose import even_gates, make_table
from dld_brain.tasks import TranscriptionTask

#: What Hugging Face's configurations, which are of these sizes, do not say.
CONFIGS = {"whisper": {}, "wavlm": {"model_type": "wavlm"}}


def make(name: str, task: TranscriptionTask, folder: Path) -> None:
    """Writes a model folder of `hparams/<name>_teacher.yaml`, untrained."""
    told = {"data_folder": "none", "vocab_size": len(task.symbols)}
    told |= {"source": None, "config": CONFIGS[name]}
    hparams = load_flat(f"hparams/{name}_teacher.yaml", told)
    modules = hparams["modules"]
    gates = even_gates(modules["model"].n_total)
    key = weights_hash(modules["model"])
    rate = hparams["sample_rate"]
    table = make_table(modules, key, rate, "even", gates)
    save_model(str(folder), modules, task, table, hparams)


def main() -> None:
    """Writes both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    task = TranscriptionTask.load(options.tokenizer)
    for name in CONFIGS:
        make(name, task, options.output / name)


if __name__ == "__main__":
    main()
