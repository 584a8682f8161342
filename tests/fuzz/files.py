"""The audio fuzzer's files as bytes, for who sends them somewhere."""

import random
from pathlib import Path

from tests.fuzz.audio import formats, headers, places, values
from tests.fuzz.harness import Case


def broken_files(folder: Path) -> dict[str, bytes]:
    """By case, the files of the audio fuzzer, written below a folder."""
    found = {}
    for kind in (formats, headers, values, places):
        for i, case in enumerate(kind(0)):
            found |= written(case, folder / f"{kind.__name__}{i}")
    return found


def written(case: Case, folder: Path) -> dict[str, bytes]:
    """The files that a case writes."""
    folder.mkdir()
    case.prepare(folder, random.Random(case.name))
    return {
        f"{case.name}, {path.name}": path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and path.stat().st_size < 10**6
    }
