"""Reads the encoder of a CTranslate2 Whisper: what faster-whisper loads.

The file is numbers and names, little-endian: version, name of the
specification, its revision, variables (name, shape, type, bytes), aliases
(`ModelSpec.save` of https://github.com/OpenNMT/CTranslate2). No package is
needed for it, and no decoder is read.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch

VERSION, SPECIFICATION = 6, "WhisperSpec"
#: Types of variables, by their number.
TYPES = (
    torch.float32,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.float16,
    torch.bfloat16,
)
ENCODER = "encoder/"
#: Modules of a layer: Hugging Face's names, and CTranslate2's.
MODULES = {
    "self_attn.out_proj": "self_attention/linear_1",
    "self_attn_layer_norm": "self_attention/layer_norm",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
    "final_layer_norm": "ffn/layer_norm",
}


class _File:
    """A file that is read in order, and never beyond its end."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.left = path.stat().st_size

    def take(self, n_bytes: int) -> bytes:
        """Reads so many bytes."""
        self._count(n_bytes)
        return self.file.read(n_bytes)

    def skip(self, n_bytes: int) -> None:
        """Passes so many bytes by."""
        self._count(n_bytes)
        self.file.seek(n_bytes, 1)

    def number(self, code: str) -> int:
        """A number, by its code of `struct`."""
        (value,) = struct.unpack(f"<{code}", self.take(struct.calcsize(code)))
        return value

    def text(self) -> str:
        """A name: its length, with a zero at its end, and itself."""
        return self.take(self.number("H")).rstrip(b"\0").decode("utf-8")

    def _count(self, n_bytes: int) -> None:
        """Raises where the file ends before."""
        if n_bytes > self.left:
            raise ValueError(
                f"{self.path} must be a whole CTranslate2 model, but ends "
                f"where {n_bytes} more bytes should be"
            )
        self.left -= n_bytes


def read_variables(path: Path) -> dict[str, torch.Tensor]:
    """Variables of the encoder, by name.

    Raises
    ------
    ValueError
        If it is no whole CTranslate2 model of Whisper, or quantised.
    """
    with open(path, "rb") as handle:
        file = _File(path, handle)
        try:
            found = (file.number("I"), file.text())
            if found != (VERSION, SPECIFICATION):
                raise ValueError(
                    f"{path} must be a {SPECIFICATION} of version {VERSION}, "
                    f"but is {found[1]!r:.40} of version {found[0]}: convert "
                    f"the model anew with ct2-transformers-converter"
                )
            file.number("I")  # revision of the specification
            return dict(_variables(file))
        except UnicodeDecodeError:
            raise ValueError(
                f"{path} must be a CTranslate2 model, but has a name that is "
                f"no text"
            ) from None


def _variables(file: _File) -> Iterator[tuple[str, torch.Tensor]]:
    """Reads the variables, those of the encoder alone."""
    for _ in range(file.number("I")):
        name = file.text()
        shape = [file.number("I") for _ in range(file.number("B"))]
        kind, n_bytes = file.number("B"), file.number("I")
        if not name.startswith(ENCODER):
            file.skip(n_bytes)
            continue
        if name.endswith("_scale"):
            raise ValueError(
                f"{file.path} must hold fp16 or fp32 weights, but is quantised "
                f"(int8): give the model that it was made of, or convert that "
                f"with --quantization float16"
            )
        if kind >= len(TYPES):
            raise ValueError(f"{file.path}: {name} is of unknown type {kind}")
        dtype = TYPES[kind]
        if n_bytes != math.prod(shape) * dtype.itemsize or not n_bytes:
            raise ValueError(
                f"{file.path}: {name} must have {shape} values of {dtype}, "
                f"but has {n_bytes} bytes"
            )
        value = torch.frombuffer(bytearray(file.take(n_bytes)), dtype=dtype)
        yield name.removeprefix(ENCODER), value.reshape(shape)


def read_encoder(path: Path) -> tuple[dict[str, torch.Tensor], int]:
    """The weights under Hugging Face's names, and the attention's heads.

    Raises
    ------
    ValueError
        If the file is none of such a model, or lacks a weight.
    """
    variables = read_variables(path)
    try:
        return _renamed(variables), int(variables["num_heads"])
    except KeyError as error:
        raise ValueError(
            f"{path} must hold the encoder of a Whisper, but lacks {error}"
        ) from None


def _renamed(variables: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """CTranslate2 joins queries, keys and values in one matrix."""
    names = {"conv1": "conv1", "conv2": "conv2", "layer_norm": "layer_norm"}
    found = {
        "embed_positions.weight": variables["position_encodings/encodings"]
    }
    layers = {n.split("/")[0] for n in variables if n.startswith("layer_")}
    for i in range(len(layers - {"layer_norm"})):
        names |= {
            f"layers.{i}.{k}": f"layer_{i}/{v}" for k, v in MODULES.items()
        }
        for kind in ("weight", "bias"):
            joined = variables[f"layer_{i}/self_attention/linear_0/{kind}"]
            for letter, value in zip("qkv", joined.chunk(3)):
                found[f"layers.{i}.self_attn.{letter}_proj.{kind}"] = value
        # Whisper's keys have no bias; CTranslate2 has zeros there.
        del found[f"layers.{i}.self_attn.k_proj.bias"]
    for name, source in names.items():
        is_norm = name.endswith("layer_norm")
        weight, bias = ("gamma", "beta") if is_norm else ("weight", "bias")
        found[f"{name}.weight"] = variables[f"{source}/{weight}"]
        found[f"{name}.bias"] = variables[f"{source}/{bias}"]
    return found
