"""What does `import pretrained_interfaces` take beyond its dependencies?

> python benchmarks/import_time.py

Each run is an interpreter of its own, that of the dependencies (torch and
SpeechBrain's inference) in turn with that of the package. Writes JSON.
"""

import argparse
import subprocess
import sys

from load import watched
from timing import interleaved, summary, write_result

IMPORTS = {
    "torch, SpeechBrain": "import torch, speechbrain.inference.ASR",
    "pretrained_interfaces": "import pretrained_interfaces",
}


def run(code: str) -> None:
    """Imports in a new interpreter."""
    subprocess.run([sys.executable, "-c", code], check=True)


def main() -> int:
    """Runs the benchmark; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", default="import_time.json")
    options = parser.parse_args()
    with watched() as load:
        tasks = {k: lambda c=c: run(c) for k, c in IMPORTS.items()}
        seconds = interleaved(tasks, options.rounds, warm_up=1)
    rows = [
        {"task": task, "input": "import", "ms": summary(times)}
        for task, times in seconds.items()
    ]
    base, whole = (row["ms"]["min"] for row in rows)
    print(f"{whole:.0f} ms, {whole - base:.0f} ms beyond torch, SpeechBrain")
    question = "What does importing take beyond torch and SpeechBrain?"
    return write_result(options.output, question, rows, load)


if __name__ == "__main__":
    sys.exit(main())
