"""The house: what imports what, and what every public function says."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

#: From the ground up: a room uses only rooms below it.
ROOMS = (
    "files",
    "gates",
    "audio",
    "losses",
    "encoder",
    "depth_table",
    "tasks",
    "model_folder",
    "training",
    "evaluation",
    "search",
    "export",
    "run",
    "paper",
    "cli",
)
SOURCES = [
    path
    for folder in ("dld_brain", "pretrained_interfaces", "recipes")
    for path in sorted(Path(folder).rglob("*.py"))
] + [Path("train.py")]


#: Lines of a file, and of a function without its docstring.
MOST_OF_A_FILE, MOST_OF_A_FUNCTION = 300, 40
#: Files that are longer, and why a cut would make them harder to read.
LONG_FILES = {
    "dld_brain/losses.py": "pure functions, one below the other",
}


def public_functions(path: Path):
    """Public functions of a file and public methods of its classes."""
    module = ast.parse(path.read_text())
    classes = [n for n in module.body if isinstance(n, ast.ClassDef)]
    for scope in (module, *classes):
        for node in scope.body:
            is_function = isinstance(node, ast.FunctionDef)
            if is_function and not node.name.startswith("_"):
                yield node


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_public_functions_are_documented_and_typed(path):
    for node in public_functions(path):
        arguments = [*node.args.args, *node.args.kwonlyargs]
        named = [a for a in arguments if a.arg not in ("self", "cls")]
        assert node.returns is not None, node.name
        assert all(a.annotation is not None for a in named), node.name
        assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_files_are_short(path):
    n_lines = len(path.read_text().splitlines())
    is_long = n_lines > MOST_OF_A_FILE
    assert is_long == (path.as_posix() in LONG_FILES), n_lines


def functions(node: ast.AST):
    """Functions below a node, at any depth."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [n for n in ast.walk(node) if isinstance(n, kinds) and n != node]


def lines_of(function: ast.FunctionDef) -> int:
    """Lines behind the docstring, without those of functions within."""
    body = function.body[ast.get_docstring(function) is not None :]
    lines = {n for x in body for n in range(x.lineno, x.end_lineno + 1)}
    for inner in functions(function):
        lines -= set(range(inner.lineno, inner.end_lineno + 1))
    return len(lines)


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_functions_are_short(path):
    found = functions(ast.parse(path.read_text()))
    long = [f.name for f in found if lines_of(f) > MOST_OF_A_FUNCTION]
    assert not long


def room(module: str) -> str:
    """The room of a module: dld_brain.<room>.<...>."""
    return module.split(".")[1]


def imported(path: Path) -> set[str]:
    """Rooms that a file imports, also within its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "dld_brain":
                names = [f"dld_brain.{alias.name}" for alias in node.names]
            rooms = {room(n) for n in names if n.startswith("dld_brain.")}
            found |= rooms & set(ROOMS)  # the facade is below all
    return found


@cache
def arrows() -> dict[str, set[str]]:
    """By room, the other rooms that it imports."""
    found: dict[str, set[str]] = {name: set() for name in ROOMS}
    for path in Path("dld_brain").rglob("*.py"):
        own = path.relative_to("dld_brain").with_suffix("").parts[0]
        if own != "__init__":  # the facade, which looks inside when asked
            found[own] |= imported(path) - {own}
    return found


def test_no_room_imports_one_above_it():
    for own, others in arrows().items():
        above = {o for o in others if ROOMS.index(o) >= ROOMS.index(own)}
        assert not above, f"{own} imports {', '.join(sorted(above))}"


def test_the_house_has_at_most_eight_floors():
    @cache
    def floor(name: str) -> int:
        return 1 + max(map(floor, arrows()[name]), default=0)

    assert max(map(floor, ROOMS)) <= 8
    assert len(list(Path("dld_brain").glob("[!_]*"))) <= 15


def loaded(code: str) -> set[str]:
    """Modules that are there once some code has run."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_inference_loads_nothing_of_training():
    with_ours = loaded("from pretrained_interfaces.asr import *")
    ours = with_ours - loaded("import speechbrain.inference.ASR")
    rooms = {room(m) for m in ours if m.startswith("dld_brain.")}
    assert not rooms & {"training", "evaluation", "search", "export", "run"}
    heavy = {"jiwer", "joblib", "matplotlib", "torch.export", "transformers"}
    assert not ours & heavy


def test_a_model_is_loaded_without_a_compiler():
    """What is counted on the meta device is not drawn: that imports one."""
    code = "from pretrained_interfaces import DynamicEncoderASR as A"
    found = loaded(f"{code}; A.from_hparams(device='cpu')")
    assert not found & {"sympy", "torch._dynamo", "transformers"}


@pytest.mark.parametrize(
    "name",
    [
        "dld_brain.cli",
        "dld_brain.export.transcribe_onnx",
        "pretrained_interfaces.__main__",
    ],
)
def test_what_answers_at_once_or_without_torch_is_light(name):
    assert not loaded(f"import {name}") & {"torch", "speechbrain"}
