"""Reads a command line: SpeechBrain's options, and settings.

SpeechBrain's parser takes a setting for an option that it begins like
(`--log=x` for `--log_config`), splits values at `=`, and reads all of them
as YAML; so what is a setting never reaches it.
"""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

import ruamel.yaml

import speechbrain as sb
from dld_brain.encoder.device import find_device
from dld_brain.run.blocks import BLOCKS
from dld_brain.run.checks import (
    Count,
    Natural,
    PathName,
    Positive,
    checked,
    is_list,
    is_path,
    of_numbers,
    parts,
    shown,
)
from dld_brain.run.settings import KINDS
from dld_brain.run.tree import NO_YAML, read_tree
from speechbrain.utils.run_opts import RunOptions

logger = logging.getLogger(__name__)

#: SpeechBrain's options; of some, the word alone is all.
OPTIONS = set(RunOptions.__dataclass_fields__)
FLAGS = {
    name
    for name, field in RunOptions.__dataclass_fields__.items()
    if field.type in (bool, "bool")
}
#: Which values SpeechBrain's options may have, where it takes all numbers.
OPTION_KINDS = {
    "max_grad_norm": Positive,
    "grad_accumulation_factor": Count,
    "ckpt_interval_minutes": Natural,
    "ckpt_interval_steps": Natural,
    "nonfinite_patience": Natural,
    "optimizer_step_limit": Count,
    "debug_batches": Count,
    "debug_epochs": Count,
    "profile_warmup": Natural,
    "profile_steps": Count,
}
#: How a path begins, where nothing says that it must be one.
PATHS = ("/", "./", "../", "~/")


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
    hparams_file, *words = with_device(arguments)
    rest = iter(words)
    for word in rest:
        key, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            raise ValueError(
                f"{shown(word)} belongs to no option: a value with a space in it "
                f"must be quoted, and an option begins with --"
            )
        if key in FLAGS:
            theirs.append(word)
            continue
        if not equals:
            text = _next_value(key, rest)
        if key in OPTIONS:
            text = os.path.expanduser(text) if key == "log_config" else text
            theirs.append(f"--{key}={text}")
            continue
        value = value_of(key, text)
        if ours.get(key, value) != value:
            logger.warning(
                "--%s is given twice, and the last counts: %s", key, text
            )
        ours.pop(key, None)  # the last is behind what it may overrule
        ours[key] = value
    _, run_opts, _ = sb.parse_arguments([hparams_file, *theirs])
    _check_options(run_opts)
    return hparams_file, run_opts, ours


def _next_value(key: str, rest: Iterator[str]) -> str:
    """The value of an option that stands behind it, as a word of its own."""
    text = next(rest, None)
    if text is None or text.startswith("--"):
        raise ValueError(f"`--{key}` must have a value: --{key}=...")
    return text


def _check_options(run_opts: RunOptions) -> None:
    """Raises where an option of SpeechBrain is none that it may be."""
    for name in run_opts.overridden_args & OPTION_KINDS.keys():
        value = getattr(run_opts, name)
        if isinstance(value, str):  # SpeechBrain leaves some a word
            value = _yaml(name, value)
        checked(name, value, OPTION_KINDS[name])


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

    Paths and words are taken as they stand, but for `~` of paths; a list may
    be words that commas part; all else is YAML.

    Example
    -------
    >>> value_of("teacher", "1e3"), value_of("valid_depths", "4,8")
    ('1e3', [4, 8])
    >>> value_of("train_splits", "train-clean-100")
    ['train-clean-100']
    """
    kind = kind_of(key)
    is_free = kind is None and text.startswith(PATHS)
    if is_path(kind) or is_free:
        if re.search("<.*>", text):
            raise ValueError(
                f"`{key}` must be a path without <...>, which stands for "
                f"another setting in an hparams file, but is {shown(text)}"
            )
        return os.path.expanduser(text)
    if kind is not None and parts(kind)[0] is str:
        is_none = parts(kind)[2] and text in ("", "null")
        # A word may be a path as well: `source` is.
        word = os.path.expanduser(text) if text.startswith("~/") else text
        return None if is_none else word
    if is_list(kind) and not text.lstrip().startswith("["):
        words = [word.strip() for word in text.split(",") if word.strip()]
        return [_yaml(key, w) for w in words] if of_numbers(kind) else words
    if key == "init_layers" and text[:1].isdigit():
        return _yaml(key, f"[{text}]")
    return _yaml(key, text)


def kind_of(key: str) -> Any:
    """The type of a setting, or of an option of a block; None of no one's.

    Example
    -------
    >>> kind_of("gates.p_open"), kind_of("corpus_options.allow_problems")
    (<class 'float'>, None)
    """
    name, _, option = key.partition(".")
    if name == "teacher_overrides" and option:
        return kind_of(option)
    if name not in BLOCKS or not option:
        return KINDS.get(key)
    block = BLOCKS[name]
    if option in block.paths:
        return PathName
    kinds = [block.options(maker).get(option) for maker in block.makers]
    return next((kind for kind in kinds if kind is not None), None)


def _yaml(key: str, text: str) -> Any:
    """A value as YAML has it, its tags as they are."""
    try:
        return read_tree(f"value: {text}")["value"]
    except (ruamel.yaml.YAMLError, *NO_YAML):
        raise ValueError(
            f"`{key[:60]}` must be YAML, but is {shown(text)}"
        ) from None
