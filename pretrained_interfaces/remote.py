"""What leaves this machine: a model `owner/name`, audio by URL or `hub:`.

Whatever does is said in a line, and has `TIMEOUT` seconds to be answered:
without a network the Hub's own client tries for 23.
"""

import logging
import queue
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Optional, TypeVar, Union

import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.utils import validate_repo_id

from dld_brain.files import manifest
from dld_brain.files.console import escaped
from speechbrain.utils.fetching import (
    FetchConfig,
    FetchFrom,
    FetchSource,
    LocalStrategy,
    fetch,
)

logger = logging.getLogger(__name__)
T = TypeVar("T")
#: Seconds that a server has for its first answer.
TIMEOUT = 3.0
#: The most bytes of audio that are fetched: 1 GiB.
LARGEST = 2**30
#: A repository and a file of it; the file may be in folders.
_HUB = re.compile(r"hub:([^/]+/[^/]+)/(.+)", re.DOTALL)
#: Why the Hub gives nothing, of errors from the narrow to the wide.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set"),
    (errors.GatedRepoError, "its owner has to grant access first"),
    (errors.RepositoryNotFoundError, "no such repository, or a private one"),
    (errors.RevisionNotFoundError, "it has no such revision"),
    (errors.LocalEntryNotFoundError, "no connection, and not in the cache"),
    (errors.EntryNotFoundError, "it has no such file"),
)
#: Errors that are answers, or of this machine: no connection is missing.
_ANSWERED = (
    *(kind for kind, _ in _REASONS),
    errors.HfHubHTTPError,
    urllib.error.HTTPError,
    ValueError,
)


def is_hub_id(text: str) -> bool:
    """Whether it is what the Hub calls a repository: owner/name.

    Example
    -------
    >>> is_hub_id("owner/name"), is_hub_id("a/b/c"), is_hub_id("./name")
    (True, False, False)
    """
    try:
        validate_repo_id(text)
    except errors.HFValidationError:
        return False
    return text.count("/") == 1


def fetch_folder(
    source: str,
    savedir: Union[str, Path, None],
    local_strategy: LocalStrategy,
    config: FetchConfig,
) -> str:
    """Fetches the files that a model's manifest names, and no others.

    Arguments
    ---------
    source : str
        `owner/name` on the Hub.

    Returns
    -------
    str
        The folder that they are in; nothing in it is checked yet.

    Raises
    ------
    FileNotFoundError
        If the Hub has no such model, or cannot be reached.
    ValueError
        If the manifest is none, or `savedir` has that of another model.
    """
    path = _from_hub(source, manifest.FILE, config)
    names = [manifest.FILE, *manifest.read_manifest(path)]
    if savedir is None:
        return str([_from_hub(source, n, config) for n in names][0].parent)
    kept = [
        _from_hub(source, n, config, savedir, local_strategy) for n in names
    ]
    if kept[0].read_bytes() != path.read_bytes():
        raise ValueError(
            f"`savedir` must be empty, or of {source}, but {kept[0]} is of "
            f"another model: give another folder"
        )
    return str(kept[0].parent)


def fetch_audio(
    text: str, savedir: Union[str, Path, None] = None
) -> Union[Path, BytesIO, None]:
    """Fetches audio, where it is a URL or a file of the Hub.

    Arguments
    ---------
    text : str
        http://..., https://..., or hub:owner/name/file.
    savedir : str or Path, optional
        Cache of what is fetched from the Hub; the Hub's own if not given.

    Returns
    -------
    Path, BytesIO or None
        What can be read; None if it is neither.

    Raises
    ------
    FileNotFoundError
        If it cannot be fetched.
    """
    if text.lower().startswith(("http://", "https://")):
        return _from_url(text)
    if not text.startswith("hub:"):
        return None
    found = _HUB.fullmatch(text)
    parts = found[2].split("/") if found else [".."]
    if {"", ".", ".."} & set(parts) or not is_hub_id(found[1]):
        raise ValueError(
            f"audio on the Hugging Face Hub must be hub:owner/name/file, but "
            f"is {escaped(text, 200)}"
        )
    logger.warning("fetching %s from the Hugging Face Hub", escaped(text, 200))
    config = FetchConfig(huggingface_cache_dir=savedir)
    return _from_hub(found[1], found[2], config)


def _from_hub(
    repository: str,
    name: str,
    config: FetchConfig,
    savedir: Union[str, Path, None] = None,
    local_strategy: LocalStrategy = LocalStrategy.NO_LINK,
) -> Path:
    """A file of a repository: from the cache, or fetched."""
    cached = huggingface_hub.try_to_load_from_cache(
        repository,
        name,
        cache_dir=config.huggingface_cache_dir,
        revision=config.revision,
    )
    if not isinstance(cached, str):
        _ask(repository, name, config)
    elif not (config.allow_updates or config.overwrite):
        config = replace(config, allow_network=False)
    return _told(
        lambda: Path(
            fetch(
                name,
                FetchSource(FetchFrom.HUGGING_FACE, repository),
                savedir=savedir,
                local_strategy=local_strategy,
                fetch_config=config,
            )
        ),
        f"{constants.ENDPOINT}/{repository}",
    )


def _ask(repository: str, name: str, config: FetchConfig) -> None:
    """Raises unless the Hub says, in time, that it has a file."""
    if not config.allow_network:
        return
    url = huggingface_hub.hf_hub_url(repository, name, revision=config.revision)
    _told(
        lambda: _within(
            lambda: huggingface_hub.get_hf_file_metadata(
                url, token=config.token, timeout=TIMEOUT
            )
        ),
        f"{constants.ENDPOINT}/{repository}",
    )


def _from_url(url: str) -> BytesIO:
    """The content of a URL.

    SpeechBrain's `fetch` waits for ever, and takes what another URL with the
    same last part has left.
    """
    logger.warning("fetching %s", escaped(url, 200))

    def read() -> BytesIO:
        """Reads up to one byte too many."""
        answer = _within(lambda: urllib.request.urlopen(url, timeout=TIMEOUT))
        with answer:
            return BytesIO(answer.read(LARGEST + 1))

    content = _told(read, url)
    if content.getbuffer().nbytes > LARGEST:
        raise ValueError(
            f"{escaped(url, 200)} must have at most {LARGEST} bytes"
        )
    return content


def _within(ask: Callable[[], T]) -> T:
    """What `ask` gives, in time: the look-up of a name has no limit else."""
    answers: queue.SimpleQueue[tuple[Optional[T], Optional[Exception]]] = (
        queue.SimpleQueue()
    )

    def run() -> None:
        """Asks."""
        try:
            answers.put((ask(), None))
        except Exception as error:  # raised again by who waits
            answers.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        answer, error = answers.get(timeout=TIMEOUT)
    except queue.Empty:
        raise TimeoutError(f"no answer in {TIMEOUT:g} s") from None
    if error is not None:
        raise error
    return answer


def _told(get: Callable[[], T], where: str) -> T:
    """What `get` gives; one line if it cannot."""
    try:
        return get()
    # The Hub's client raises what its HTTP library does: requests', httpx's
    # or httpx2's, by its version.
    except Exception as error:
        known = (text for kind, text in _REASONS if isinstance(error, kind))
        text = next(known, None) or " ".join(str(error).split())
        if not isinstance(error, _ANSWERED):
            text = f"no connection: {text or type(error).__name__}"
        raise FileNotFoundError(
            f"{escaped(where, 200)} gives nothing: {escaped(text, 160)}"
        ) from None
