"""YAML as a tree whose tags stay: read, written, and what refers to what."""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ruamel.yaml
from ruamel.yaml.scalarstring import SingleQuotedScalarString

from dld_brain.run.checks import shown

#: What ruamel raises of what is no YAML, beside its own errors.
NO_YAML = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def read_tree(source: Any) -> dict[str, Any]:
    """Reads YAML and leaves its tags as they are.

    Arguments
    ---------
    source : str or Path
        YAML text, or the path of a file.
    """
    return ruamel.yaml.YAML().load(source) or {}


def read_file(path: Path) -> dict[str, Any]:
    """Reads a file of settings.

    Raises
    ------
    FileNotFoundError
        If it is no file.
    ValueError
        If it is no mapping in YAML, or no text.
    """
    name = str(path)[-200:]
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"the hyperparameter file must exist, but {name} is no file"
        )
    try:
        tree = read_tree(path)
    except (ruamel.yaml.YAMLError, UnicodeError, *NO_YAML) as error:
        why = " ".join(str(error).replace(str(path), "").split())
        raise ValueError(
            f"{name} must be YAML in UTF-8, but is not: {why[:240]}"
        ) from None
    if not isinstance(tree, dict) or not all(isinstance(k, str) for k in tree):
        raise ValueError(
            f"{name} must have a key and a value a line, but has {shown(tree)}"
        )
    return tree


def dump(tree: Any) -> str:
    """Writes a tree as YAML."""
    text = io.StringIO()
    ruamel.yaml.YAML().dump(tree, text)
    return text.getvalue()


def in_flow(node: Any) -> str:
    """A node on one line, as a command line may give it.

    Example
    -------
    >>> in_flow(read_tree("a: {b: !ref <c>, d: [1, null, x]}"))
    '{a: {b: !ref <c>, d: [1, null, x]}}'
    """
    if isinstance(node, dict):
        pairs = (f"{key}: {in_flow(value)}" for key, value in node.items())
        text = f"{{{', '.join(pairs)}}}"
    elif isinstance(node, list):
        text = f"[{', '.join(map(in_flow, node))}]"
    else:
        value = getattr(node, "value", node)
        text = "null" if value is None else str(value)
    return f"{tag(node)} {text}".strip()


def tag(node: Any) -> str:
    """The tag of a node, "" where it has none."""
    return getattr(getattr(node, "tag", None), "value", None) or ""


def as_nodes(value: Any) -> Any:
    """Values of a command line as YAML keeps them: words stay words."""
    if isinstance(value, Path):
        value = str(value)
    if tag(value):
        return value
    if isinstance(value, dict):
        return {key: as_nodes(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_nodes(entry) for entry in value]
    if isinstance(value, str):
        return SingleQuotedScalarString(value)
    # Of ruamel's floats PyYAML takes 1e-5 for a word.
    return float(value) if isinstance(value, float) else value


def check_references(tree: dict[str, Any], hparams_file: str) -> None:
    """Raises where a `!ref` names no key, or leads back to itself.

    Example
    -------
    >>> tree = read_tree("lr: !ref <speed>")
    >>> check_references(tree, "mine.yaml")
    Traceback (most recent call last):
    ...
    ValueError: `lr` must refer to keys of mine.yaml, but <speed> is none
    """
    name = hparams_file[-200:]
    uses = {key: set(_referred(node)) for key, node in tree.items()}
    for key, used in uses.items():
        for other in sorted(used - uses.keys()):
            raise ValueError(
                f"`{key}` must refer to keys of {name}, but "
                f"<{other[:100]}> is none"
            )
    for key in uses:
        reached, new = set(), uses[key]
        while new:
            reached |= new
            new = set().union(*(uses[k] for k in new)) - reached
        if key in reached:
            raise ValueError(
                f"`{key}` must have a value of its own, but refers to itself "
                f"in {name}"
            )


def _referred(node: Any) -> Iterator[str]:
    """The top-level keys that the references of a node name."""
    if tag(node) in ("!ref", "!copy"):
        for found in re.findall("<([^<>]*)>", str(node.value)):
            yield re.split(r"[.\[]", found)[0].strip()
    elif isinstance(node, (dict, list)):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _referred(each)
