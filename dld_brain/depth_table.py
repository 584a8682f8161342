"""The depth table: which layers run at a depth, and what that costs.

JSON, saved as depth_table.json in the folder of a model, whose weights it
names.
"""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Optional

from dld_brain.files.manifest import read_json
from dld_brain.files.whole import write_text
from dld_brain.gates.gates import Gates, whole_number
from dld_brain.gates.layer_sets import depths_in_words

FILE = "depth_table.json"
#: The largest count: what 64 bits hold.
LARGEST = 2**63 - 1
#: Probabilities are kept so far from 0 and 1: single precision has no nearer.
NEAREST = 1e-6


def logit_of(probability: float) -> float:
    """log(p / (1 - p)), finite for 0 and 1, too.

    Example
    -------
    >>> round(logit_of(0.5), 1), round(logit_of(1.0), 1)
    (0.0, 13.8)
    """
    p = min(max(probability, NEAREST), 1 - NEAREST)
    return math.log(p / (1 - p))


@dataclass
class DepthRow:
    """One depth of a table.

    Arguments
    ---------
    macs_per_second : float
        Multiply-accumulates of the encoder for a second of audio.
    dev_loss : float, optional
        Loss on the speech that layers were chosen on, nats per utterance.
    dev_loss_mean : float, optional
        Mean of that over the layer sets drawn, where they were drawn.
    dev_rate : float, optional
        The metric (WER, CER or accuracy) on the whole development
        speech, %.
    confidence_slope, confidence_offset : float, optional
        What makes a confidence of the mean probability of an answer; see
        `confidence`.
    """

    n_layers: int
    layers: list[int]
    params: int
    macs_per_second: float
    weight_bytes: int
    dev_loss: Optional[float] = None
    dev_loss_mean: Optional[float] = None
    dev_loss_std: Optional[float] = None
    dev_rate: Optional[float] = None
    confidence_slope: Optional[float] = None
    confidence_offset: Optional[float] = None

    def confidence(self, probability: float) -> float:
        """The share of an answer that is to be expected to be right.

        Platt's scale: logit(confidence) = slope * logit(probability) +
        offset, fitted on development speech; see
        dld_brain.evaluation.confidence.

        Arguments
        ---------
        probability : float
            Mean probability of the likeliest token, in [0, 1].

        Returns
        -------
        float
            In (0, 1); the probability itself of a depth without a scale.

        Example
        -------
        >>> row = DepthRow(1, [0], 9, 1e8, 36)
        >>> row.confidence_slope, row.confidence_offset = 1.0, -2.0
        >>> round(row.confidence(0.99), 2)
        0.93
        """
        if self.confidence_slope is None or self.confidence_offset is None:
            return probability
        logit = self.confidence_slope * logit_of(probability)
        return (1 + math.tanh((logit + self.confidence_offset) / 2)) / 2

    def check(self) -> None:
        """Raises unless it is a depth that can be run.

        Example
        -------
        >>> DepthRow(2, [0, 0], 9, 1e8, 36).check()
        Traceback (most recent call last):
        ...
        ValueError: depth 2: `layers` must be 2 numbers that rise from 0, ...
        """
        where = f"depth {str(self.n_layers)[:20]}"
        layers = self.layers if isinstance(self.layers, list) else [None]
        counts = (self.n_layers, self.params, self.weight_bytes, *layers)
        if any(type(x) is not int or abs(x) > LARGEST for x in counts):
            raise ValueError(
                f"{where}: `n_layers`, `layers`, `params` and `weight_bytes` "
                f"must be whole numbers up to {LARGEST}"
            )
        rising = sorted(set(layers)) == layers
        if not (rising and len(layers) == self.n_layers > 0 <= layers[0]):
            raise ValueError(
                f"{where}: `layers` must be {self.n_layers} numbers that rise "
                f"from 0, but are {str(layers)[:100]}"
            )
        values = [self.dev_loss, self.dev_loss_mean, self.dev_loss_std]
        values += [self.confidence_slope, self.confidence_offset]
        given = [x for x in (*values, self.dev_rate) if x is not None]
        if not all(map(_is_finite, (self.macs_per_second, *given))):
            raise ValueError(f"{where}: numbers must be finite")
        if min(self.params, self.weight_bytes, self.macs_per_second) <= 0:
            raise ValueError(f"{where}: costs must be positive")


