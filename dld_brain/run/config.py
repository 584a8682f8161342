"""Reads an hparams file, the files it includes and a corpus as one.

A file of hparams/ names what it differs in. It `!include`s the encoder and
the recipe that several share; their keys are reached as if they stood in
the file itself. What a corpus changes stands in recipes/<Corpus>/corpus.yml.
From weak to strong: included file (there, what the encoder's `training`
changes in the recipe), corpus, hparams file, command line.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from hyperpyyaml import load_hyperpyyaml, resolve_references

from dld_brain.run.blocks import BLOCKS, with_blocks
from dld_brain.run.checks import is_path, shown
from dld_brain.run.overriding import merged, override
from dld_brain.run.places import RECIPES, SHARED, corpora
from dld_brain.run.settings import KINDS, Settings
from dld_brain.run.tree import (
    as_nodes,
    check_references,
    dump,
    read_file,
    read_tree,
    tag,
)

#: Keys of an hparams file whose value includes a shared file.
INCLUDES = ("encoder", "recipe")

Overrides = Union[str, dict[str, Any], None]


def included_file(hparams_file: str, node: Any) -> Path:
    """Path of the file that an `!include:` names, from beside its own.

    Raises
    ------
    ValueError
        If it is no such node.
    """
    name = tag(node).removeprefix("!include:")
    if not tag(node).startswith("!include:") or not isinstance(node, dict):
        raise ValueError(
            f"{hparams_file[-200:]} must have the keys `encoder` and `recipe`, "
            f"each with !include:<file> and keys under it: see "
            f"hparams/conformer_teacher.yaml"
        )
    return Path(hparams_file).resolve().parent / name


def corpus_settings(corpus: Optional[str], encoder: str) -> dict[str, Any]:
    """What a corpus changes in every recipe, and in those of an encoder.

    Arguments
    ---------
    corpus : str, optional
        Name of a folder of recipes/; none for CSV files of one's own.
    encoder : str
        Name of the encoder's shared file: what a corpus.yml has under that
        name holds for this encoder alone.

    Example
    -------
    >>> corpus_settings("AN4", "conformer")["d_model"]
    128
    >>> "d_model" in corpus_settings("AN4", "wavlm")
    False
    >>> corpus_settings("Klingon", "conformer")
    Traceback (most recent call last):
    ...
    ValueError: `corpus` must be one of AN4, ..., but is 'Klingon'; ...
    """
    if not corpus:
        return {}
    if not isinstance(corpus, str) or corpus not in corpora():
        raise ValueError(
            f"`corpus` must be one of {', '.join(corpora())}, but is "
            f"{shown(corpus)}; for CSV files of your own give --corpus=''"
        )
    settings = read_tree(RECIPES / corpus / "corpus.yml")
    encoders = {path.stem for path in SHARED.glob("*.yml")}
    sections = {name: settings.pop(name, {}) for name in encoders}
    return {**settings, **sections.get(encoder, {})}


@dataclass(frozen=True)
class Composed:
    """The keys of an hparams file and its includes, on one level.

    Arguments
    ---------
    tree : dict
        Keys and nodes; references are not resolved.
    encoder_keys : list of str
        Those that stand in the encoder's file.
    changed : set of str
        Keys that something else than an included file sets.
    """

    hparams_file: str
    tree: dict[str, Any]
    encoder: str
    encoder_keys: list[str]
    changed: set[str]

    def text(self) -> str:
        """The tree as YAML, with its references resolved."""
        if tag(self.tree["data_folder"]) == "!PLACEHOLDER":
            raise ValueError(
                "`data_folder` must be given: --data_folder=/path/to/corpus"
            )
        check_references(self.tree, self.hparams_file)
        return resolve_references(dump(self.tree)).getvalue()

    def resolved(self) -> dict[str, Any]:
        """Keys and values; of objects, what they are made of."""
        return read_tree(self.text())

    def settings(self) -> Settings:
        """The settings, checked."""
        return Settings.read(self.resolved(), self.encoder, self.hparams_file)

    def encoder_settings(self) -> dict[str, Any]:
        """What the run changes in the encoder's file."""
        keys = [key for key in self.encoder_keys if key in self.changed]
        return {key: self.tree[key] for key in keys}


