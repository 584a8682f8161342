"""Runs fuzzed cases and prints what came out.

> python -m tests.fuzz                       # all: the table of counts
> python -m tests.fuzz audio                 # a subject
> python -m tests.fuzz audio "flac, cut"     # one case
> python -m tests.fuzz --write               # all; the table goes into docs
"""

import argparse
import importlib
import sys

from tests.fuzz.harness import SUBJECTS, Result, faults, run_cases, table
from tests.fuzz.page import PAGE, write


def main() -> int:
    """Exit status: 1 where a case has a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("subject", nargs="?", choices=SUBJECTS)
    parser.add_argument("cases", nargs="*", metavar="case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"to {PAGE.name}")
    parser.add_argument("--all", action="store_true", help="say good ones, too")
    options = parser.parse_args()
    results: list[Result] = []
    for subject in [options.subject] if options.subject else SUBJECTS:
        module = importlib.import_module(f"tests.fuzz.{subject}")
        names = [case.name for case in module.cases(options.seed)]
        unknown = set(options.cases) - set(names)
        if unknown:
            parser.error(
                f"{subject} has no case {', '.join(map(ascii, unknown))}"
            )
        names = options.cases or names
        for found in run_cases(subject, names, options.seed):
            results.append(found)
            if options.all or options.cases or faults([found]):
                print(found, flush=True)
    print(table(results))
    if options.write and not options.subject:
        write("fuzz", table(results))
    return int(bool(faults(results)))


if __name__ == "__main__":
    sys.exit(main())