@dataclass
class DepthTable:
    """For each depth the layers that run.

    Arguments
    ---------
    model : str
        SHA-256 of the model.safetensors that it is of.
    rows : list of DepthRow
        One for each depth, rising.

    Example
    -------
    >>> table = DepthTable("0" * 32, "even", [DepthRow(2, [0, 5], 9, 1e8, 36)])
    >>> table.layers(2)
    (0, 5)
    >>> table.layers(3)
    Traceback (most recent call last):
    ...
    ValueError: `n_layers` must be 2, but is 3
    """

    model: str = ""
    strategy: str = ""
    rows: list[DepthRow] = field(default_factory=list)

    @property
    def depths(self) -> tuple[int, ...]:
        """The depths of the table."""
        return tuple(row.n_layers for row in self.rows)

    def layers(self, n_layers: int) -> tuple[int, ...]:
        """Layers that run at a depth."""
        depth = whole_number(n_layers)
        for row in self.rows:
            if row.n_layers == depth:
                return tuple(row.layers)
        whole = "a whole number " if depth is None else ""
        raise ValueError(
            f"`n_layers` must be {whole}{depths_in_words(self.depths)}, but "
            f"is {n_layers!r}"
        )

    def gates(self, n_layers: int, n_total: int) -> Gates:
        """Gates of a depth, in a stack of `n_total` layers."""
        return Gates(self.layers(n_layers), n_total)

    def confidence(self, layers: Sequence[int], probability: float) -> float:
        """The confidence in an answer of some layers; see `DepthRow`.

        Arguments
        ---------
        layers : sequence of int
            Those that ran; of others than the table's, it is the probability.
        """
        for row in self.rows:
            if row.layers == list(layers):
                return row.confidence(probability)
        return probability

    def check_model(self, model: str) -> None:
        """Raises unless the table is of these weights."""
        if self.model != model:
            raise ValueError(
                f"the depth table must be of this model ({model[:8]}), but "
                f"is of another ({self.model[:8]}): choose the layers "
                f"anew (train.py --test_only)"
            )

    def save(self, folder: str) -> None:
        """Writes depth_table.json."""
        text = json.dumps(asdict(self), indent=2)
        write_text(Path(folder, FILE), text + "\n")

    def read(self, path: Any) -> None:
        """Takes over what a file holds, once every row of it was checked.

        Raises
        ------
        ValueError
            If it is no depth table.
        """
        content = read_json(Path(path))
        try:
            rows = [_row(row) for row in _value(content, "rows", list)]
            if not rows:
                raise ValueError("it has no rows")
            depths = [row.n_layers for row in rows]
            if depths != sorted(set(depths)):
                raise ValueError(f"depths must rise, but are {depths}"[:200])
            model = _value(content, "model", str)
            strategy = _value(content, "strategy", str)
        except ValueError as error:
            raise ValueError(f"{path} is no depth table: {error}") from None
        self.rows, self.model, self.strategy = rows, model, strategy

    def check_depths(self, n_total: int, path: str) -> None:
        """Raises unless all layers are among those of a model.

        Arguments
        ---------
        path : str
            Where the table is from, for the message.
        """
        for row in self.rows:
            if row.layers[-1] >= n_total:
                raise ValueError(
                    f"{path} must name layers below {n_total}, but depth "
                    f"{row.n_layers} has {str(row.layers)[:100]}"
                )

    def within(self, n_layers: int) -> "DepthTable":
        """What a model can do that has the layers of one depth alone.

        Returns
        -------
        DepthTable
            Depths whose layers are all there, numbered as they are there.

        Raises
        ------
        ValueError
            If it is no depth of the table.

        Example
        -------
        >>> rows = [
        ...     DepthRow(n, s, 9, 1e8, 36) for n, s in ((1, [4]), (2, [0, 4]))
        ... ]
        >>> table = DepthTable("0" * 32, "mine", rows).within(2)
        >>> [(row.n_layers, row.layers) for row in table.rows]
        [(1, [1]), (2, [0, 1])]
        """
        kept = {layer: i for i, layer in enumerate(self.layers(n_layers))}
        rows = [
            replace(row, layers=[kept[i] for i in row.layers])
            for row in self.rows
            if set(row.layers) <= set(kept)
        ]
        return DepthTable(self.model, self.strategy, rows)


def _value(content: Any, key: str, kind: type) -> Any:
    """What a table has under a key."""
    if not (isinstance(content, dict) and isinstance(content.get(key), kind)):
        raise ValueError(f"`{key}` must be a {kind.__name__}, but is not")
    return content[key]


def _row(content: Any) -> DepthRow:
    """A row, checked."""
    known = {f.name for f in fields(DepthRow)}
    needed = {f.name for f in fields(DepthRow) if f.default is MISSING}
    if not (isinstance(content, dict) and needed <= set(content) <= known):
        raise ValueError(
            f"a row must have {', '.join(sorted(needed))}, and of others "
            f"{', '.join(sorted(known - needed))} alone, but is "
            f"{str(content)[:60]}"
        )
    row = DepthRow(**content)
    row.check()
    return row


def _is_finite(value: Any) -> bool:
    """Whether it is a number that a float can hold, and finite."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max
