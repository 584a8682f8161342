"""The Hugging Face Hub: what is of it, and whether it answers in time.

Without a network its own client tries for 23 s; here `TIMEOUT` is the limit.
"""

import errno
import logging
import os
import queue
import re
import threading
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, TypeVar

import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.utils import validate_repo_id

from dld_brain.files.console import escaped

logger = logging.getLogger(__name__)
T = TypeVar("T")
#: Seconds that a server has for its first answer.
TIMEOUT = 3.0
#: Why the Hub gives nothing, of errors from the narrow to the wide.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set"),
    (errors.GatedRepoError, "its owner has to grant access first"),
    (errors.RepositoryNotFoundError, "no such repository, or a private one"),
    (errors.RevisionNotFoundError, "it has no such revision"),
    (errors.LocalEntryNotFoundError, "no connection, and not in the cache"),
    (errors.EntryNotFoundError, "it has no such file"),
)
#: What Python puts around the system's words.
_ERRNO = re.compile(r"\[Errno -?\d+\] |<urlopen error |>$")
#: Errors that are answers, or of this machine: no connection is missing.
_ANSWERED = (
    *(kind for kind, _ in _REASONS),
    errors.HfHubHTTPError,
    urllib.error.HTTPError,
    ValueError,
)
#: Errors of the system that are this machine's, where a file is to be kept.
_LOCAL = {errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS}


def is_of_hub(source: Any) -> bool:
    """Whether a source is of the Hub: owner/name, and nothing local.

    A string that the Hub takes for a repository's name, of which neither
    that folder nor `owner` is here; that it is, is logged. All else is local.
    """
    if not (isinstance(source, str) and is_hub_id(source)):
        return False
    if os.path.exists(Path(source).parent):
        return False
    logger.warning(
        "%s is no folder: asking the Hugging Face Hub for %s",
        escaped(os.path.abspath(source), 200),
        source,
    )
    return True


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


def ask(
    repository: str,
    name: str,
    revision: Optional[str] = None,
    cache_dir: Optional[str] = None,
    token: Any = None,
) -> bool:
    """Asks the Hub for a file, in time, unless the cache has it.

    Returns
    -------
    bool
        Whether the cache has it.

    Raises
    ------
    FileNotFoundError
        If the Hub has no such file, or does not answer.
    """
    cached = huggingface_hub.try_to_load_from_cache(
        repository, name, cache_dir=cache_dir, revision=revision
    )
    if isinstance(cached, str):
        return True
    _head(repository, name, revision, token)
    return False


def is_silent(repository: str, name: str) -> bool:
    """Whether the Hub does not give a file, of which the cache has one.

    That the cache's is taken is logged.
    """
    try:
        _head(repository, name)
    except FileNotFoundError as error:
        logger.warning("%s; what the cache has of it is taken", error)
        return True
    return False


def _head(
    repository: str,
    name: str,
    revision: Optional[str] = None,
    token: Any = None,
) -> None:
    """Asks once, in time: retries are for what has answered before."""
    url = huggingface_hub.hf_hub_url(repository, name, revision=revision)

    def ask() -> None:
        """Asks."""
        huggingface_hub.get_hf_file_metadata(url, token=token, timeout=TIMEOUT)

    told(lambda: within(ask), address(repository))


def address(repository: str) -> str:
    """Where a repository is."""
    return f"{constants.ENDPOINT}/{repository}"


def within(ask: Callable[[], T]) -> T:
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


def told(get: Callable[[], T], where: str) -> T:
    """What `get` gives; one line if it cannot."""
    try:
        return get()
    # The Hub's client raises what its HTTP library does: requests', httpx's
    # or httpx2's, by its version.
    except Exception as error:
        raise FileNotFoundError(
            f"{escaped(where, 200)} gives nothing: {why(error)}"
        ) from None


def why(error: Exception) -> str:
    """Why the Hub's client failed, on one line."""
    known = (text for kind, text in _REASONS if isinstance(error, kind))
    text = next(known, None) or " ".join(str(error).split())
    text = _ERRNO.sub("", text)
    is_local = isinstance(error, OSError) and error.errno in _LOCAL
    if not (is_local or isinstance(error, _ANSWERED)):
        text = f"no connection: {text or type(error).__name__}"
    return escaped(text, 160)
