"""Measures everything that the speed tables show.

> python benchmarks/speed.py --source DIR && python benchmarks/publish.py

Runs the scripts one after another into benchmarks/results/*.json. A result
of a busy machine is written beside, as <name>.not_quiet.json, and the exit
status is 3.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
Jobs = dict[str, list[str]]


def jobs(tiny: bool) -> Jobs:
    """By result, the script and its options."""
    few = ["--rounds", "1"] if tiny else []
    inputs = ["--inputs", "2 x 1 s"] if tiny else []
    batch = ["--utterances", "2", "--seconds", "1"] if tiny else []
    wavlm = inputs or ["--inputs", "1 x 10 s", "8 x 1 to 7 s"]
    encoder = ["encoder_speed.py", "--encoder"]
    return {
        "import_time": ["import_time.py", *few],
        "encoder_conformer": [*encoder, "conformer", *inputs, *few],
        "encoder_wavlm": [*encoder, "wavlm", *wavlm, *few],
        "training_step": ["training_step.py", *batch, *few],
    }


def main() -> int:
    """Runs the scripts; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", help="model folder of the formats' table")
    parser.add_argument("--only", nargs="+", help="results to measure")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--tiny", action="store_true", help="to try it out")
    options = parser.parse_args()
    todo = jobs(options.tiny)
    if options.source:
        source = ["--source", options.source, "--n_layers", "2", "6", "12"]
        todo["formats"] = ["formats.py", *source, "--rounds", "10"]
    if unknown := set(options.only or ()) - set(todo):
        parser.error(f"`only` must be of {sorted(todo)}, but is {unknown}")
    status = 0
    for name in options.only or todo:
        script, *rest = todo[name]
        path = options.output / f"{name}.json"
        new = path.with_suffix(".new.json")
        command = [sys.executable, str(HERE / script), *rest]
        done = subprocess.run([*command, "--output", str(new)])
        if done.returncode not in (0, 3):
            return done.returncode
        status = max(status, done.returncode)
        kept = path.with_suffix(".not_quiet.json") if done.returncode else path
        new.replace(kept)
    return status


if __name__ == "__main__":
    sys.exit(main())
