"""Reads the hyperparams.yaml of a stock SpeechBrain model as data.

It names objects, and HyperPyYAML would make all of them. Here they are read
as names and arguments (`safe_yaml.Reader`), and of those that are needed the
known ones are made, on the device `meta`: without memory.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import yaml
from hyperpyyaml.core import parse_arithmetic

from dld_brain.model_folder.check import MISFITS
from dld_brain.model_folder.safe_yaml import Made, Reader, Ref

#: What a file may name, made or not; nothing of it is imported.
NAMED = ("speechbrain.", "torch.", "torchaudio.", "sentencepiece.")
KINDS = ("!new", "!name", "!apply")
#: The key of arguments without names.
UNNAMED = ""
_KEY = re.compile(r"<([A-Za-z_]\w*)>")
_SUM = re.compile(r"[-+*/(). \d]{1,80}")


class _StockReader(Reader):
    """Takes more tags, positional arguments, tuples, references anywhere."""

    largest_other = float("inf")  # 1e20 is the usual logarithm of nothing

    def _object(self, event: Any, depth: int) -> Made:
        """What a tag names, by its whole tag."""
        kind, _, name = event.tag.partition(":")
        if kind not in KINDS or not name.startswith(NAMED):
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._error(
                f"`{tag[:80]}` is not one of the tags of a SpeechBrain model "
                f"that are read ({', '.join(KINDS)} of {', '.join(NAMED)})"
            )
        if isinstance(event, yaml.MappingStartEvent):
            return Made(event.tag, self._map(depth + 1, True))
        if isinstance(event, yaml.SequenceStartEvent):
            arguments = self._container("", event, depth)
            return Made(event.tag, {UNNAMED: arguments})
        if event.value:
            raise self._error(f"`{name[:80]}` must have arguments in a map")
        return Made(event.tag, {})

    def _ref(self, key: str, event: Any, depth: int) -> Ref:
        """A reference, as it stands: it is followed if it is needed."""
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error(f"`!ref` of `{key}` must name a key")
        return Ref(event.value)

    def _scalar(self, key: str, event: yaml.ScalarEvent) -> Any:
        """A plain value; HyperPyYAML's tuples are lists."""
        text = event.value
        is_plain = event.implicit[0]
        if not (is_plain and text.startswith("(") and text.endswith(")")):
            return super()._scalar(key, event)
        return [
            super(_StockReader, self)._scalar(
                key, yaml.ScalarEvent(None, None, (True, False), item.strip())
            )
            for item in text[1:-1].split(",")
        ]


class StockTree:
    """What a file says, and what of it can be made.

    Arguments
    ---------
    content : bytes
        The file's.
    path : str
        Where it is from, for messages.
    classes : mapping of str to type
        What may be made, by name.

    Raises
    ------
    ValueError
        If it is no such file.

    Example
    -------
    >>> content = b"a: 2\\nb: !new:torch.nn.Linear [!ref <a> * 3, 1]"
    >>> tree = StockTree(
    ...     content, "x.yaml", {"torch.nn.Linear": torch.nn.Linear}
    ... )
    >>> tree.make(Ref("<b>"))
    Linear(in_features=6, out_features=1, bias=True)
    >>> StockTree(b"a: !apply:os.system [ls]", "x.yaml", {})
    Traceback (most recent call last):
    ...
    ValueError: x.yaml line 1: `!apply:os.system` is not one of the tags ...
    """

    def __init__(
        self, content: bytes, path: str, classes: Mapping[str, type]
    ) -> None:
        self.path, self.classes = path, classes
        self._made: dict[int, Any] = {}
        try:
            reader = _StockReader(content.decode("utf-8"), path)
            self.keys = reader.document()
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            text = " ".join(str(error).split())
            raise ValueError(
                f"{path} must be YAML, but is not: {text}"
            ) from None

    def follow(self, value: Any) -> Any:
        """What a reference stands for; what is none stays."""
        for _ in range(20):
            if not isinstance(value, Ref):
                return value
            if match := _KEY.fullmatch(value.key):
                if match[1] not in self.keys:
                    raise self.error(f"<{match[1]}> is no key of it")
                value = self.keys[match[1]]
            else:
                return self._computed(value.key)
        raise self.error(f"`{value.key}` refers to itself")

    def _computed(self, text: str) -> Any:
        """The value of `<a> * 2`; of a text with names in it, the text."""
        whole = _KEY.sub(lambda m: str(self.follow(Ref(m[0]))), text)
        is_sum = _SUM.fullmatch(whole) and "**" not in whole
        return parse_arithmetic(whole) if is_sum else whole

    def plain(self, value: Any) -> Any:
        """A value without references; of `!name:` the name."""
        value = self.follow(value)
        if isinstance(value, Made):
            return value.name.partition(":")[2]
        if isinstance(value, list):
            return [self.plain(v) for v in value]
        return value

    def chain(self, value: Any, containers: tuple[str, ...]) -> Iterator[Made]:
        """The objects of nested containers, in their order."""
        made = self.follow(value)
        if not isinstance(made, Made):
            return
        if made.name.partition(":")[2] not in containers:
            yield made
            return
        for key, item in made.arguments.items():
            if key == "input_shape":
                continue
            for each in item if isinstance(item, list) else [item]:
                yield from self.chain(each, containers)

    def can_make(self, value: Any) -> bool:
        """Whether all that it takes may be made."""
        value = self.follow(value)
        if isinstance(value, Made):
            name = value.name.partition(":")[2]
            return name in self.classes and self.can_make(value.arguments)
        items = value.values() if isinstance(value, dict) else value
        is_many = isinstance(value, (dict, list))
        return not is_many or all(map(self.can_make, items))

    def make(self, value: Any) -> Any:
        """Makes an object, once, without memory for its weights."""
        try:
            with torch.device("meta"):
                return self._make(value)
        except (*MISFITS, LookupError, AssertionError) as error:
            text = " ".join(str(error).removeprefix(f"{self.path}: ").split())
            raise self.error(text[:200]) from None

    def _make(self, value: Any) -> Any:
        """What a value is or makes."""
        value = self.follow(value)
        if isinstance(value, list):
            return [self._make(v) for v in value]
        if isinstance(value, dict):
            return {k: self._make(v) for k, v in value.items()}
        if not isinstance(value, Made):
            return value
        if id(value) not in self._made:
            kind, _, name = value.name.partition(":")
            if name not in self.classes or kind == "!apply":
                raise ValueError(f"`{name}` is nothing that can be made here")
            named = self._make(value.arguments)
            found = self.classes[name]
            if kind == "!new":
                found = found(*named.pop(UNNAMED, []), **named)
            self._made[id(value)] = found
        return self._made[id(value)]

    def error(self, what: str) -> ValueError:
        """The error for what is not as it must be."""
        return ValueError(f"{self.path}: {what}")
