"""The depth table: which layers run at a depth, and what that costs.

JSON, saved as depth_table.json in the folder of a model, whose weights it
names.
"""

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from dld_brain.files.whole import write_text
from dld_brain.gates.gates import Gates, whole_number

FILE = "depth_table.json"


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

    def check(self) -> None:
        """Raises unless it is a depth that can be run.

        Example
        -------
        >>> DepthRow(2, [0, 0], 9, 1e8, 36).check()
        Traceback (most recent call last):
        ...
        ValueError: depth 2: `layers` must be 2 numbers that rise from 0, ...
        """
        counts = (self.n_layers, self.params, self.weight_bytes, *self.layers)
        if any(type(x) is not int for x in counts):
            raise ValueError(f"depth {self.n_layers!r}: a count is no int")
        rising = sorted(set(self.layers)) == list(self.layers)
        if not (rising and len(self.layers) == self.n_layers > 0) or (
            self.layers[0] < 0
        ):
            raise ValueError(
                f"depth {self.n_layers}: `layers` must be {self.n_layers} "
                f"numbers that rise from 0, but are {self.layers}"
            )
        values = [self.macs_per_second, self.dev_loss, self.dev_loss_mean]
        values += [self.dev_loss_std, self.dev_rate]
        given = [x for x in values if x is not None]
        if self.macs_per_second is None or not all(map(math.isfinite, given)):
            raise ValueError(f"depth {self.n_layers}: numbers must be finite")
        if min(self.params, self.weight_bytes, self.macs_per_second) <= 0:
            raise ValueError(f"depth {self.n_layers}: costs must be positive")


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
    ValueError: `n_layers` must be a depth of the table (2), but is 3
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
        depths = ", ".join(map(str, self.depths))
        raise ValueError(
            f"`n_layers` must be a depth of the table ({depths}), but is "
            f"{n_layers!r}"
        )

    def gates(self, n_layers: int, n_total: int) -> Gates:
        """Gates of a depth, in a stack of `n_total` layers."""
        return Gates(self.layers(n_layers), n_total)

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
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            rows = [DepthRow(**row) for row in content["rows"]]
            model, strategy = str(content["model"]), str(content["strategy"])
            if not rows:
                raise ValueError("it has no rows")
            for row in rows:
                row.check()
            depths = [row.n_layers for row in rows]
            if depths != sorted(set(depths)):
                raise ValueError(f"depths must rise, but are {depths}")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"{path} is no depth table: {error}") from error
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
                    f"{row.n_layers} has {row.layers}"
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
