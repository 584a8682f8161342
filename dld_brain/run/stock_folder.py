"""Reads a stock SpeechBrain model: TransformerASR with a CTC head.

An EncoderASR folder, or one of an encoder and decoder that were trained with
CTC beside (`ctc_lin`): hyperparams.yaml, and the files of its pretrainer.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Optional

import torch
from torch import nn

from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.transformer_asr.layers import transformer_asr_encoder
from dld_brain.model_folder.safe_yaml import Made
from dld_brain.model_folder.stock_yaml import StockTree
from dld_brain.run.stock_files import fetch, fill, read_statistics
from dld_brain.run.stock_parts import (
    BODY_OF,
    CLASSES,
    FEATURES,
    FRONT_END,
    HEAD,
    NORM,
    config_of,
    features_of,
    find_parts,
)
from dld_brain.run.stock_vocabulary import Vocabulary, read_vocabulary

HPARAMS = "hyperparams.yaml"
#: Of SpeechBrain's recipes: longer utterances are left out of training, s.
LONGER = "avoid_if_longer_than"
OF_WEIGHTS = (FRONT_END, BODY_OF, HEAD)


class StockModel(NamedTuple):
    """What a folder holds.

    Arguments
    ---------
    settings : dict
        As hparams/shared/transformer_asr.yml has them.
    statistics : dict
        Of the features.
    cnn, transformer, head : torch.nn.Module
        SpeechBrain's own, with their weights; not all have a `cnn`.
    longest_utterance : float, optional
        Of its training, s: what SpeechBrain's recipes leave out of it is
        longer (`avoid_if_longer_than`), where the folder still says so.
    """

    settings: dict[str, Any]
    statistics: dict[str, Any]
    vocabulary: Vocabulary
    cnn: Optional[nn.Module]
    transformer: nn.Module
    head: nn.Linear
    longest_utterance: Optional[float] = None

    @torch.no_grad()
    def make(self) -> DynamicEncoder:
        """Makes a dynamic encoder that gives what the model gives."""
        keys = ("config", "vocab_size", "n_mels")
        model = transformer_asr_encoder(**{k: self.settings[k] for k in keys})
        theirs = self.transformer
        pairs = [
            (model.stem.project, theirs.custom_src_module),
            (model.layers.norm, theirs.encoder.norm),
        ]
        layers = zip(model.layers.layers, theirs.encoder.layers, strict=True)
        pairs += [(ours.stock, layer) for ours, layer in layers]
        if self.cnn is not None:
            pairs.append((model.stem.cnn, self.cnn))
        for ours, stock in pairs:
            ours.load_state_dict(stock.state_dict(), strict=True)
        outputs = self.vocabulary.outputs
        model.head.weight.copy_(self.head.weight[outputs])
        model.head.bias.zero_()
        if self.head.bias is not None:
            model.head.bias.copy_(self.head.bias[outputs])
        return model.eval()


def read_stock(source: str) -> StockModel:
    """Reads a stock model; nothing that it names runs.

    Arguments
    ---------
    source : str
        Folder, or owner/name of the Hub.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or a file of it is missing.
    ValueError
        If it is another kind of model, or one that we cannot use.
    """
    path = fetch(source, HPARAMS)
    tree = StockTree(path.read_bytes(), str(path), CLASSES)
    try:
        return _read(tree, source)
    except RecursionError:
        raise tree.error("an object of it refers to itself") from None


def _read(tree: StockTree, source: str) -> StockModel:
    """Reads what a tree names."""
    parts = find_parts(tree)
    sizes, config = features_of(tree, parts[FEATURES]), config_of(tree, parts)
    # All before any file is read: the same object is made once.
    made = {k: tree.make(v) for k, v in parts.items() if k in OF_WEIGHTS}
    files = dict(_files(tree))
    statistics = None
    for name, (told, file) in files.items():
        if told is parts[NORM]:
            where = fetch(source, file)
            statistics = read_statistics(where, sizes["n_mels"])
        elif tree.can_make(told):
            fill(tree, tree.make(told), fetch(source, file), name)
    cnn, transformer, head = map(made.get, OF_WEIGHTS)
    head = head if isinstance(head, nn.Linear) else head.w
    needed = [transformer.encoder, transformer.custom_src_module, head]
    _check_filled(tree, needed if cnn is None else [cnn, *needed])
    if statistics is None:
        raise tree.error("`pretrainer` must load the statistics of features")
    told, file = _tokenizer_of(tree, files.values())
    vocabulary = read_vocabulary(
        tree, told, fetch(source, file), head.out_features
    )
    settings = {
        "architecture": "transformer_asr",
        **sizes,
        "config": config,
        "vocab_size": head.out_features,
        "freeze_stem": False,
    }
    longest = _longest(tree)
    return StockModel(
        settings, statistics, vocabulary, cnn, transformer, head, longest
    )


def _longest(tree: StockTree) -> Optional[float]:
    """What training's utterances were no longer than, s; None if not told."""
    if LONGER not in tree.keys:
        return None
    found = tree.plain(tree.keys[LONGER])
    is_number = type(found) in (int, float) and 0 < found < math.inf
    return float(found) if is_number else None


def _check_filled(tree: StockTree, parts: Iterable[nn.Module]) -> None:
    """Raises where a module has weights that no file had."""
    for part in parts:
        if any(value.is_meta for value in part.state_dict().values()):
            raise tree.error(
                f"`pretrainer` must fill the weights of all modules, but some "
                f"of {type(part).__name__} are in none of its files"
            )


def _tokenizer_of(
    tree: StockTree, files: Iterable[tuple[Any, str]]
) -> tuple[Made, str]:
    """The tokenizer, and its file."""
    told = tree.follow(tree.keys.get("tokenizer"))
    file = next((f for each, f in files if each is told), None)
    if not isinstance(told, Made) or file is None:
        raise tree.error("`pretrainer` must load `tokenizer`, but does not")
    return told, file


def _files(tree: StockTree) -> Iterator[tuple[str, tuple[Any, str]]]:
    """What the pretrainer loads: by name the object and its file."""
    loader = tree.follow(tree.keys.get("pretrainer"))
    told = loader.arguments if isinstance(loader, Made) else {}
    loadables = tree.follow(told.get("loadables"))
    if not isinstance(loadables, dict):
        raise tree.error("`pretrainer` must have `loadables`, but has none")
    paths = tree.follow(told.get("paths")) or {}
    for name, value in loadables.items():
        # Wherever it was: what is loaded lies beside hyperparams.yaml.
        path = str(tree.plain(paths.get(name, f"{name}.ckpt")))
        yield name, (tree.follow(value), path.rpartition("/")[2])
