"""The depth table: which layers run at a depth, and what that costs.

JSON, saved as depth_table.ckpt in the folder of a model (the name that
SpeechBrain's Pretrainer fetches), whose weights it names.
"""

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

FILE = "depth_table.ckpt"


def checkpoint_hash(path: Any) -> str:
    """Names the weights of a file without reading them.

    SHA-256 of the checksums that torch.save keeps of each tensor, and of
    names, shapes and types.

    Example
    -------
    >>> a, b = (getfixture("tmpdir") / name for name in "ab")
    >>> torch.save({"w": torch.ones(2)}, a)
    >>> torch.save({"w": torch.zeros(2)}, b)
    >>> checkpoint_hash(a) == checkpoint_hash(b)
    False
    """
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(path) as archive:
            for record in archive.infolist():
                name = record.filename.partition("/")[2]
                if name == "data.pkl" or name.startswith("data/"):
                    text = f"{name} {record.file_size} {record.CRC}"
                    digest.update(text.encode())
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as weights (is it whole?): {error}"
        ) from error
    return digest.hexdigest()[:32]


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
        The task's metric (WER, or accuracy) on the whole development
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


@dataclass
class DepthTable:
    """For each depth the layers that run.

    Arguments
    ---------
    model : str
        `checkpoint_hash` of the model.ckpt that it is of.
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
        is_int = isinstance(n_layers, int) and not isinstance(n_layers, bool)
        for row in self.rows:
            if is_int and row.n_layers == n_layers:
                return tuple(row.layers)
        depths = ", ".join(map(str, self.depths))
        raise ValueError(
            f"`n_layers` must be a depth of the table ({depths}), but is "
            f"{n_layers!r}"
        )

    def check_model(self, model: str) -> None:
        """Raises unless the table is of these weights."""
        if self.model != model:
            raise ValueError(
                f"the depth table must be of this model ({model[:8]}), but "
                f"is of another ({self.model[:8]}): choose the layers "
                f"anew (train.py --test_only)"
            )

    def save(self, folder: str) -> None:
        """Writes depth_table.ckpt."""
        text = json.dumps(asdict(self), indent=2)
        Path(folder, FILE).write_text(text + "\n")

    def read(self, path: Any) -> None:
        """Takes over what a file holds; a hook of SpeechBrain's Pretrainer."""
        try:
            content = json.loads(Path(path).read_text())
            self.rows = [DepthRow(**row) for row in content["rows"]]
            self.model, self.strategy = content["model"], content["strategy"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} is no depth table: {error}") from error

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
        >>> rows = [DepthRow(n, s, 9, 1e8, 36) for n, s in ((1, [4]), (2, [0, 4]))]
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


def read_table(table: DepthTable, path: Any) -> None:
    """`table.read(path)`, as SpeechBrain's Pretrainer calls it."""
    table.read(path)
