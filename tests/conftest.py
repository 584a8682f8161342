"""Fixtures: a finished run, its model, real speech."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
#: Folder with an4/ and librispeech/: real speech, not part of the repository.
SPEECH_VARIABLE = "DLD_SPEECH_DATA"


@pytest.fixture(autouse=True)
def in_repository(monkeypatch):
    """Paths in tests start from the repository."""
    monkeypatch.chdir(REPOSITORY)


@pytest.fixture(scope="session")
def real_speech():
    """The folder of real speech, or a skip that says how to give it."""
    folder = os.environ.get(SPEECH_VARIABLE)
    if not folder:
        pytest.skip(f"{SPEECH_VARIABLE} names no folder of real speech")
    return Path(folder)


def run_train(*arguments: str, check: bool = True):
    """Runs train.py on the CPU, as a user would."""
    return subprocess.run(
        [sys.executable, "train.py", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=check,
    )


def small(**changes) -> list[str]:
    """Options of a model and a corpus small enough for a test that trains."""
    options = {
        "corpus": "AN4",
        "data_folder": "tests/samples/AN4",
        "vocab_size": 11,
        "n_total": 3,
        "d_model": 32,
        "d_ffn": 64,
        "n_heads": 2,
        "kernel_size": 7,
        "num_workers": 0,
        "random_draws": 0,
        **changes,
    }
    flags = [f"--{key}={value}" for key, value in options.items()]
    return [*flags, "--noprogressbar", "--device=cpu"]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """Output folder of a DLD run whose teacher was trained on the way."""
    folder = tmp_path_factory.mktemp("run")
    result = run_train(
        "hparams/conformer_dld.yaml",
        *small(
            output_folder=f"{folder}/dld/1",
            number_of_epochs=2,
            teacher_overrides="{number_of_epochs: 2, output_folder: "
            f"{folder}/teacher/1}}",
            random_draws=1,
        ),
    )
    (folder / "stdout.txt").write_text(result.stdout)
    return folder / "dld/1"


@pytest.fixture(scope="session")
def pretrained(finished_run):
    """The folder `pretrained` of that run."""
    return finished_run / "pretrained"
