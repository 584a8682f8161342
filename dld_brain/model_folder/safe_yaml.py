"""Reads the hyperparams.yaml of a model folder as data.

HyperPyYAML makes whatever object a file names: `!apply:os.system` runs. What
a model folder may say is less: scalars, lists and maps; the names of
`dld_brain.__all__`; references to keys of the same file. It is decided from
the parser's events, before anything is made, and what was read is written
anew, so that no second parser sees the file itself.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

import dld_brain

#: What an object may be made of, by its tag.
OBJECTS = {
    f"{'!apply' if name.islower() else '!new'}:dld_brain.{name}": name
    for name in dld_brain.__all__
}
REF = "!ref"
#: A model's own file has some 3 kB, 250 events and 3 levels.
MAX_BYTES, MAX_EVENTS, MAX_DEPTH = 100_000, 5_000, 6
#: The largest number by key, and of every other key.
LARGEST = {
    "n_total": 1_000,
    "num_hidden_layers": 1_000,
    "num_encoder_layers": 1_000,
    "num_blocks": 1_000,
    "num_layers_per_block": 1_000,
    "encoder_layers": 1_000,
    "n_mels": 512,
    "n_fft": 16_384,
    "window_ms": 1_000,
    "win_length": 1_000,
}
LARGEST_OTHER = 1_000_000
TRUST = "if you trust who made it, give trust_code=True"

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.?[0-9]+)([eE][-+]?[0-9]+)?")
_NAME = re.compile(r"<([A-Za-z_][A-Za-z0-9_]*)>")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Ref(NamedTuple):
    """`!ref <key>`."""

    key: str


class Made(NamedTuple):
    """An object of the facade."""

    name: str
    arguments: dict[str, Any]


def read_yaml(content: bytes, path: str) -> dict[str, Any]:
    """Reads the file.

    Arguments
    ---------
    path : str
        Where it is from, for messages.

    Returns
    -------
    dict
        By key a plain value, a Ref or a Made; what a Ref names comes before.

    Raises
    ------
    ValueError
        If it says anything that a model folder may not.

    Example
    -------
    >>> read_yaml(b"a: 1\\nb: !ref <a>", "x.yaml")
    {'a': 1, 'b': Ref(key='a')}
    >>> read_yaml(b"a: !apply:os.system [ls]", "x.yaml")
    Traceback (most recent call last):
    ...
    ValueError: x.yaml line 1: `!apply:os.system` is not one of the tags ...
    """
    if len(content) > MAX_BYTES:
        raise ValueError(
            f"{path} must have at most {MAX_BYTES} bytes, but has "
            f"{len(content)}"
        )
    try:
        return Reader(content.decode("utf-8"), path).document()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be text in UTF-8: {error}") from None
    except yaml.YAMLError as error:
        text = " ".join(str(error).split())
        raise ValueError(f"{path} must be YAML, but is not: {text}") from None


def canonical(tree: dict[str, Any]) -> str:
    """Writes what `read_yaml` gave, in JSON but for its tags.

    Example
    -------
    >>> canonical({"a": 1, "b": Made("LogMel", {"n_fft": Ref("a")})})
    '"a": 1\\n"b": !new:dld_brain.LogMel {"n_fft": !ref "<a>"}\\n'
    """
    return "".join(
        f"{json.dumps(key)}: {write_value(value)}\n"
        for key, value in tree.items()
    )


def resolve(tree: dict[str, Any], value: Any) -> Any:
    """Follows a reference to what it stands for."""
    while isinstance(value, Ref):
        value = tree[value.key]
    return value


def write_value(value: Any) -> str:
    """A value as YAML, on one line."""
    if isinstance(value, Ref):
        return f'{REF} "<{value.key}>"'
    if isinstance(value, Made):
        tag = next(tag for tag, name in OBJECTS.items() if name == value.name)
        return f"{tag} {write_value(value.arguments)}"
    if isinstance(value, dict):
        items = (f"{json.dumps(k)}: {write_value(v)}" for k, v in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(write_value, value))}]"
    if isinstance(value, float):
        return format_float(value)
    return json.dumps(value)


def format_float(value: float) -> str:
    """A float that YAML 1.1 knows for one, too: with a point.

    Example
    -------
    >>> format_float(1e-5), format_float(0.5)
    ('1.0e-05', '0.5')
    """
    mantissa, e, exponent = repr(value).partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + e + exponent


class Reader:
    """Goes through the events of a file."""

    largest_other: float = LARGEST_OTHER

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        self.line = 1
        self.tree: dict[str, Any] = {}
        self.made: set[str] = set()
        self.events = self._counted(yaml.parse(text, Loader=yaml.SafeLoader))

    def document(self) -> dict[str, Any]:
        """The whole file."""
        next(self.events)  # start of the stream
        start = next(self.events)
        if isinstance(start, yaml.StreamEndEvent):
            raise self._error("it is empty, but must be a map")
        if start.version or start.tags:
            raise self._error("directives are not part of a model folder")
        event = next(self.events)
        if not isinstance(event, yaml.MappingStartEvent) or event.tag:
            raise self._error("it must be a map without a tag")
        for key in self._keys(self.tree):
            self.tree[key] = self._value(key, next(self.events), 1)
        next(self.events)  # end of the document
        if not isinstance(next(self.events), yaml.StreamEndEvent):
            raise self._error("it must have one document")
        return self.tree

    def _counted(self, events: Iterator[Any]) -> Iterator[Any]:
        """Counts events, and refuses what no value may have."""
        for i, event in enumerate(events):
            self.line = event.start_mark.line + 1
            if i == MAX_EVENTS:
                raise self._error(f"more than {MAX_EVENTS} values")
            if isinstance(event, yaml.AliasEvent) or (
                isinstance(event, yaml.NodeEvent) and event.anchor
            ):
                raise self._error(
                    f"`{event.anchor}` is an anchor or an alias, which are not "
                    f"part of a model folder: {TRUST}"
                )
            yield event

    def _keys(self, found: dict[str, Any]) -> Iterator[str]:
        """Keys of a map; behind each, its value has to be taken."""
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag:
                raise self._error("a key must be a word")
            if event.value == "<<" or event.value in found:
                raise self._error(
                    f"`{event.value}` must not be merged or twice"
                )
            yield event.value

    def _value(self, key: str, event: Any, depth: int) -> Any:
        """A value, at this depth of the file."""
        if depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} levels")
        if event.tag == REF:
            return self._ref(key, event, depth)
        if event.tag is not None:
            return self._object(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(key, event)
        return self._container(key, event, depth)

    def _container(self, key: str, event: Any, depth: int) -> Any:
        """A list or a map."""
        if isinstance(event, yaml.MappingStartEvent):
            # The modules of a model are the one map of references.
            return self._map(depth + 1, depth == 1 and key == "modules")
        items = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._value(key, event, depth + 1))
        return items

    def _object(self, event: Any, depth: int) -> Made:
        """An object of the facade, one of each at most."""
        name = OBJECTS.get(event.tag)
        if name is None:
            names = ", ".join(sorted(dld_brain.__all__))
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._error(
                f"`{tag}` is not one of the tags of a model folder ({REF}, and "
                f"those that make {names}): {TRUST}"
            )
        if depth != 1 or name in self.made:
            raise self._error(f"`{name}` must be the value of one key")
        self.made.add(name)
        if isinstance(event, yaml.MappingStartEvent):
            return Made(name, self._map(2, True))
        if not isinstance(event, yaml.ScalarEvent) or event.value:
            raise self._error(f"`{name}` must have named arguments")
        return Made(name, {})

    def _map(self, depth: int, may_refer: bool) -> dict[str, Any]:
        """A map whose start was taken."""
        found: dict[str, Any] = {}
        for key in self._keys(found):
            event = next(self.events)
            is_ref = may_refer and event.tag == REF
            found[key] = self._value(key, event, 1 if is_ref else depth)
        return found

    def _ref(self, key: str, event: Any, depth: int) -> Ref:
        """A reference to a key that stands above."""
        is_scalar = isinstance(event, yaml.ScalarEvent)
        match = _NAME.fullmatch(event.value) if is_scalar else None
        if match is None or depth != 1 or match[1] not in self.tree:
            raise self._error(
                f"`{REF}` of `{key}` must name one key that stands above, as "
                f"in {REF} <sample_rate>, and no more"
            )
        return Ref(match[1])

    def _scalar(self, key: str, event: yaml.ScalarEvent) -> Any:
        """A plain value; what YAML 1.2 calls a number is one."""
        text = event.value
        if not event.implicit[0]:  # quoted
            return text
        if text in _WORDS:
            return _WORDS[text]
        is_int = _INT.fullmatch(text)
        if not (is_int or _FLOAT.fullmatch(text)):
            return text
        limit = LARGEST.get(key, self.largest_other)
        if len(text) > 40 or abs(float(text)) > limit:
            raise self._error(
                f"`{key}` must be at most {limit}, but is {text[:20]}"
            )
        return int(text) if is_int else float(text)

    def _error(self, what: str) -> ValueError:
        """The error for what is not part of a model folder."""
        return ValueError(f"{self.path} line {self.line}: {what}")
