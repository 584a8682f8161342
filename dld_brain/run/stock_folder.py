"""Reads a stock SpeechBrain model: TransformerASR with a CTC head.

An EncoderASR folder, or one of an encoder and decoder that were trained with
CTC beside (`ctc_lin`): hyperparams.yaml, and the files of its pretrainer.
"""

import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import torch
from torch import nn

from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.transformer_asr.config import (
    ACTIVATIONS,
    BODY,
    FRONT,
    FRONT_KEY,
    full_config,
)
from dld_brain.encoder.transformer_asr.layers import transformer_asr_encoder
from dld_brain.files import hub
from dld_brain.model_folder.safe_yaml import Made
from dld_brain.model_folder.stock_yaml import StockTree
from dld_brain.run.stock_vocabulary import Vocabulary, read_vocabulary
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.nnet.CNN import Conv2d
from speechbrain.nnet.containers import ModuleList
from speechbrain.nnet.linear import Linear
from speechbrain.nnet.normalization import LayerNorm
from speechbrain.processing.features import InputNormalization

HPARAMS = "hyperparams.yaml"


def _place(kind: type) -> str:
    """The name that files have for a class of SpeechBrain's."""
    return f"{kind.__module__}.{kind.__name__}"


FRONT_END, BODY_OF, HEAD = (
    _place(kind) for kind in (ConvolutionFrontEnd, TransformerASR, Linear)
)
FEATURES, NORM = _place(Fbank), _place(InputNormalization)
WRAPPER = f"{TransformerASR.__module__}.EncoderWrapper"
CONTAINERS = (
    "speechbrain.nnet.containers.LengthsCapableSequential",
    "speechbrain.nnet.containers.Sequential",
    "torch.nn.Sequential",
    WRAPPER,
)
LINEAR = "torch.nn.Linear"
#: Behind the head, of no effect on what is likeliest.
IGNORED = (
    "torch.nn.LogSoftmax",
    "speechbrain.nnet.activations.Softmax",
    "torch.nn.Dropout",
    "torch.nn.Identity",
)
#: What is made of the file, and no more.
CLASSES: dict[str, type] = {
    **ACTIVATIONS,
    FRONT_END: ConvolutionFrontEnd,
    BODY_OF: TransformerASR,
    HEAD: Linear,
    LINEAR: nn.Linear,
    _place(Conv2d): Conv2d,
    _place(LayerNorm): LayerNorm,
    _place(ModuleList): ModuleList,
    "torch.nn.ModuleList": nn.ModuleList,
    "torch.nn.ModuleDict": nn.ModuleDict,
}
#: What an argument must be, if it is there: it is not taken over.
FIXED = {
    BODY_OF: {"causal": (False,), "output_hidden_states": (False,)},
    FRONT_END: {
        "norm": (_place(LayerNorm),),
        "conv_module": (_place(Conv2d),),
        "padding": ("same",),
    },
    NORM: {
        "norm_type": ("global",),
        "mean_norm": (True,),
        "std_norm": (True,),
    },
}
#: Arguments of no effect on what an encoder gives.
OF_NO_EFFECT = {
    BODY_OF: ("tgt_vocab", "num_decoder_layers", "layerdrop_prob"),
    FRONT_END: ("input_shape", "conv_init"),
    NORM: ("update_until_epoch", "avoid_padding_norm", "avg_factor", "device"),
}
#: Of `Fbank`, by our name.
SIZES = {
    "sample_rate": "sample_rate",
    "n_fft": "n_fft",
    "n_mels": "n_mels",
    "window_ms": "win_length",
    "hop_ms": "hop_length",
}


