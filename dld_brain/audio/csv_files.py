"""CSV files of utterances: the only reader of them.

Columns: ID, duration (seconds), wav, and what the task is scored by (wrd or
intent); spk_id; start and stop (samples) where an utterance is a segment of
its file, both empty where it is all of it. `$data_root` at the start of a
path stands for the folder of the corpus.
"""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dld_brain.audio.clips import Utterance
from dld_brain.audio.text import normalise
from dld_brain.audio.text_files import Row, Table, read_table, visible_files

#: Columns of every CSV file, beside that of the references.
NEEDED = ("ID", "duration", "wav")
SEGMENT = ("start", "stop")
ROOT = "$data_root"
#: What float() takes and no spreadsheet means is left out: nan, 1_5, digits
#: of other scripts.
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)


class Rows(NamedTuple):
    """What a CSV file holds.

    Arguments
    ---------
    items : dict of str to dict
        By id; `start` and `stop` are whole numbers, or 0 and None.
    problems : list of str
        What is wrong, with file, line and id.
    """

    path: Path
    items: dict[str, dict[str, Any]]
    problems: list[str]

    def utterances(self) -> list[Utterance]:
        """The rows before their audio is read."""
        return [
            Utterance(
                name,
                Path(item["wav"]),
                item.get("spk_id", ""),
                item.get("wrd", ""),
                intent=item.get("intent"),
                samples=(item["start"], item["stop"]) if item["stop"] else None,
                seconds=item["duration"],
                place=f"{self.path}:{item['line']}",
            )
            for name, item in self.items.items()
        ]


def csv_file(csv_folder: str, split: str) -> Path:
    """Finds the CSV file of a split.

    Example
    -------
    >>> csv_file("nowhere", "dev")
    Traceback (most recent call last):
    ...
    FileNotFoundError: split 'dev' must have a file nowhere/dev.csv, but ...
    """
    path = Path(csv_folder, f"{split}.csv")
    if not path.is_file():
        found = visible_files(Path(csv_folder), "*.csv")
        present = ", ".join(p.stem for p in found)
        raise FileNotFoundError(
            f"split {split!r} must have a file {path}, but there is none; "
            f"splits there: {present or 'none'}"
        )
    return path


def read_rows(
    path: Path, data_root: str, column: str, needs_text: bool = True
) -> Rows:
    """Reads a CSV file of utterances; opens no audio.

    Arguments
    ---------
    column : str
        That of the references.
    needs_text : bool
        Whether a row without a reference is a problem; else the column may
        be empty, or not there.

    Raises
    ------
    ValueError
        If it is no table, or lacks a column.
    """
    table = read_table(path)
    needed = (*NEEDED, column) if needs_text else NEEDED
    table.check(needed)
    table.check([c for c in SEGMENT if set(SEGMENT) & set(table.columns)])
    items, problems, lines = {}, [], {}
    for row in table.rows:
        try:
            name, item = _item_of(table, row, data_root, needed)
            item.setdefault(column, "")
            if name in items:
                raise ValueError(f"its id is that of line {lines[name]}, too")
        except ValueError as error:
            where = f"{path}:{row.number}: {_id_of(table, row)}"
            problems.append(f"{where}: {error}")
            continue
        items[name], lines[name] = item, row.number
    return Rows(path, items, problems)


def read_column(path: Path, column: str) -> list[str]:
    """The cells of a column; rows that are no such are left out."""
    table = read_table(path)
    table.check([column])
    at = table.columns.index(column)
    return [row.cells[at] for row in table.rows if len(row.cells) > at]


def lacks_references(path: Path, column: str) -> bool:
    """Whether no row of a CSV file has a reference."""
    table = read_table(path)
    if column not in table.columns:
        return True
    return not any(normalise(cell) for cell in read_column(path, column))


def _id_of(table: Table, row: Row) -> str:
    """The id of a row that may be short."""
    at = table.columns.index("ID")
    name = row.cells[at] if at < len(row.cells) else ""
    return name[:80] or "(no id)"


def _item_of(
    table: Table, row: Row, data_root: str, needed: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    """A row as a dataset has it, and its id."""
    cells: dict[str, Any] = table.cells_of(row)
    for key in needed:
        if not cells[key] or (key not in NEEDED and not normalise(cells[key])):
            raise ValueError(f"column `{key}` must be filled, but is empty")
    cells["duration"] = _number("duration", cells["duration"])
    if cells["duration"] <= 0:
        raise ValueError(
            f"column `duration` must be above 0, but is {cells['duration']:g}"
        )
    start, stop = (cells.get(key, "") for key in SEGMENT)
    cells["start"], cells["stop"] = 0, None
    if start or stop:
        cells["start"], cells["stop"] = _segment(start, stop)
    if cells["wav"] == ROOT or cells["wav"].startswith(f"{ROOT}/"):
        cells["wav"] = data_root + cells["wav"].removeprefix(ROOT)
    cells["wav"] = os.path.expanduser(cells["wav"])
    cells["line"] = row.number
    return cells.pop("ID"), cells


def _number(key: str, cell: str) -> float:
    """A cell as a number."""
    if not NUMBER.fullmatch(cell):
        raise ValueError(
            f"column `{key}` must be a number (with a point), but is "
            f"{cell[:30]!r}"
        )
    if not math.isfinite(float(cell)):
        raise ValueError(f"column `{key}` must be finite, but is {cell[:30]}")
    return float(cell)


def _segment(start: str, stop: str) -> tuple[int, int]:
    """First sample and the one behind the last; pandas' 8000.0 will do."""
    found = {"start": _number("start", start), "stop": _number("stop", stop)}
    for key, value in found.items():
        if not (value.is_integer() and 0 <= value < 2**53):
            raise ValueError(
                f"column `{key}` must be a whole number of samples, but is "
                f"{value:g}"
            )
    if found["stop"] <= found["start"]:
        raise ValueError(
            f"column `stop` must be above `start` ({found['start']:g}), but "
            f"is {found['stop']:g}"
        )
    return int(found["start"]), int(found["stop"])