def compose(hparams_file: str, overrides: Overrides = None) -> Composed:
    """Puts together what a run is told.

    Arguments
    ---------
    overrides : str or dict
        Keys and values, as on the command line.

    Example
    -------
    >>> found = compose("hparams/conformer_rd.yaml", {"gates.p_open": 0.7})
    >>> found.tree["gates"]
    {'sampler': 'bernoulli', 'p_open': 0.7}
    """
    own = read_file(Path(hparams_file))
    if not isinstance(overrides, dict):
        overrides = read_tree(overrides) if overrides else {}
    overrides = as_nodes(with_blocks(overrides))
    paths = {key: included_file(hparams_file, own.get(key)) for key in INCLUDES}
    files = {key: read_file(path) for key, path in paths.items()}
    encoder = paths["encoder"].stem
    corpus = overrides.get("corpus", own.get("corpus"))
    top = {key: own[key] for key in own if key not in INCLUDES}
    tree = {**top, **files["encoder"]}
    tree.update({k: v for k, v in files["recipe"].items() if k not in top})
    training = tree.pop("training", {})
    weak = {k: v for file in files.values() for k, v in file.items()}
    for key in top:  # what is passed on to the includes is of the file itself
        tree[key] = weak.get(key, tree[key])
    changed = override(
        tree,
        [
            training,
            corpus_settings(corpus, encoder),
            _differences(own["encoder"]),
            _differences(own["recipe"]),
            top,
            overrides,
        ],
    )
    _expand_homes(tree)
    if tree["trained_on"] is None:
        usual = merged("", weak, corpus_settings(corpus, encoder))
        tree["trained_on"] = training_data(tree, usual["train_splits"])
    keys = [key for key in files["encoder"] if key in tree]
    return Composed(hparams_file, tree, encoder, keys, changed)


def training_data(tree: dict[str, Any], usual: list[str]) -> str:
    """What a model is trained on, as a part of the name of its folder.

    Arguments
    ---------
    usual : list of str
        Training splits that go without saying: all of the corpus.

    Example
    -------
    >>> tree = {"corpus": "LibriSpeech", "train_splits": ["train-clean-100"]}
    >>> training_data(tree, ["train-clean-100", "train-clean-360"])
    'LibriSpeech-train-clean-100'
    >>> tree = {"corpus": "", "data_folder": "/my/calls", "train_splits": ["a"]}
    >>> training_data(tree, ["a"])
    'calls'
    """
    name = tree["corpus"] or Path(str(tree["data_folder"])).name
    splits = list(tree["train_splits"])
    return name if splits == list(usual) else f"{name}-{'+'.join(splits)}"


def _expand_homes(tree: dict[str, Any]) -> None:
    """Puts the home folder in the place of `~`, in all that is a path."""
    for key, value in tree.items():
        if key in BLOCKS and isinstance(value, dict):
            names = [name for name in BLOCKS[key].paths if name in value]
            found = {name: _expanded(value[name]) for name in names}
            tree[key] = {**value, **found}
        elif key == "corpus_options" and isinstance(value, dict):
            tree[key] = {k: _expanded(v) for k, v in value.items()}
        elif is_path(KINDS.get(key)):
            tree[key] = _expanded(value)


def _expanded(value: Any) -> Any:
    """A path with the home folder in it; what is none stays."""
    if tag(value) == "!ref":
        value.value = os.path.expanduser(value.value)
    elif isinstance(value, str) and value.startswith("~"):
        return as_nodes(os.path.expanduser(value))
    return value


def _differences(node: dict[str, Any]) -> dict[str, Any]:
    """What an include changes, without what it only passes on."""
    return {
        key: value
        for key, value in node.items()
        if not (tag(value) == "!ref" and value.value == f"<{key}>")
    }


def load_hparams(composed: Composed) -> dict[str, Any]:
    """Makes the objects that an hparams file names.

    Returns
    -------
    dict
        All keys on one level.
    """
    try:
        return load_hyperpyyaml(dump(composed.tree))
    except (TypeError, AttributeError, KeyError) as error:
        why = " ".join(str(error).split())
        raise ValueError(
            f"{composed.hparams_file[-200:]} must name objects and their "
            f"arguments, but cannot make them: {why[:200]}"
        ) from error


def load_flat(hparams_file: str, overrides: Overrides = None) -> dict[str, Any]:
    """Checks the settings of an hparams file, and makes its objects.

    Arguments
    ---------
    overrides : str or dict
        Keys and values, as on the command line.

    Example
    -------
    >>> load_flat("hparams/conformer_rd.yaml", {"data_folder": "x"})["gates"]
    {'sampler': 'bernoulli', 'p_open': 0.5}
    """
    composed = compose(hparams_file, overrides)
    composed.settings()
    return load_hparams(composed)
