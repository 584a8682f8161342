"""Reads an hparams file, the files it includes and a corpus as one.

A file of hparams/ names what it differs in. It `!include`s the encoder and
the recipe that several share; their keys are reached as if they stood in
the file itself. What a corpus changes stands in recipes/<Corpus>/corpus.yml.
From weak to strong: included file (there, what the encoder's `training`
changes in the recipe), corpus, hparams file, command line.
"""

import difflib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml.scalarstring import SingleQuotedScalarString

from dld_brain.run.blocks import BLOCKS, with_blocks
from dld_brain.run.checks import is_path
from dld_brain.run.places import RECIPES, SHARED, corpora
from dld_brain.run.settings import KINDS, Settings

#: Keys of an hparams file whose value includes a shared file.
INCLUDES = ("encoder", "recipe")

Overrides = Union[str, dict[str, Any], None]


def read_tree(source: Any) -> dict[str, Any]:
    """Reads YAML and leaves its tags as they are.

    Arguments
    ---------
    source : str or Path
        YAML text, or the path of a file.
    """
    return ruamel.yaml.YAML().load(source) or {}


def dump(tree: Any) -> str:
    """Writes a tree as YAML."""
    text = io.StringIO()
    ruamel.yaml.YAML().dump(tree, text)
    return text.getvalue()


def tag(node: Any) -> str:
    """The tag of a node, "" where it has none."""
    return getattr(getattr(node, "tag", None), "value", None) or ""


def included_file(hparams_file: str, node: Any) -> Path:
    """Path of the file that an `!include:` names, from beside its own."""
    name = tag(node).removeprefix("!include:")
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
    if corpus not in corpora():
        raise ValueError(
            f"`corpus` must be one of {', '.join(corpora())}, but is "
            f"{corpus!r}; for CSV files of your own give --corpus=''"
        )
    settings = read_tree(RECIPES / corpus / "corpus.yml")
    encoders = {path.stem for path in SHARED.glob("*.yml")}
    sections = {name: settings.pop(name, {}) for name in encoders}
    return {**settings, **sections.get(encoder, {})}


def merged(key: str, weak: Any, strong: Any) -> Any:
    """A value over another: mappings are joined, a block is by its choice."""
    if key in BLOCKS:
        return BLOCKS[key].merged(weak, strong)
    both = isinstance(weak, dict) and isinstance(strong, dict)
    if not both or tag(weak) or tag(strong):
        return strong
    return {
        **weak,
        **{
            name: merged("", weak[name], value) if name in weak else value
            for name, value in strong.items()
        },
    }


def unknown_key(key: str, known: Any) -> ValueError:
    """The error for a key that is defined nowhere.

    Example
    -------
    >>> unknown_key("task_wieght", {"task_weight"})
    ValueError('no hyperparameter is called `task_wieght`: try `task_weight`')
    """
    near = difflib.get_close_matches(key, sorted(known), n=3)
    hint = f": try `{'`, `'.join(near)}`" if near else ""
    return ValueError(f"no hyperparameter is called `{key}`{hint}")


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
    if not Path(hparams_file).is_file():
        raise FileNotFoundError(
            f"the hyperparameter file must exist, but {hparams_file} does not"
        )
    own = read_tree(Path(hparams_file))
    if not isinstance(overrides, dict):
        overrides = read_tree(overrides) if overrides else {}
    overrides = as_nodes(with_blocks(overrides))
    paths = {key: included_file(hparams_file, own[key]) for key in INCLUDES}
    files = {key: read_tree(path) for key, path in paths.items()}
    encoder = paths["encoder"].stem
    corpus = overrides.get("corpus", own.get("corpus"))
    top = {key: own[key] for key in own if key not in INCLUDES}
    tree = {**top, **files["encoder"]}
    tree.update({k: v for k, v in files["recipe"].items() if k not in top})
    training = tree.pop("training", {})
    weak = {k: v for file in files.values() for k, v in file.items()}
    for key in top:  # what is passed on to the includes is of the file itself
        tree[key] = weak.get(key, tree[key])
    changed: set[str] = set()
    for layer in (
        training,
        corpus_settings(corpus, encoder),
        _differences(own["encoder"]),
        _differences(own["recipe"]),
        top,
        overrides,
    ):
        for key, value in layer.items():
            if key not in tree:
                raise unknown_key(key, tree)
            tree[key] = merged(key, tree[key], value)
            changed.add(key)
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
    return load_hyperpyyaml(dump(composed.tree))


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
