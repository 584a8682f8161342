"""The server's description against the server, by Schemathesis.

> pip install -e '.[serve,fuzz]'
> python -m tests.fuzz.api http://127.0.0.1:8000 --max-examples 1000

Schemathesis is a process of its own that asks a server's: Hypothesis looks into
every module that is loaded, and SpeechBrain's lazy ones fail then.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from tests.fuzz.harness import REPOSITORY

#: What no schema of a form can say: which bytes are audio, which fields go
#: together, that of a field that is sent twice the last counts.
LEFT_OUT = "positive_data_acceptance,negative_data_rejection"


def check(
    url: str, token: str, *options: str
) -> "subprocess.CompletedProcess[str]":
    """Asks a server all that its description allows, and more.

    Arguments
    ---------
    token : str
        Bearer token of the server, which must have one.
    *options
        Of `st run`.

    Returns
    -------
    subprocess.CompletedProcess
        Status 0 where no answer was of status 500 or other than described.
    """
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("run", f"{url}/openapi.json"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--exclude-checks", LEFT_OUT),
        *("--seed", "0", "--continue-on-failure", "--no-color"),
        *("--generation-database", "none", *options),
    ]
    variables = {
        "SCHEMATHESIS_HOOKS": "tests.fuzz.api_hooks",
        "PYTHONPATH": str(REPOSITORY),
    }
    with tempfile.TemporaryDirectory() as folder:  # it keeps what failed
        return subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def main(arguments: Sequence[str]) -> int:
    """Checks the server at an address; exit status 1 where it is wrong."""
    url, *options = arguments
    done = check(url, os.environ.get("DLD_SERVE_TOKEN", "none"), *options)
    print(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
