"""The page that has the counts, between marks of their own."""

from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/reliability.md"


def write(subject: str, table: str, page: Path = PAGE) -> None:
    """Puts a table where a page has the marks of its subject."""
    begin, end = f"<!-- {subject} -->", f"<!-- /{subject} -->"
    head, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} must have {begin} and {end}, but has not")
    text = f"{head}{begin}\n{table}\n{end}{tail}"
    page.write_text(text, encoding="utf-8")
