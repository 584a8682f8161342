"""What the hyperparams.yaml of a stock SpeechBrain model says of an encoder."""

import inspect
from typing import Any

from torch import nn

from dld_brain.encoder.transformer_asr.config import (
    ACTIVATIONS,
    BODY,
    FRONT,
    FRONT_KEY,
    full_config,
)
from dld_brain.model_folder.safe_yaml import Made
from dld_brain.model_folder.stock_yaml import StockTree
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.nnet.CNN import Conv2d
from speechbrain.nnet.containers import ModuleList
from speechbrain.nnet.linear import Linear
from speechbrain.nnet.normalization import LayerNorm
from speechbrain.processing.features import InputNormalization


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
        "epsilon": (1e-10,),
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


def find_parts(tree: StockTree) -> dict[str, Made]:
    """Features, norm, front end, encoder and head, by their classes.

    Raises
    ------
    ValueError
        If one is missing, or there is something else.
    """
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
    for place in (BODY_OF, HEAD, FEATURES, NORM):
        if place not in found:
            what = "a CTC head (`ctc_lin`)" if place == HEAD else place
            raise tree.error(
                f"`encoder` must have {what}, but has none: give a model that "
                f"was trained with CTC on TransformerASR"
            )
    return found


def config_of(tree: StockTree, parts: dict[str, Made]) -> dict[str, Any]:
    """The whole configuration; see `transformer_asr_encoder`.

    Arguments
    ---------
    parts : dict of str to Made
        Of `find_parts`.
    """
    _check(tree, parts[NORM], NORM, ())
    if "causal" not in parts[BODY_OF].arguments:
        raise tree.error(
            "`causal` must be False, but is not given, which SpeechBrain takes "
            "for True: say so, if it was trained so"
        )
    config = _check(tree, parts[BODY_OF], BODY_OF, tuple(BODY))
    config[FRONT_KEY] = {"num_blocks": 0}
    if FRONT_END in parts:
        front = _check(tree, parts[FRONT_END], FRONT_END, tuple(FRONT))
        config[FRONT_KEY] = front
    try:
        return full_config(config)
    except ValueError as error:
        raise tree.error(str(error)) from None


def features_of(tree: StockTree, made: Made) -> dict[str, Any]:
    """Sizes of the features by our names.

    Raises
    ------
    ValueError
        If they are others than log-mels.
    """
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
