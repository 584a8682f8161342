"""What `train.py --help` says: which files there are, and their keys."""

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dld_brain.run.config import compose
from dld_brain.run.overriding import is_setting
from dld_brain.run.places import HPARAMS
from dld_brain.run.tree import in_flow

USAGE = """\
usage: {program} FILE [--key=value ...]
       {program} FILE --help     the keys of a file

FILE is one of these, or a YAML file of your own:

{files}

The same command again goes on where a run was stopped; --test_only scores a
model that is there. SpeechBrain's run options work as well: --device=auto,
--precision=bf16, --grad_accumulation_factor=4, --noprogressbar, ...
"""


def recipes() -> dict[str, Path]:
    """The files of hparams/ that can be run, by name.

    Example
    -------
    >>> "quickstart" in recipes()
    True
    """
    paths = sorted(HPARAMS.rglob("*.yaml"))
    return {
        path.relative_to(HPARAMS).with_suffix("").as_posix(): path
        for path in paths
    }


def find_recipe(word: str) -> str:
    """The file that a word of the command line stands for.

    Arguments
    ---------
    word : str
        Path of a file, or a name of `recipes`.

    Raises
    ------
    FileNotFoundError
        If it is neither; names that are near are said.

    Example
    -------
    >>> find_recipe("quikstart")
    Traceback (most recent call last):
    ...
    FileNotFoundError: no hparams file is called quikstart: try quickstart
    """
    path = os.path.expanduser(word)
    if os.path.isfile(path):  # also of what no path can be
        return path
    known = recipes()
    name = word.removeprefix("hparams/").removesuffix(".yaml")
    if name in known:
        return str(known[name])
    near = difflib.get_close_matches(name, known, n=3)
    hint = f": try {', '.join(near)}" if near else ""
    raise FileNotFoundError(f"no hparams file is called {word[:200]}{hint}")


def overview(program: str) -> str:
    """What can be trained: `--help` without a file."""
    width = max(map(len, recipes()))
    lines = [
        f"  {name:{width}}  {_summary(path)}"
        for name, path in recipes().items()
    ]
    return USAGE.format(program=program, files="\n".join(lines))


def describe(path: str) -> str:
    """The header of a file, and the settings of it and what it includes.

    Each has the value that a run of the file takes.

    Raises
    ------
    ValueError, FileNotFoundError
        If it is no file of settings.
    """
    tree = compose(path).tree
    lines, seen = [*_header(path), ""], set()
    for file in (Path(path), *_included(Path(path))):
        keys = {k: line for k, line in _keys(file, tree) if k not in seen}
        seen |= keys.keys()
        lines += [f"{file.name}:", *keys.values(), ""]
    return "\n".join(lines)


def _header(path: str) -> list[str]:
    """The comment that a file begins with, without its frame."""
    found = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if set(line) - {"#", " "}:
            found.append(line.removeprefix("#").removeprefix(" "))
    return found


def _summary(path: Path) -> str:
    """The first sentence of a header, on one line."""
    text = " ".join(_header(str(path)))
    sentence = re.split(r"(?<=[^.]\w\))[.:]\s|[.:]\s|\s>\s", text)[0]
    return sentence if len(sentence) <= 100 else sentence[:97] + "..."


def _included(path: Path) -> Iterator[Path]:
    """The files that a file includes."""
    for name in re.findall(r"!include:(\S+)", path.read_text("utf-8")):
        yield (path.parent / name).resolve()


def _keys(path: Path, tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings of a file, each with `--key=value` and its comment.

    A comment stands behind the value, or else in lines of its own above.
    """
    above: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        found = re.match(r"([a-z]\w*):[^#]*(?:#\s*(.*))?$", line)
        if found and is_setting(found[1], tree):
            flag = f"  --{found[1]}={in_flow(tree[found[1]])}"
            comment = found[2] or " ".join(above)
            yield found[1], f"{flag:40}  {comment}" if comment else flag
        is_comment = line.startswith("# ") and set(line) - {"#", " "}
        above = [*above, line[2:].strip()] if is_comment else []