class StockModel(NamedTuple):
    """What a folder holds.

    Arguments
    ---------
    settings : dict
        As hparams/shared/transformer_asr.yml has them.
    statistics : dict
        Of the features.
    cnn, transformer, head : torch.nn.Module
        SpeechBrain's own, with their weights.
    """

    settings: dict[str, Any]
    statistics: dict[str, Any]
    vocabulary: Vocabulary
    cnn: nn.Module
    transformer: nn.Module
    head: nn.Linear

    @torch.no_grad()
    def make(self) -> DynamicEncoder:
        """Makes a dynamic encoder that gives what the model gives."""
        keys = ("config", "vocab_size", "n_mels")
        model = transformer_asr_encoder(**{k: self.settings[k] for k in keys})
        theirs = self.transformer
        pairs = [
            (model.stem.cnn, self.cnn),
            (model.stem.project, theirs.custom_src_module),
            (model.layers.norm, theirs.encoder.norm),
        ]
        layers = zip(model.layers.layers, theirs.encoder.layers, strict=True)
        pairs += [(ours.stock, layer) for ours, layer in layers]
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
    path = _fetch(source, HPARAMS)
    tree = StockTree(path.read_bytes(), str(path), CLASSES)
    try:
        return _read(tree, source)
    except RecursionError:
        raise tree.error("an object of it refers to itself") from None


def _read(tree: StockTree, source: str) -> StockModel:
    """Reads what a tree names."""
    parts = _find_parts(tree)
    sizes = _features(tree, parts[FEATURES])
    _check(tree, parts[NORM], NORM, ())
    config = _check(tree, parts[BODY_OF], BODY_OF, tuple(BODY))
    config[FRONT_KEY] = _check(tree, parts[FRONT_END], FRONT_END, tuple(FRONT))
    if "causal" not in parts[BODY_OF].arguments:
        raise tree.error(
            "`causal` must be False, but is not given, which SpeechBrain takes "
            "for True: say so, if it was trained so"
        )
    try:
        config = full_config(config)
    except ValueError as error:
        raise tree.error(str(error)) from None
    needed = [tree.make(parts[k]) for k in (FRONT_END, BODY_OF, HEAD)]
    files = dict(_files(tree))
    statistics = None
    for name, (made, file) in files.items():
        if made is parts[NORM]:
            where = _fetch(source, file)
            statistics = _statistics(where, sizes["n_mels"])
        elif tree.can_make(made):
            _fill(tree, tree.make(made), _fetch(source, file), name)
    cnn, transformer, head = needed
    head = head if isinstance(head, nn.Linear) else head.w
    for part in (cnn, transformer.encoder, transformer.custom_src_module, head):
        if any(value.is_meta for value in part.state_dict().values()):
            raise tree.error(
                f"`pretrainer` must fill the weights of all modules, but some "
                f"of {type(part).__name__} are in none of its files"
            )
    if statistics is None:
        raise tree.error("`pretrainer` must load the statistics of features")
    told = tree.follow(tree.keys.get("tokenizer"))
    file = next((file for made, file in files.values() if made is told), None)
    if not isinstance(told, Made) or file is None:
        raise tree.error("`pretrainer` must load `tokenizer`, but does not")
    vocabulary = read_vocabulary(
        tree, told, _fetch(source, file), head.out_features
    )
    settings = {
        "architecture": "transformer_asr",
        **sizes,
        "config": config,
        "vocab_size": head.out_features,
        "n_total": config["num_encoder_layers"],
        "closed": "identity",
        "freeze_stem": False,
        "task": "transcription",
        "per_depth": "none",
        "router": {"kind": "none"},
    }
    return StockModel(settings, statistics, vocabulary, cnn, transformer, head)


def _find_parts(tree: StockTree) -> dict[str, Made]:
    """Features, norm, front end, encoder and head, by their classes."""
    modules = tree.follow(tree.keys.get("modules"))
    encoder = modules.get("encoder") if isinstance(modules, dict) else None
    if encoder is None:
        raise tree.error(
            "`modules` must have an `encoder`, as those of an EncoderASR have"
        )
    found: dict[str, Made] = {}
    for made in tree.chain(encoder, CONTAINERS):
        name = made.name.partition(":")[2]
        place = HEAD if name == LINEAR else name
        if name in IGNORED:
            continue
        if place not in (FEATURES, NORM, FRONT_END, BODY_OF, HEAD):
            raise tree.error(
                f"`encoder` must be of Fbank, InputNormalization, "
                f"ConvolutionFrontEnd, TransformerASR and Linear, but has a "
                f"{name}"
            )
        if place in found:
            raise tree.error(f"`encoder` must have one {name}, but has two")
        found[place] = made
    if HEAD not in found:  # an encoder and decoder, with CTC beside
        head = tree.follow(tree.keys.get("ctc_lin"))
        if isinstance(head, Made):
            found[HEAD] = head
    for place in (BODY_OF, HEAD, FEATURES, NORM, FRONT_END):
        if place not in found:
            what = "a CTC head (`ctc_lin`)" if place == HEAD else place
            raise tree.error(
                f"`encoder` must have {what}, but has none: give a model that "
                f"was trained with CTC on TransformerASR"
            )
    return found


