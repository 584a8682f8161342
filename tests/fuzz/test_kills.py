"""A run that is killed and started again ends as if it had not been."""

import os
import subprocess
import sys

import pytest

#: How many kills; 30 for docs/reliability.md.
VARIABLE = "DLD_KILLS"


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not():
    # In a process of its own, which forks: torch must not have run before.
    n = os.environ.get(VARIABLE, "2")  # in its finish, and in an export
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.kills", "--kills", n, "--seed=5"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"| all | {n} | {n} |" in done.stdout
