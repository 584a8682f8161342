"""Whether what a hyperparams.yaml asks for can be, before it is made."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import torch
from hyperpyyaml import load_hyperpyyaml

import dld_brain
from dld_brain.model_folder import safe_yaml
from dld_brain.model_folder.unset import Unset
from dld_brain.model_folder.weights import MODEL

#: Rates that speech is recorded at, Hz.
RATES = (4_000, 384_000)
#: By module of a model, the names that make one.
MODULES = {
    "compute_features": (
        "LogMel",
        "ParakeetMel",
        "SeamlessMel",
        "Waveform",
        "WhisperMel",
    ),
    "normalize": ("FeatureNorm",),
    "model": (
        "conformer_encoder",
        "parakeet_encoder",
        "transformer_asr_encoder",
        "wav2vec2_bert_encoder",
        "wavlm_encoder",
        "whisper_encoder",
    ),
}
#: Types of Hugging Face's models, by the name that makes an encoder of one.
HUGGINGFACE = {
    "parakeet_encoder": ("parakeet_encoder",),
    "wav2vec2_bert_encoder": ("wav2vec2-bert",),
    "wavlm_encoder": ("wavlm", "wav2vec2", "hubert"),
}
#: What objects raise whose arguments cannot be.
MISFITS = (
    ArithmeticError,
    AttributeError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)


def check_tree(tree: dict[str, Any], path: Path, n_bytes: int) -> None:
    """Raises where the objects of a file do not fit the names, or memory.

    The encoder is made without memory (on the device `meta`) and must fit
    what model.safetensors holds, before any of it is made in earnest.

    Arguments
    ---------
    n_bytes : int
        Size of the weights.
    """
    for key, made in tree.items():
        if not isinstance(made, safe_yaml.Made):
            continue
        function = getattr(dld_brain, made.name)
        arguments = {
            k: safe_yaml.resolve(tree, v) for k, v in made.arguments.items()
        }
        try:
            inspect.signature(function).bind(**arguments)
            _check_types(function, arguments)
            _check_sound(**arguments)
            if made.name.endswith("_encoder"):
                _check_size(function, arguments, n_bytes)
        except MISFITS as error:
            text = " ".join(str(error).split())[:200]
            raise ValueError(f"{path}: `{key}`: {text}") from None
    for key in ("modules", "pretrainer"):
        if key not in tree:
            raise ValueError(f"{path} must have `{key}`, but has not")
    _check_modules(tree, path)


def _check_modules(tree: dict[str, Any], path: Path) -> None:
    """Raises unless the modules are those of a model, each of its kind."""
    modules = tree["modules"]
    if not isinstance(modules, dict) or set(modules) != set(MODULES):
        raise ValueError(
            f"{path}: `modules` must be a map of {', '.join(MODULES)}, and of "
            f"no others"
        )
    for key, names in MODULES.items():
        made = safe_yaml.resolve(tree, modules[key])
        if not isinstance(made, safe_yaml.Made) or made.name not in names:
            raise ValueError(
                f"{path}: `{key}` of `modules` must be made by "
                f"{' or '.join(names)}, but is not"
            )


def _check_types(function: Any, arguments: Mapping[str, Any]) -> None:
    """Raises unless numbers and words are what the signature says."""
    is_class = isinstance(function, type)
    hints = get_type_hints(function.__init__ if is_class else function)
    for name, value in arguments.items():
        kind = hints.get(name)
        if kind is int:
            fits, what = type(value) is int and value > 0, "a whole number"
        elif kind is float:
            fits, what = type(value) in (int, float) and value >= 0, "a number"
        elif kind in (str, bool):
            fits, what = type(value) is kind, f"a {kind.__name__}"
        else:
            continue
        if not fits:
            raise ValueError(
                f"`{name}` must be {what}, but is {str(value)[:40]!r}"
            )


def make(
    text: str, changes: Mapping[str, Any], must_match: bool, path: Path
) -> dict[str, Any]:
    """Makes the objects of a file that was checked; one line if one is none."""
    try:
        with Unset():  # or loaded, or an error
            return load_hyperpyyaml(text, dict(changes), must_match)
    except MISFITS as error:
        lines = " ".join(str(error).split())[:300]
        raise ValueError(f"{path} cannot be made: {lines}") from None


def _check_size(function: Any, arguments: Any, n_bytes: int) -> None:
    """Raises if an encoder has more weights than there can be."""
    if arguments.get("source") is not None:
        raise ValueError(
            f"`source` must be null in a model folder, which has its own "
            f"weights, but is {arguments['source']!r}"
        )
    if function.__name__ in HUGGINGFACE:
        from dld_brain.encoder.wavlm.huggingface import check_config

        check_config(arguments["config"], HUGGINGFACE[function.__name__])
    with torch.device("meta"), Unset():
        n_weights = sum(p.numel() for p in function(**arguments).parameters())
    if n_weights > n_bytes:  # no weight takes less than a byte
        raise ValueError(
            f"its sizes make {n_weights} parameters, but {MODEL} has "
            f"{n_bytes} bytes"
        )


def _check_sound(
    sample_rate: int = RATES[0],
    n_fft: int = 0,
    win_length: float = 0,
    hop_length: float = 0,
    **_: Any,
) -> None:
    """Raises where features are of no sound; windows and hops are in ms."""
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise ValueError(
            f"`sample_rate` must be between {RATES[0]} and {RATES[1]} Hz, but "
            f"is {sample_rate}"
        )
    if n_fft:
        hop = sample_rate * hop_length / 1000
        window = sample_rate * win_length / 1000
        if not 1 <= hop <= window <= n_fft:
            raise ValueError(
                f"`hop_length` must be at most `win_length`, and that at most "
                f"`n_fft`, but they are {hop:g}, {window:g} and {n_fft} samples"
            )
