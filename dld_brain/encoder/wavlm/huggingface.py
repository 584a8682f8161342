"""Reads speech encoders of Hugging Face, WavLM, wav2vec 2.0 and HuBERT."""

import json
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn

from dld_brain.files.hub import ask, is_of_hub

try:
    import transformers
except ImportError as error:
    raise ImportError(
        "WavLM needs transformers: pip install -e '.[wavlm]'"
    ) from error

MODEL_TYPES = ("wavlm", "wav2vec2", "hubert")
#: Weights of pretraining alone, which an encoder has no use for. The name of
#: what masks frames in pretraining is missing in models made without.
NOT_NEEDED = ("masked_spec_embed",)
#: What transformers raises for files that it cannot use: damaged ones, sizes
#: that are none, names that it has not.
REFUSALS = (
    AttributeError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    SafetensorError,
    StrictDataclassError,
    pickle.UnpicklingError,
)


def one_line(error: Exception) -> str:
    """The first line of an error that has many, and the next after a colon.

    Example
    -------
    >>> one_line(ValueError("it failed\\nfor reasons"))
    'it failed'
    >>> one_line(ValueError("it failed:\\n  for reasons"))
    'it failed: for reasons'
    """
    if isinstance(error, KeyError):  # whose text is the key alone
        return f"there is no {error}"
    lines = str(error).strip().splitlines()
    if not lines:
        return repr(error)
    wanted = lines[: 2 if lines[0].endswith(":") else 1]
    return " ".join(line.strip() for line in wanted)


@contextmanager
def refusals_say(what: str) -> Iterator[None]:
    """Makes one line of what transformers raises: a ValueError.

    Arguments
    ---------
    what : str
        What is wrong, in front of transformers' own words.

    Example
    -------
    >>> with refusals_say("it must be whole"):
    ...     raise OSError("it ends early")
    Traceback (most recent call last):
    ...
    ValueError: it must be whole: it ends early
    """
    try:
        yield
    except REFUSALS as error:
        raise ValueError(f"{what}: {one_line(error)}") from error


def make_config(
    source: Optional[str],
    changes: dict[str, Any],
    kinds: Sequence[str] = MODEL_TYPES,
) -> transformers.PretrainedConfig:
    """Reads a configuration and changes it.

    Arguments
    ---------
    changes : dict
        What differs from it; without a source, the whole, `model_type`
        included.
    kinds : sequence of str
        Types of models that it may be of.

    Raises
    ------
    ValueError
        If it holds another kind of model, or drops layers by itself.

    Example
    -------
    >>> make_config(None, {"model_type": "wavlm"})
    Traceback (most recent call last):
    ...
    ValueError: `layerdrop` must be 0: the gates ..., but is 0.1; ...
    """
    settings = {**(read_config(source) if source else {}), **changes}
    model_type = settings.pop("model_type", None)
    if model_type not in kinds:
        raise ValueError(
            f"the model must be one of {', '.join(kinds)}, but "
            f"{source or '`config`'} has the model_type {model_type}"
        )
    with refusals_say(
        f"the configuration of {source or '`config`'} must be one of a "
        f"{model_type}, but transformers refuses it"
    ):
        config = transformers.AutoConfig.for_model(model_type, **settings)
    if source:
        _check_known(changes, config)
    if config.layerdrop:
        raise ValueError(
            f"`layerdrop` must be 0: the gates decide which layers run, but "
            f"is {config.layerdrop}; give config={{layerdrop: 0.0}}"
        )
    _check_adapters(config)
    return config


def _check_adapters(config: transformers.PretrainedConfig) -> None:
    """Raises for adapters that we have not: all but Wav2Vec2-BERT's."""
    keys = ["adapter_attn_dim", "add_adapter"]
    if config.model_type == "wav2vec2-bert":
        keys.remove("add_adapter")
        kernel, stride = config.adapter_kernel_size, config.adapter_stride
        # Hugging Face pads for half a stride, and counts for half a kernel.
        if config.add_adapter and kernel // 2 != stride // 2:
            raise ValueError(
                f"`adapter_kernel_size` must be {2 * (stride // 2)} or "
                f"{2 * (stride // 2) + 1} with a stride of {stride}, so that "
                f"frames are those that are counted, but is {kernel}"
            )
    for key in keys:
        if getattr(config, key, None):
            raise ValueError(
                f"`{key}` must not be set for a {config.model_type}, whose "
                f"adapters are not part of a dynamic encoder, but is "
                f"{getattr(config, key)}"
            )


