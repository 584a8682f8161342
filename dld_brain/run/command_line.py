"""Reads a command line: SpeechBrain's options, and settings.

SpeechBrain's parser takes a setting for an option that it begins like
(`--log=x` for `--log_config`), splits values at `=`, and reads all of them
as YAML; so what is a setting never reaches it.
"""

import os
from collections.abc import Iterable
from typing import Any

import ruamel.yaml

import speechbrain as sb
from dld_brain.encoder.device import find_device
from dld_brain.run.blocks import BLOCKS
from dld_brain.run.checks import is_list, is_path
from dld_brain.run.config import read_tree
from dld_brain.run.settings import KINDS
from speechbrain.utils.run_opts import RunOptions


def parse(arguments: list[str]) -> tuple[str, RunOptions, dict[str, Any]]:
    """Reads a command line.

    Returns
    -------
    tuple
        The hparams file, SpeechBrain's options, settings by key.

    Example
    -------
    >>> parse(["x.yaml", "--lr=0.1", "--gates.p_open=0.7", "--debug"])[2]
    {'lr': 0.1, 'gates.p_open': 0.7}
    """
    theirs, ours = [], {}
    options = set(RunOptions.__dataclass_fields__)
    rest = iter(with_device(arguments))
    for argument in rest:
        key, equals, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or key in (*options, "help"):
            theirs.append(argument)
            continue
        if not equals:
            text = next(rest, None)
            if text is None or text.startswith("--"):
                raise ValueError(f"`--{key}` must have a value: --{key}=...")
        ours[key] = value_of(key, text)
    hparams_file, run_opts, _ = sb.parse_arguments(theirs)
    return hparams_file, run_opts, ours


def with_device(arguments: Iterable[str]) -> list[str]:
    """Puts a device in the place of `--device=auto`, and checks the others.

    Raises
    ------
    ValueError
        If a GPU is asked for, and there is none.

    Example
    -------
    >>> with_device(["x.yaml", "--device=cpu"])
    ['x.yaml', '--device=cpu']
    """
    found = []
    words = iter(arguments)
    for word in words:
        if word == "--device":
            word = f"--device={next(words, '')}"
        if word.startswith("--device="):
            word = f"--device={find_device(word.partition('=')[2])}"
        found.append(word)
    return found


def value_of(key: str, text: str) -> Any:
    """The value that a word of the command line gives a setting.

    Paths are taken as they stand, but for `~`; a list may be words that
    commas part; all else is YAML.

    Example
    -------
    >>> value_of("teacher", "1e3"), value_of("valid_depths", "4,8")
    ('1e3', [4, 8])
    >>> value_of("train_splits", "train-clean-100")
    ['train-clean-100']
    """
    name, _, option = key.partition(".")
    kind = KINDS.get(key)
    if is_path(kind) or (name in BLOCKS and option in BLOCKS[name].paths):
        return os.path.expanduser(text)
    if is_list(kind) and not text.lstrip().startswith("["):
        words = [word.strip() for word in text.split(",") if word.strip()]
        is_number = "depths" in key or "epochs" in key
        return [_yaml(key, w) for w in words] if is_number else words
    return _yaml(key, text)


def _yaml(key: str, text: str) -> Any:
    """A value as YAML has it, its tags as they are."""
    try:
        return read_tree(f"value: {text}")["value"]
    except (ruamel.yaml.YAMLError, KeyError, TypeError):
        raise ValueError(f"`{key}` must be YAML, but is {text!r}") from None