def _check(
    tree: StockTree, made: Made, place: str, taken: tuple[str, ...]
) -> dict[str, Any]:
    """Arguments that are taken over; raises for those that cannot be."""
    found = {}
    for key, value in made.arguments.items():
        value = tree.plain(value)
        if key in taken:
            found[key] = value
        elif key in FIXED[place]:
            allowed = FIXED[place][key]
            if value not in allowed:
                raise tree.error(
                    f"`{key}` of {place.rpartition('.')[2]} must be "
                    f"{allowed[0]}, but is {str(value)[:80]}: such a model is "
                    f"not taken"
                )
        elif key not in OF_NO_EFFECT[place]:
            raise tree.error(
                f"`{key or 'arguments without names'}` of "
                f"{place.rpartition('.')[2]} must not be given, but is"
            )
    return found


def _features(tree: StockTree, made: Made) -> dict[str, Any]:
    """Sizes of the features by our names; raises for others than log-mels."""
    usual = inspect.signature(Fbank).parameters
    given = {k: tree.plain(v) for k, v in made.arguments.items()}
    for key, value in given.items():
        if key not in SIZES.values() and (
            key not in usual or value != usual[key].default
        ):
            raise tree.error(
                f"`{key}` of Fbank must be as it is by default, but is {value}"
            )
    return {
        ours: given.get(theirs, usual[theirs].default)
        for ours, theirs in SIZES.items()
    }


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


def _fetch(source: str, name: str) -> Path:
    """A file of a folder, or of the Hub."""
    if Path(source).is_dir():
        path = Path(source, name)
        if not path.is_file():
            raise FileNotFoundError(
                f"{source} must hold a SpeechBrain model, but has no {name}"
            )
        return path
    if not hub.is_of_hub(source):
        raise FileNotFoundError(
            f"`model` must be a folder, or owner/name of the Hub, but "
            f"{Path(source).absolute()} is no folder"
        )
    hub.ask(source, name)
    where = hub.address(source)
    return Path(
        hub.told(lambda: huggingface_hub.hf_hub_download(source, name), where)
    )


def _load(path: Path) -> Any:
    """Tensors of a file; no other object is made."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, OSError, EOFError, KeyError) as error:
        text = " ".join(str(error).split())[:160]
    except pickle.UnpicklingError:
        text = "it is damaged, or holds other objects"
    raise ValueError(f"{path} must hold tensors alone: {text}") from None


def _fill(tree: StockTree, module: Any, path: Path, name: str) -> None:
    """Gives a module the weights of a file, as SpeechBrain would."""
    state = _load(path)
    if not isinstance(state, dict):
        raise ValueError(f"{path} must hold weights by name, but does not")
    state = {
        k: v.float() if v.is_floating_point() else v
        for k, v in state.items()
        if isinstance(v, torch.Tensor)
    }
    try:
        module.load_state_dict(state, strict=False, assign=True)
    except (RuntimeError, AttributeError) as error:
        lines = str(error).strip().splitlines()
        raise tree.error(
            f"`{name}` must be what {path.name} holds, but "
            f"{lines[min(1, len(lines) - 1)].strip()[:160]}"
        ) from None


def _statistics(path: Path, n_mels: int) -> dict[str, Any]:
    """Those of the features."""
    found = _load(path)
    keys = ("count", "glob_mean", "glob_std")
    if not isinstance(found, dict) or any(key not in found for key in keys):
        raise ValueError(f"{path} must hold {', '.join(keys)}, but does not")
    count, *both = (torch.as_tensor(found[key]) for key in keys)
    fits = all(v.shape == (n_mels,) and v.isfinite().all() for v in both)
    if not fits or count.numel() != 1 or int(count) < 1 or (both[1] < 0).any():
        raise ValueError(
            f"{path} must hold finite statistics of {n_mels} features, but does "
            f"not"
        )
    both = [value.float() for value in both]
    return {"count": int(count), **dict(zip(keys[1:], both))}