def _check_known(
    changes: dict[str, Any], config: transformers.PretrainedConfig
) -> None:
    """Raises for a change that says nothing: transformers takes any word."""
    unknown = sorted(set(changes) - known_settings(config))
    if unknown:
        raise ValueError(
            f"`config` must have settings of a {config.model_type} alone, but "
            f"has {unknown[0]!r}"
        )


def read_config(source: str) -> dict[str, Any]:
    """Reads config.json of a model.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, and it cannot be fetched.
    ValueError
        If it is no configuration.
    """
    path = Path(source)
    if path.is_dir() and not (path / "config.json").is_file():
        raise FileNotFoundError(
            f"{source} must hold a Hugging Face model, but has no config.json"
        )
    if not path.is_dir() and not is_of_hub(source):
        raise FileNotFoundError(
            f"the model must be a folder that holds a Hugging Face model, or "
            f"owner/name of the Hub, but {path.absolute()} is no folder"
        )
    try:
        if not path.is_dir():
            ask(source, "config.json")
    except OSError as error:
        raise FileNotFoundError(
            f"the model must be a folder that holds a Hugging Face model, or "
            f"an id that can be fetched, but {path.absolute()} is no folder "
            f"and {one_line(error)}"
        ) from error
    with refusals_say(f"config.json of {source} must be a model's"):
        config = transformers.PretrainedConfig.get_config_dict(source)[0]
        if not isinstance(config, dict):
            raise TypeError(f"it is a {type(config).__name__} of JSON")
    return config


def full_config(source: Optional[str], changes: dict[str, Any]) -> dict:
    """The whole configuration, which makes the model without its source."""
    return plain_config(make_config(source, changes))


def plain_config(config: transformers.PretrainedConfig) -> dict[str, Any]:
    """All that a configuration says of sizes, without layerdrop."""
    found = json.loads(config.to_json_string())
    # Configurations of the Hub keep settings of tools that made them.
    found = {k: v for k, v in found.items() if k in known_settings(config)}
    return {**found, "model_type": config.model_type, "layerdrop": 0.0}


def known_settings(config: transformers.PretrainedConfig) -> set[str]:
    """Keys that a configuration of its kind has, of whatever model."""
    names = set(type(config)().to_dict())
    not_of_sizes = {"transformers_version", "architectures", "dtype"} | {
        "id2label",
        "label2id",
    }
    return {k for k in names - not_of_sizes if not k.startswith("_")}


def check_config(
    config: dict[str, Any], kinds: Sequence[str] = MODEL_TYPES
) -> None:
    """Raises where a configuration that was found says more than sizes.

    Beside sizes, Hugging Face's may name code that is to be fetched and run
    (`auto_map`, an attention implementation, ...).
    """
    model_type = config.get("model_type")
    if model_type not in kinds:
        raise ValueError(
            f"`model_type` must be one of {', '.join(kinds)}, but is "
            f"{model_type!r}"
        )
    known = transformers.AutoConfig.for_model(model_type).to_dict()
    for key in config:
        if key not in known or key.startswith("_"):
            raise ValueError(
                f"`config` must have the settings of a {model_type} alone, "
                f"but has {key!r}"
            )


def load_backbone(
    source: Optional[str],
    config: transformers.PretrainedConfig,
    normalize_wav: bool,
) -> nn.Module:
    """Makes Hugging Face's model, with the weights of its source.

    Arguments
    ---------
    source : str, optional
        Hugging Face id or folder; without it, weights are random.

    Raises
    ------
    ValueError
        If the weights do not fit the configuration, or the source was
        trained on the other kind of waveforms.
    """
    if not source:
        return transformers.AutoModel.from_config(config)
    check_normalization(source, normalize_wav)
    with refusals_say(
        f"the weights of {source} cannot be read or do not fit its configuration"
    ):
        model, info = transformers.AutoModel.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,  # whatever the file was saved in
            output_loading_info=True,
        )
    missing = [k for k in info["missing_keys"] if k not in NOT_NEEDED]
    if missing:
        raise ValueError(
            f"{source} must hold all weights of a {config.model_type}, but "
            f"lacks {len(missing)}: {', '.join(sorted(missing)[:3])}"
        )
    return model


def check_normalization(source: str, normalize_wav: bool) -> None:
    """Raises where waveforms would not be as those of pretraining."""
    try:
        extractor = transformers.AutoFeatureExtractor.from_pretrained(source)
    except (OSError, ValueError):
        return  # a model without the file says nothing about its waveforms
    if extractor.do_normalize != normalize_wav:
        raise ValueError(
            f"`normalize_wav` must be {extractor.do_normalize}, as {source} "
            f"was trained, but is {normalize_wav}"
        )
