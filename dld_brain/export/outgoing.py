"""A model folder as it may leave the machine that trained it.

What goes is listed, and nothing else goes: reports name command lines, and
checkpoints, logs and audio are of no model.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import safetensors.torch

from dld_brain.files.console import escaped
from dld_brain.files.hub import is_hub_id
from dld_brain.files.manifest import (
    FILE as MANIFEST,
    read_json,
    read_manifest,
    sha256,
    write_manifest,
)
from dld_brain.files.whole import write_text
from dld_brain.model_folder import PretrainedModel, load_for_inference
from dld_brain.model_folder.card import CARD, write_card
from dld_brain.model_folder.compact import compact_state
from dld_brain.model_folder.loader import FILES
from dld_brain.model_folder.save import TRAINING
from dld_brain.model_folder.weights import MODEL

LICENSE = "LICENSE"
#: A licence as the Hub names it: apache-2.0, mit, cc-by-4.0.
_LICENSE_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
#: A path of this machine; its last part.
_PATH = re.compile(r"(?:[/~\\]|[A-Za-z]:[/\\]).*?([^/\\]*)[/\\]*", re.DOTALL)
#: The same in the bytes of a tokenizer.
_PATH_BYTES = re.compile(rb"/[\w.+-]+/[\w.+-]+")


class Terms(NamedTuple):
    """On what terms a model goes.

    Arguments
    ---------
    license : str, optional
        As the Hub names it; what training.json says if not given.
    license_file : str, optional
        Its text.
    base_model : str, optional
        `owner/name` of the model that it was made of.
    """

    license: Optional[str] = None
    license_file: Optional[str] = None
    base_model: Optional[str] = None

    def check(self) -> None:
        """Raises unless they can be.

        Example
        -------
        >>> Terms(license="MIT License").check()
        Traceback (most recent call last):
        ...
        ValueError: `--license` must be as the Hub names it (mit, ...), ...
        """
        if self.license and not _LICENSE_NAME.fullmatch(self.license):
            raise ValueError(
                f"`--license` must be as the Hub names it (mit, apache-2.0, "
                f"cc-by-4.0), but is {self.license[:80]!r}"
            )
        if self.base_model and not is_hub_id(self.base_model):
            raise ValueError(
                f"`--base_model` must be owner/name, as the Hub has it, but "
                f"is {escaped(self.base_model, 80)!r}"
            )
        path = self.license_file
        if path is not None and not Path(path).is_file():
            raise FileNotFoundError(
                f"`--license_file` must be a file, but {path} is none"
            )

    def told(self) -> dict[str, str]:
        """What training.json says of them."""
        told = {"license": self.license, "base_model": self.base_model}
        return {key: value for key, value in told.items() if value}


class Outgoing:
    """What leaves of a model folder, which is read and checked first.

    Arguments
    ---------
    source : str
        The folder `pretrained` of a run.
    """

    def __init__(self, source: str, terms: Terms) -> None:
        terms.check()
        self.source = Path(source)
        self.model: PretrainedModel = load_for_inference(source)
        self.terms = terms
        told = {}
        if (self.source / TRAINING).is_file():
            told = read_json(self.source / TRAINING)
        self.training: dict[str, Any] = {**told, **terms.told()}

    @property
    def names(self) -> list[str]:
        """Files that go as they are, or nearly."""
        there = [*FILES, self.model.task.file, LICENSE]
        return [name for name in there if (self.source / name).is_file()]

    @property
    def left(self) -> list[str]:
        """Files of the folder that stay here."""
        gone = {*self.names, TRAINING, CARD}
        return sorted(set(read_manifest(self.source / MANIFEST)) - gone)

    def write(self, folder: Path, name: Optional[str] = None) -> None:
        """Writes the folder that goes.

        Arguments
        ---------
        name : str, optional
            `owner/name` where it goes to.
        """
        for file in self.names:
            shutil.copyfile(self.source / file, folder / file)
        _clear_trainer(folder / self.model.task.file)
        if self.terms.license_file is not None:
            shutil.copyfile(self.terms.license_file, folder / LICENSE)
        self.describe(folder, name)

    def compact(self, folder: Path, dtype: str) -> None:
        """Stores the weights of a written folder in fewer bytes."""
        state = compact_state(self.model.modules["model"], dtype)
        (folder / MODEL).write_bytes(safetensors.torch.save(state))
        self.model.table.model = sha256(folder / MODEL)
        self.model.table.save(str(folder))
        self.describe(folder)

    def describe(
        self,
        folder: Path,
        name: Optional[str] = None,
        more: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Writes training.json, the card and the manifest.

        Arguments
        ---------
        more : mapping
            What training.json says beside the rest.
        """
        self.training = without_paths({**self.training, **(more or {})})
        text = json.dumps(self.training, indent=2, ensure_ascii=False)
        write_text(folder / TRAINING, text + "\n")
        task, table = self.model.task, self.model.table
        write_card(folder, task, table, self.training, name)
        write_manifest(folder)


def without_paths(content: Any) -> Any:
    """What JSON holds, of paths of this machine the last part alone.

    Example
    -------
    >>> without_paths({"teacher": "/home/me/my runs/1/pretrained", "x": "a/b"})
    {'teacher': 'pretrained', 'x': 'a/b'}
    """
    if isinstance(content, dict):
        return {key: without_paths(value) for key, value in content.items()}
    if isinstance(content, list):
        return [without_paths(value) for value in content]
    found = _PATH.fullmatch(content) if isinstance(content, str) else None
    return found[1] if found else content


def _clear_trainer(path: Path) -> None:
    """Takes out of a SentencePiece model where its texts were."""
    if path.suffix != ".model":
        return
    content = path.read_bytes()
    try:
        from sentencepiece import sentencepiece_model_pb2
    except ImportError:
        if not _PATH_BYTES.search(content):
            return
        raise ImportError(
            f"protobuf must be there to take the paths out of {path.name}, "
            f"but is not: pip install protobuf"
        ) from None
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(content)
    for field in ("input", "model_prefix"):
        proto.trainer_spec.ClearField(field)
    path.write_bytes(proto.SerializeToString(deterministic=True))
