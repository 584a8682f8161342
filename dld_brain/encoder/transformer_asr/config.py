"""The sizes of a TransformerASR and its front end: SpeechBrain's arguments."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.nnet.activations import Swish

#: By the name that a configuration has for them.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    **{
        f"torch.nn.{name}": getattr(nn, name)
        for name in ("GELU", "Identity", "LeakyReLU", "ReLU", "SiLU", "Sigmoid")
    },
    "speechbrain.nnet.activations.Swish": Swish,
}
NAMES = {kind: name for name, kind in ACTIVATIONS.items()}
MODULES = ("transformer", "conformer", "branchformer")
ATTENTIONS = ("regularMHA", "RelPosMHAXL")
#: Some ten times what the largest encoders have.
MOST, MOST_LAYERS = 65_536, 1_000


class Rule(NamedTuple):
    """What a value must be."""

    what: str
    holds: Callable[[Any], bool]


def _is_count(value: Any, most: int = MOST) -> bool:
    """Whether it is a whole number above 0."""
    return type(value) is int and 0 < value <= most


def _one_of(*values: Any) -> Rule:
    """Any of these."""
    return Rule(f"one of {', '.join(map(str, values))}", values.__contains__)


def _list_of(rule: Rule) -> Rule:
    """A list, a value a block."""
    return Rule(
        f"a list of {rule.what}",
        lambda v: isinstance(v, (list, tuple)) and all(map(rule.holds, v)),
    )


COUNT = Rule(f"a whole number between 1 and {MOST}", _is_count)
LAYERS = Rule(
    f"a whole number between 1 and {MOST_LAYERS}",
    lambda v: _is_count(v, MOST_LAYERS),
)
SHARE = Rule(
    "a share below 1", lambda v: type(v) in (int, float) and 0 <= v < 1
)
FLAG = Rule("true or false", lambda v: type(v) is bool)
ACTIVATION = _one_of(*ACTIVATIONS)
#: Arguments of `TransformerASR`; its others are of decoders and streams.
BODY = {
    "input_size": COUNT,
    "d_model": COUNT,
    "nhead": COUNT,
    "num_encoder_layers": LAYERS,
    "d_ffn": COUNT,
    "dropout": SHARE,
    "activation": ACTIVATION,
    "positional_encoding": _one_of("fixed_abs_sine", None),
    "normalize_before": FLAG,
    "kernel_size": COUNT,
    "bias": FLAG,
    "encoder_module": _one_of(*MODULES),
    "conformer_activation": ACTIVATION,
    "branchformer_activation": ACTIVATION,
    "attention_type": _one_of(*ATTENTIONS),
    "max_length": Rule("a whole number above 0", lambda v: _is_count(v, 10**6)),
    "csgu_linear_units": COUNT,
    "gate_activation": ACTIVATION,
    "use_linear_after_conv": FLAG,
}
#: Arguments of `ConvolutionFrontEnd`; its others stay as they are there.
FRONT = {
    "num_blocks": Rule(
        f"a whole number of at most {MOST_LAYERS}",
        lambda v: v == 0 and type(v) is int or _is_count(v, MOST_LAYERS),
    ),
    "num_layers_per_block": LAYERS,
    "out_channels": _list_of(COUNT),
    "kernel_sizes": _list_of(COUNT),
    "strides": _list_of(COUNT),
    "dilations": _list_of(COUNT),
    "residuals": _list_of(FLAG),
    "activation": ACTIVATION,
    "dropout": SHARE,
    "conv_bias": FLAG,
}
FRONT_KEY = "cnn"


def full_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The whole configuration, SpeechBrain's defaults included.

    Raises
    ------
    ValueError
        If a key is none, or a value none that it may have.

    Example
    -------
    >>> full_config({"input_size": 640, "encoder_module": "zipformer"})
    Traceback (most recent call last):
    ...
    ValueError: `config.encoder_module` must be one of transformer, ...
    """
    config = dict(config)
    front = config.pop(FRONT_KEY, {})
    found = _checked("config", TransformerASR, BODY, config)
    _check_body(found)
    where = f"config.{FRONT_KEY}"
    front = _checked(where, ConvolutionFrontEnd, FRONT, front)
    _check_front(where, front)
    return {**found, FRONT_KEY: front}


def _check_body(found: Mapping[str, Any]) -> None:
    """Raises where arguments do not go together."""
    for divisor in (2, found["nhead"]):
        if found["d_model"] % divisor:
            raise ValueError(
                f"`config.d_model` must be a multiple of 2 and of `nhead` "
                f"({found['nhead']}), but is {found['d_model']}"
            )
    if found["encoder_module"] == "conformer" and not found["normalize_before"]:
        raise ValueError(
            "`config.normalize_before` must be true for a Conformer, but is not"
        )
    is_relative = found["attention_type"] == "RelPosMHAXL"
    if found["positional_encoding"] is None and not is_relative:
        raise ValueError(
            "`config.positional_encoding` must be fixed_abs_sine without "
            "RelPosMHAXL, but is null"
        )


def _check_front(where: str, front: Mapping[str, Any]) -> None:
    """Raises where a block lacks a value."""
    for key, value in front.items():
        if isinstance(value, list) and len(value) < front["num_blocks"]:
            raise ValueError(
                f"`{where}.{key}` must have a value for each of the "
                f"{front['num_blocks']} blocks, but has {len(value)}"
            )


def _checked(
    where: str, made: type, rules: Mapping[str, Rule], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments of a class, checked, by default its own."""
    if unknown := sorted(set(given) - set(rules)):
        raise ValueError(
            f"`{where}` must have keys of {', '.join(rules)} alone, but has "
            f"{str(unknown[0])[:40]!r}"
        )
    usual = inspect.signature(made).parameters
    found = {}
    for key, rule in rules.items():
        value = given.get(key, usual[key].default)
        value = NAMES.get(value, value) if isinstance(value, type) else value
        if not rule.holds(value):
            shown = "missing" if value is inspect._empty else f"{value!r:.60}"
            raise ValueError(
                f"`{where}.{key}` must be {rule.what}, but is {shown}"
            )
        found[key] = list(value) if isinstance(value, (list, tuple)) else value
    return found


def arguments(config: Mapping[str, Any], made: type) -> dict[str, Any]:
    """Those of a class: activations instead of their names."""
    usual = inspect.signature(made).parameters
    return {
        key: ACTIVATIONS.get(value, value) if isinstance(value, str) else value
        for key, value in config.items()
        if key in usual
    }
