"""Reads hyperparameters: a short YAML, the files it includes, a corpus.

A file of hparams/ names what it differs in. It `!include`s the encoder and
the recipe that several share; their keys are reached as if they stood in
the file itself. What a corpus changes stands in recipes/<Corpus>/corpus.yml.
From weak to strong: included file (there, what the encoder's `training`
changes in the recipe), corpus, hparams file, command line.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional, Union

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references

REPOSITORY = Path(__file__).resolve().parents[2]
#: Keys of an hparams file whose value includes a shared file.
INCLUDES = ("encoder", "recipe")
ENCODERS = "hparams/shared"

Overrides = Union[str, dict[str, Any], None]


def choice(hparams: dict[str, Any], key: str, options: Iterable[str]) -> str:
    """The value of a key that is one of several.

    Example
    -------
    >>> choice({"gates": "odd"}, "gates", ["full", "uniform"])
    Traceback (most recent call last):
    ...
    ValueError: `gates` must be one of full, uniform, but is 'odd'
    """
    options = list(options)
    if hparams[key] not in options:
        raise ValueError(
            f"`{key}` must be one of {', '.join(options)}, but is "
            f"{hparams[key]!r}"
        )
    return hparams[key]


def read_tree(source: Any) -> dict[str, Any]:
    """Reads YAML and leaves its tags as they are.

    Arguments
    ---------
    source : str or Path
        YAML text, or the path of a file.
    """
    return ruamel.yaml.YAML().load(source) or {}


def included_file(hparams_file: str, node: Any) -> Path:
    """Path of the file that an `!include:` names.

    Arguments
    ---------
    hparams_file : str
        File that the `!include:` stands in.
    """
    name = node.tag.value.removeprefix("!include:")
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
    path = REPOSITORY / "recipes" / corpus / "corpus.yml"
    if not path.is_file():
        known = sorted(p.parent.name for p in path.parents[1].glob("*/*.yml"))
        raise ValueError(
            f"`corpus` must be one of {', '.join(known)}, but is "
            f"{corpus!r}; for CSV files of your own give --corpus=''"
        )
    settings = read_tree(path)
    encoders = {p.stem: {} for p in (REPOSITORY / ENCODERS).glob("*.yaml")}
    sections = {name: settings.pop(name, {}) for name in encoders}
    return {**settings, **sections[encoder]}


def encoder_settings(hparams_file: str, overrides: Overrides) -> dict[str, Any]:
    """What a run changes in the encoder's file.

    Arguments
    ---------
    overrides : str or dict
        Keys and values, as on the command line.

    Returns
    -------
    dict
        Of the hparams file, the corpus and the command line.

    Example
    -------
    >>> encoder_settings("hparams/conformer_rd.yaml", {"d_model": 64})
    {'n_total': 12, 'd_model': 64}
    """
    node = read_tree(Path(hparams_file))["encoder"]
    return {**node, **route(hparams_file, overrides)["encoder"]}


def route(hparams_file: str, overrides: Overrides) -> dict[str, Any]:
    """Puts each override where its key is defined.

    Arguments
    ---------
    overrides : str or dict
        Keys and values, as on the command line.
    """
    if not Path(hparams_file).is_file():
        raise FileNotFoundError(
            f"the hyperparameter file must exist, but {hparams_file} does not"
        )
    tree = read_tree(Path(hparams_file))
    if not isinstance(overrides, dict):
        overrides = read_tree(overrides) if overrides else {}
    files = {
        key: read_tree(included_file(hparams_file, tree[key]))
        for key in INCLUDES
    }
    corpus = corpus_settings(
        overrides.get("corpus", tree.get("corpus")),
        included_file(hparams_file, tree["encoder"]).stem,
    )
    training = files["encoder"].get("training", {})
    routed: dict[str, Any] = {key: {} for key in INCLUDES}
    known = set(tree).union(*files.values())
    for key, value in {**training, **corpus, **overrides}.items():
        if key not in known:
            raise unknown_key(key, known)
        if key in overrides and key in tree and key not in INCLUDES:
            routed[key] = value
            continue
        for part, content in files.items():
            if key in content and (key in overrides or key not in tree[part]):
                routed[part][key] = value
    return routed


def unknown_key(key: str, known: set[str]) -> ValueError:
    """The error for a key that is defined nowhere.

    Example
    -------
    >>> unknown_key("kl_wieght", {"kl_weight"})
    ValueError('no hyperparameter is called `kl_wieght`: try `kl_weight`')
    """
    near = difflib.get_close_matches(key, sorted(known), n=3)
    hint = f": try `{'`, `'.join(near)}`" if near else ""
    return ValueError(f"no hyperparameter is called `{key}`{hint}")


def load_hparams(
    hparams_file: str, overrides: Overrides = None
) -> dict[str, Any]:
    """Loads hyperparameters and makes the objects they name.

    Arguments
    ---------
    overrides : str or dict
        Keys and values, as on the command line.

    Returns
    -------
    dict
        The keys of the file. `encoder` and `recipe` hold those of the
        included files.

    Example
    -------
    >>> hparams = load_hparams(
    ...     "hparams/conformer_dld.yaml", {"data_folder": "x", "d_ffn": 64}
    ... )
    >>> hparams["encoder"]["d_ffn"], hparams["recipe"]["kl_weight"]
    (64, 1.0)
    """
    routed = route(hparams_file, overrides)
    with open(hparams_file, encoding="utf-8") as file:
        return load_hyperpyyaml(file, routed)


def load_flat(hparams_file: str, overrides: Overrides = None) -> dict[str, Any]:
    """Loads hyperparameters, those of the included files on the same level.

    Arguments
    ---------
    overrides : str or dict
        Keys and values, as on the command line.

    Example
    -------
    >>> load_flat("hparams/conformer_rd.yaml", {"data_folder": "x"})["gates"]
    'bernoulli'
    """
    hparams = load_hparams(hparams_file, overrides)
    return {**hparams["encoder"], **hparams["recipe"], **hparams}


def resolve_key(
    hparams_file: str, key: str, overrides: Overrides = None
) -> Any:
    """Reads one key of the file without making any object.

    Arguments
    ---------
    overrides : str or dict
        Keys and values, as on the command line.

    Example
    -------
    >>> overrides = {"seed": 7, "data_folder": "x"}
    >>> resolve_key("hparams/conformer_rd.yaml", "output_folder", overrides)
    'results/LibriSpeech/conformer_rd/7'
    """
    routed = route(hparams_file, overrides)
    with open(hparams_file, encoding="utf-8") as file:
        return read_tree(resolve_references(file, routed).getvalue())[key]
