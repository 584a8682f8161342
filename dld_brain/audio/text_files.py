"""Text files, whichever system wrote them: the one reader of all corpora.

UTF-8 with or without a byte order mark; lines end at LF, CRLF, or CR where
a file has no other, and nowhere else (`str.splitlines` cuts at U+2028, too);
tables by commas, semicolons or tabs.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

#: What parts the cells of a table.
DELIMITERS = (",", ";", "\t")


class CorpusError(ValueError):
    """A corpus that is not whole; its text names what is wrong."""


class Row(NamedTuple):
    """A line of a table.

    Arguments
    ---------
    number, last : int
        Of its first line in the file, from 1, and of its last.
    cells : list of str
        Without white space around them.
    problem : str
        Why it could not be read, if so.
    """

    number: int
    last: int
    cells: list[str]
    problem: str = ""


class Table(NamedTuple):
    """A file of comma-separated values.

    Arguments
    ---------
    columns : list of str
        What the first line has.
    """

    path: Path
    columns: list[str]
    rows: list[Row]

    def check(self, needed: Sequence[str]) -> None:
        """Raises unless it has some columns, each once."""
        missing = sorted(set(needed) - set(self.columns))
        if len(missing) == 1:
            raise CorpusError(
                f"{self.path} must have a column `{missing[0]}`, but has "
                f"{_listed(self.columns)}"
            )
        if missing:
            raise CorpusError(
                f"{self.path} must have the columns {', '.join(needed)}, but "
                f"lacks {', '.join(missing)}"
            )
        for column, n in Counter(self.columns).items():
            if n > 1 and column in needed:
                raise CorpusError(
                    f"{self.path} must have a column `{column}` once, but "
                    f"has it {n} times"
                )

    def cells_of(self, row: Row) -> dict[str, str]:
        """The cells of a row by column.

        Raises
        ------
        ValueError
            If it is longer or shorter than the header; empty cells behind
            its end do no harm.
        """
        if row.problem:
            raise ValueError(row.problem)
        n_cells, n_columns = len(row.cells), len(self.columns)
        if n_cells < n_columns or any(row.cells[n_columns:]):
            hint = "quote a cell that holds a separator"
            if row.last > row.number:
                hint = f"is a quote open from here to line {row.last}?"
            raise ValueError(
                f"a row must have {n_columns} cells, as the header has, but "
                f"has {n_cells} ({hint})"
            )
        return dict(zip(self.columns, row.cells))


def read_text(path: Path) -> str:
    """The text of a file, its lines ended by LF.

    Raises
    ------
    CorpusError
        If it is not UTF-8.
    """
    content = path.read_bytes()
    try:
        text, at = content.decode("utf-8"), content.find(b"\0")
    except UnicodeDecodeError as error:
        text, at = "", error.start
    if at >= 0:
        number = content.count(b"\n", 0, at) + 1
        raise CorpusError(
            f"{path}:{number}: the line must be UTF-8, but has a byte "
            f"0x{content[at]:02x}; save the file as UTF-8"
        )
    text = text.lstrip("\ufeff").replace("\r\n", "\n")
    return text.replace("\r", " " if "\n" in text else "\n")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Lines that hold something, with their numbers from 1.

    Example
    -------
    >>> path = Path(getfixture("tmpdir"), "a.txt")
    >>> _ = path.write_bytes(b"\xef\xbb\xbfone\r\n\r\n two \xe2\x80\xa8")
    >>> list(read_lines(path))
    [(1, 'one'), (3, 'two')]
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def read_table(path: Path) -> Table:
    """Reads comma-separated values; semicolons and tabs part them, too.

    Rows without a filled cell are left out.

    Raises
    ------
    CorpusError
        If it has no header, or a quote that is not closed.
    """
    text = read_text(path)
    header = next((line for line in text.split("\n") if line.strip()), "")
    delimiter = max(DELIMITERS, key=header.count)
    rows = list(_rows(path, text, delimiter))
    if not rows:
        raise CorpusError(f"{path} must have a header, but is empty")
    if rows[0].problem:
        raise CorpusError(f"{path}:{rows[0].number}: {rows[0].problem}")
    return Table(path, rows[0].cells, rows[1:])


def _rows(path: Path, text: str, delimiter: str) -> Iterator[Row]:
    """All rows, the header among them."""
    lines = (f"{line}\n" for line in text.split("\n"))
    reader = csv.reader(
        lines, delimiter=delimiter, skipinitialspace=True, strict=True
    )
    while True:
        number = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error):  # all that follows is in the cell
                raise CorpusError(
                    f"{path}:{number}: a quote must be closed, but is open to "
                    f"the end of the file"
                ) from None
            problem = f"a row must be CSV, but is not: {error}"
            yield Row(number, reader.line_num, [], problem)
            continue
        if any(cells):
            yield Row(number, reader.line_num, cells)


def visible_files(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder in order, without hidden ones (macOS's `._x`).

    Arguments
    ---------
    pattern : str
        As `Path.glob` has it.
    """
    return sorted(
        path
        for path in folder.glob(pattern)
        if not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )


def _listed(columns: Sequence[str]) -> str:
    """Names of columns for a message: the first of them."""
    shown = [column[:30] or "(no name)" for column in columns[:8]]
    return ", ".join(shown) + ", ..." * (len(columns) > 8)
