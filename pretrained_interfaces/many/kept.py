"""Transcripts in a folder: written whole, and what is done stays.

Beside each lies a hidden record of what it was made of: the audio (path,
size, time of change, part), the model, and what it was asked for.
"""

import contextlib
import dataclasses
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from dld_brain.audio.checks import LONGEST
from dld_brain.files.console import reason
from dld_brain.files.fingerprint import (
    CHANGED,
    CURRENT,
    UNKNOWN,
    digest,
    digest_of_file,
    read_record,
    remade,
    state_of,
)
from dld_brain.files.manifest import FILE as MANIFEST
from pretrained_interfaces.inputs import check_source
from pretrained_interfaces.many.item import Item
from pretrained_interfaces.many.names import output_names, recordings
from pretrained_interfaces.many.transcriber import Answer, How
from pretrained_interfaces.remote import fetch_folder
from pretrained_interfaces.shipped import shipped_model
from pretrained_interfaces.times import formats
from pretrained_interfaces.transcription import Transcription
from speechbrain.utils.fetching import FetchConfig, LocalStrategy

#: What to do about what is in the way.
ASIDE = ": move it away, or give another folder with -o"
#: A disk or a folder that takes no file at all.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


class Kept:
    """Transcripts in a folder.

    Arguments
    ---------
    folder : Path
        Is made if it is not there.
    items : sequence of Item
        What they are of: each file or part once. The state of their audio
        is taken here, before any is read: what changes later, or while it is
        read, is made anew by the next run.
    """

    def __init__(self, folder: Path, items: Sequence[Item], how: How) -> None:
        self.folder = folder
        self.items, self.names = items, output_names(items)
        self.formats = how.formats
        is_ctm = "ctm" in how.formats
        self.recordings = recordings(items) if is_ctm else ()
        shared = {"model": model_digest(how.source), "options": _asked(how)}
        self.made_of = [{"audio": _audio(x), **shared} for x in items]
        folder.mkdir(parents=True, exist_ok=True)

    def is_done(self, place: int) -> bool:
        """Whether an item has all its files, made of what there is now.

        What was changed by hand since is done, too.
        """
        try:
            return all(_is_done(f.path, f.made_of) for f in self._files(place))
        except OSError:  # `refusal` says why
            return False

    def refusal(self, place: int) -> str:
        """Why the files of an item cannot be written; empty if they can."""
        for file in self._files(place):
            try:
                self._checked(file.path, file.made_of)
            except (OSError, ValueError) as error:
                return reason(error)
        return ""

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
        """Writes the files of an item, but what was changed by hand."""
        start = self.items[place].start
        for kind, path, name, made_of in self._files(place):
            if self._checked(path, made_of) == CHANGED:
                continue
            text = formats.write(found, name, kind, start)
            with remade(path, made_of) as unfinished:
                unfinished.write_bytes(formats.encoded(text))

    def _checked(self, path: Path, made_of: dict[str, str]) -> str:
        """The state of a file; raises if it must not be written."""
        for folder in path.relative_to(self.folder).parents:
            place = self.folder / folder
            if os.path.lexists(place) and not place.is_dir():
                raise ValueError(
                    f"{place} must be a folder, but is none{ASIDE}"
                )
        if os.path.lexists(path) and not path.is_file():
            raise ValueError(f"{path} must be a file, but is none{ASIDE}")
        state = state_of(path, made_of)
        if state == UNKNOWN:
            raise ValueError(
                f"{path} must be a transcript that was written here, but has "
                f"no record of that beside it that can be read{ASIDE}"
            )
        if state == CHANGED and not _is_done(path, made_of):
            raise ValueError(
                f"{path} must be as it was written, but was changed by "
                f"hand, and what it was made of changed, too: move it "
                f"away to have it made anew"
            )
        return state

    def _files(self, place: int) -> "Iterator[File]":
        """The files of an item.

        What was written before times were from the start of the file, and
        before CTM told recordings apart, was made of something else.
        """
        item, made_of = self.items[place], self.made_of[place]
        for kind in self.formats:
            path = self.folder / f"{self.names[place]}.{kind}"
            name, extra = item.file, {}
            if item.start and kind != "txt":
                extra["times"] = "from the start of the file"
            if kind == "ctm":
                name = self.recordings[place]
                if name != (item.id or Path(item.name or item.file).stem):
                    extra["recording"] = name
            yield File(kind, path, name, {**made_of, **extra})


class File(NamedTuple):
    """A file of a transcript.

    Arguments
    ---------
    name : str
        What it calls its audio.
    made_of : dict
        See `dld_brain.files.fingerprint`.
    """

    format: str
    path: Path
    name: str
    made_of: dict[str, str]


def _is_done(path: Path, made_of: dict[str, str]) -> bool:
    """Whether a file is made of that, and as it was or changed by hand."""
    state, record = state_of(path, made_of), read_record(path)
    is_edited = state == CHANGED and record.made_of == made_of
    return state == CURRENT or is_edited


def _audio(item: Item) -> str:
    """A fingerprint of an item's audio as it is now."""
    name, path, state = item.file, item.path(), []
    if path is not None:
        with contextlib.suppress(OSError, ValueError):  # it is not there
            found = os.stat(path)
            name, state = path, [found.st_size, found.st_mtime_ns]
    return digest(name, *state, item.offset, item.duration)


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
    """A fingerprint of what a model is asked for.

    Of what was transcribed, neither how much was run together changed the
    text, nor how long audio may be; the latter stands for its default.
    """
    lm = how.loading.get("lm")
    listening = {**how.listening, "max_audio_seconds": LONGEST}
    listening.pop("batch_seconds", None)
    decoder = how.loading.get("n_decoder_layers")
    return digest(
        type(how.depth).__name__,
        dataclasses.asdict(how.depth),
        listening,
        None if lm is None else digest_of_file(Path(lm)),
        how.loading.get("lm_options"),
        how.loading.get("int8", False),
        *([] if decoder is None else [decoder]),
    )
