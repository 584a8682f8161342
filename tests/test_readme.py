"""The commands of the READMEs exist and are those that are tested."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dld_brain.cli import COMMANDS
from dld_brain.paper.published import read_paper
from dld_brain.run.command_line import parse
from dld_brain.run.config import compose

SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"
READMES = [
    Path("README.md"),
    *sorted(Path("docs").glob("*.md")),
    Path("benchmarks/README.md"),
    *sorted(Path("recipes").glob("*/README.md")),
]


def shell_text(path: Path) -> str:
    """What a README has for a shell: its blocks, and commands in its text."""
    pieces = re.split(r"^```(\w*)\n", f"{path.read_text()}\n", flags=re.M)
    languages, prose = pieces[1::4], " ".join(pieces[::4])
    blocks = [b for b, name in zip(pieces[2::4], languages) if name == "bash"]
    spans = [" ".join(s.split()) for s in re.findall(r"`([^`]+)`", prose)]
    starts = ("python ", "dld ", "torchrun ")
    return "\n".join(blocks + [s for s in spans if s.startswith(starts)])


def commands(path: Path) -> list[str]:
    """Commands of a README: continued lines joined, variables filled in."""
    found, variables = [], {}
    for line in shell_text(path).replace("\\\n", " ").split("\n"):
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        for name, value in variables.items():
            line = re.sub(rf"\${name}\b", lambda _, v=value: v, line)
        assignment = re.fullmatch(r"(\w+)=(\"[^\"]*\"|\S+)", line)
        if assignment:
            variables[assignment[1]] = assignment[2].strip('"')
        elif line:
            found.append(line)
    return found


def anchors(path: Path) -> set[str]:
    """What links to the headings of a document, as GitHub has it."""
    heads = re.findall(r"^#+ (.*)", path.read_text(), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", head).lower() for head in heads]
    return {word.replace(" ", "-") for word in words}


@pytest.mark.parametrize("path", READMES, ids=str)
def test_the_files_that_a_readme_names_exist(path):
    text = path.read_text()
    for name in re.findall(r"hparams/[\w/]+\.yaml", text):
        assert Path(name).is_file(), name
    for link in re.findall(r"\]\((?!http)([^)]+)\)", text):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", READMES, ids=str)
def test_every_training_command_is_understood(path, hf_folder, tmp_path):
    for command in commands(path):
        words = re.search(r"(?:train\.py|dld train) (hparams/\w.*)", command)
        if not words:
            continue
        name, _, overrides = parse(shlex.split(words[1]))
        if "wavlm" in name and overrides.get("source", "") is not None:
            overrides.update(source=hf_folder)  # no network in tests
        overrides["output_folder"] = str(tmp_path)  # where it makes folders
        told = compose(name, {"data_folder": "x", **overrides})
        settings = told.settings()
        assert settings.data.data_folder, command
        for key, value in overrides.items():
            if isinstance(told.tree.get(key), str):
                assert told.tree[key] == value, command


@pytest.mark.parametrize("path", READMES, ids=str)
def test_every_flag_of_the_other_commands_is_known(path, capsys):
    for command in commands(path):
        found = re.match(
            r"python (benchmarks/\w+\.py)|dld (export \w+|\w+)", command
        )
        if not found or found[2] == "train":
            continue
        script, words = found.groups()
        if script:
            known = re.findall(r'"(--\w+)"', Path(script).read_text())
        else:
            known = re.findall(r"--\w+", help_of(words.split(), capsys))
        for flag in re.findall(r"(?<=\s)--\w+", command):
            assert flag in known, command


def help_of(words: list[str], capsys: pytest.CaptureFixture) -> str:
    """What `dld ... --help` prints."""
    first, *rest = words
    with pytest.raises(SystemExit) as ended:
        module_of(first).main([*COMMANDS[first][1], *rest, "--help"])
    assert not ended.value.code
    return capsys.readouterr().out


def module_of(word: str) -> ModuleType:
    """What `dld` runs for a word."""
    return importlib.import_module(COMMANDS[word][0])


@pytest.mark.parametrize("path", READMES, ids=str)
def test_the_tables_that_a_readme_names_exist(path):
    tables = read_paper()
    for command in commands(path):
        found = re.match(r"dld paper (\w+) --runs \S", command)
        assert not command.startswith("dld paper") or (
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
    text = re.sub(
        r"\b(a\.wav|results/SpokenCommands/\S+\.flac)\b", SPEECH, text
    )
    text = re.sub(r"(n_layers[= ]|start=)[46]", r"\g<1>2", text)
    text = text.replace("--n_layers 2 6 12", "--n_layers 2 3")
    # On a machine of any speed.
    text = text.replace("max_latency=0.4", "max_latency=99")
    text = text.replace("max_rtf 0.05", "max_rtf 99")
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
    """Commands of the README that work on a finished model.

    What runs until it is told to end has tests of its own.
    """
    left_out = ("train", "serve", "live")
    starts = tuple(f"dld {word}" for word in COMMANDS if word not in left_out)
    return [c for c in commands(READMES[0]) if c.startswith(starts)]


@pytest.mark.parametrize("command", shell_commands())
def test_the_shell_examples_run(command, model, finished_run, tmp_path):
    text = adapted(command, model).replace("OUT", str(tmp_path / "out"))
    runs = f"{finished_run} --output {tmp_path}"
    text = re.sub(r"results/LibriSpeech/\S+", runs, text)
    result = subprocess.run(
        [sys.executable, "-m", "dld_brain.cli", *shlex.split(text)[1:]],
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
