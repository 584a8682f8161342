"""The commands of the READMEs exist and are those that are tested."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dld_brain.paper.__main__ import DATA
from dld_brain.run.config import read_tree

SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
READMES = [
    Path("README.md"),
    Path("docs/methods.md"),
    *sorted(Path("recipes").glob("*/README.md")),
]


def commands(path: Path) -> list[str]:
    """Lines of the shell blocks of a README, continued lines joined."""
    blocks = re.findall(r"```bash\n(.*?)```", path.read_text(), re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in text.split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("path", READMES, ids=str)
def test_the_files_that_a_readme_names_exist(path):
    text = path.read_text()
    for name in re.findall(r"hparams/[\w/]+\.yaml", text):
        assert Path(name).is_file(), name
    for link in re.findall(r"\]\((?!http|#)([^)]+)\)", text):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", READMES, ids=str)
def test_every_training_command_is_understood(path, hf_folder, tmp_path):
    from dld_brain.run.config import load_flat

    for command in commands(path):
        found = re.search(r"train\.py (hparams/\w+\.yaml)(.*)", command)
        if not found:
            continue
        flags = dict(re.findall(r"--(\w+)=('[^']*'|\S+)", found[2]))
        run_options = {"precision", "device", "distributed_backend"}
        overrides = {
            key: yaml.safe_load(value.strip("'"))
            for key, value in flags.items()
            if key not in run_options and not re.match("'{|\"\\$", value)
        }
        if "wavlm" in found[1]:  # no network in tests
            overrides.update(source=hf_folder, normalize_wav=False)
        overrides["output_folder"] = str(tmp_path)  # where it makes folders
        hparams = load_flat(found[1], {"data_folder": "x", **overrides})
        for key, value in overrides.items():
            if isinstance(hparams[key], str):
                assert hparams[key] == value, command


@pytest.mark.parametrize("path", READMES, ids=str)
def test_the_tables_that_a_readme_names_exist(path):
    tables = read_tree(DATA)
    for command in commands(path):
        found = re.match(r"python -m dld_brain\.paper (\w+) --runs \S", command)
        assert not command.startswith("python -m dld_brain.paper") or (
            found and found[1] in tables
        ), command


def test_the_first_screen_gives_the_two_commands():
    first_screen = Path("README.md").read_text().splitlines()[:60]
    text = "\n".join(first_screen)
    assert (
        "pip install -e '.[quickstart]' && "
        "python train.py hparams/quickstart.yaml" in text
    )
    assert "pip install -e '.[test]' && pytest" in text
    assert "wer_vs_depth" in text or "![" in text


def adapted(text: str, pretrained: Path) -> str:
    """A command of the README on the model and the audio of the tests."""
    text = re.sub(r"\b(speech\.wav|a\.wav|b\.flac)\b", SPEECH, text)
    text = re.sub(r"((?:n_layers|start)[= ])[46]", r"\g<1>2", text)
    text = text.replace("--n_layers 2 6 12", "--n_layers 2 3")
    # On a machine of any speed.
    text = text.replace("max_latency=0.4", "max_latency=99")
    text = text.replace("--max_rtf 0.05", "--max_rtf 99")
    model = r"results/quickstart/student/1986/pretrained|\bDIR\b"
    return re.sub(model, str(pretrained), text)


@pytest.fixture
def model(pretrained, tmp_path):
    """A copy of a model that keeps its calibration to itself."""
    for file in pretrained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_the_python_examples_run(model):
    blocks = re.findall(
        r"```python\n(.*?)```", READMES[0].read_text(), re.DOTALL
    )
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(adapted(block, model), names)
    assert names["asr"].depths == (1, 2, 3)
    assert names["small"].n_total == 2


def shell_commands() -> list[str]:
    """Commands of the README that work on a finished model."""
    starts = ("python -m pretrained", "python -m dld_brain")
    return [c for c in commands(READMES[0]) if c.startswith(starts)]


@pytest.mark.parametrize("command", shell_commands())
def test_the_shell_examples_run(command, model, finished_run, tmp_path):
    text = adapted(command, model).replace("OUT", str(tmp_path / "out"))
    runs = f"{finished_run} --output {tmp_path}"
    text = re.sub(r"results/LibriSpeech/\S+", runs, text)
    result = subprocess.run(
        [sys.executable, *shlex.split(text)[1:]],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    if "transcribe" in text:
        n_files = text.count(SPEECH)
        assert len(result.stdout.splitlines()) == n_files


def test_the_changelog_names_the_version():
    from dld_brain import __version__

    assert f"## [{__version__}]" in Path("CHANGELOG.md").read_text()
