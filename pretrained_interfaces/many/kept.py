"""Transcripts in a folder: written whole, and what is done stays.

Beside each lies a hidden record of what it was made of: the audio (path,
size, time of change, part), the model, and what it was asked for.
"""

import dataclasses
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from dld_brain.files.console import reason
from dld_brain.files.fingerprint import (
    CHANGED,
    CURRENT,
    digest,
    digest_of_file,
    read_record,
    remade,
    state_of,
)
from dld_brain.files.manifest import FILE as MANIFEST
from pretrained_interfaces.inputs import check_source
from pretrained_interfaces.many.items import Item
from pretrained_interfaces.many.told import label
from pretrained_interfaces.many.transcriber import Answer, How
from pretrained_interfaces.remote import fetch_folder
from pretrained_interfaces.shipped import shipped_model
from pretrained_interfaces.times import formats
from pretrained_interfaces.transcription import Transcription
from speechbrain.utils.fetching import FetchConfig, LocalStrategy

#: A disk or a folder that takes no file at all.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


class Kept:
    """Transcripts in a folder.

    Arguments
    ---------
    folder : Path
        Is made if it is not there.
    names : sequence of str
        What the outputs of each item are called, without a suffix.
    """

    def __init__(
        self,
        folder: Path,
        items: Sequence[Item],
        names: Sequence[str],
        how: How,
    ) -> None:
        self.folder = folder
        self.items, self.names = items, names
        self.formats = how.formats
        self.shared = {
            "model": model_digest(how.source),
            "options": _asked(how),
        }
        folder.mkdir(parents=True, exist_ok=True)

    def is_done(self, place: int) -> bool:
        """Whether an item has all its files, made of what there is now.

        What was changed by hand since is done, too.
        """
        made_of = self._made_of(self.items[place])
        for path in self._paths(place):
            try:
                state = state_of(path, made_of)
            except OSError:  # a name that is too long
                return False
            record = read_record(path)
            is_edited = state == CHANGED and record.made_of == made_of
            if state != CURRENT and not is_edited:
                return False
        return True

    def keep(self, place: int, answer: Answer) -> Answer:
        """Writes the files of an item; the answer says so if it cannot.

        Raises
        ------
        OSError
            If the folder takes no file at all.
        """
        if answer.found is None:
            return answer
        try:
            self._write(place, answer.found)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            return Answer(answer.item, None, reason(error))
        return answer

    def _write(self, place: int, found: Transcription) -> None:
        """Writes the files of an item."""
        item, made_of = self.items[place], self._made_of(self.items[place])
        for name, path in zip(self.formats, self._paths(place)):
            text = formats.write(found, label(item, name), name)
            if state_of(path, made_of) == CHANGED:
                raise ValueError(
                    f"{path} must be as it was written, but was changed by "
                    f"hand, and what it was made of changed, too: move it "
                    f"away to have it made anew"
                )
            with remade(path, made_of) as unfinished:
                unfinished.write_bytes(text.encode("utf-8", "surrogateescape"))

    def _paths(self, place: int) -> list[Path]:
        """Where the files of an item are."""
        name = self.names[place]
        return [self.folder / f"{name}.{suffix}" for suffix in self.formats]

    def _made_of(self, item: Item) -> dict[str, str]:
        """What a transcript of an item is made of."""
        try:
            found = os.stat(item.file)
            state = [found.st_size, found.st_mtime_ns]
        except (OSError, ValueError):  # a URL
            state = []
        path = os.path.abspath(item.file) if state else item.file
        audio = digest(path, *state, item.offset, item.duration)
        return {"audio": audio, **self.shared}


def model_digest(source: Optional[str]) -> str:
    """A fingerprint of a model, by its manifest; nothing of it is loaded.

    Arguments
    ---------
    source : str, optional
        See `DynamicEncoderASR.from_hparams`.
    """
    folder = check_source(shipped_model() if source is None else source)
    if not Path(folder).is_dir():
        folder = fetch_folder(
            folder, None, LocalStrategy.SYMLINK, FetchConfig()
        )
    path = Path(folder, MANIFEST)
    return digest_of_file(path) if path.is_file() else digest(str(folder))


def _asked(how: How) -> str:
    """A fingerprint of what a model is asked for."""
    lm = how.loading.get("lm")
    return digest(
        type(how.depth).__name__,
        dataclasses.asdict(how.depth),
        {k: v for k, v in how.listening.items() if k != "batch_seconds"},
        None if lm is None else digest_of_file(Path(lm)),
        how.loading.get("lm_options"),
        how.loading.get("int8", False),
    )
