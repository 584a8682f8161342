"""Fetches a model `owner/name`, and audio by URL or `hub:owner/name/file`."""

import logging
import re
import urllib.request
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Union

from dld_brain.files import hub, manifest
from dld_brain.files.console import escaped
from dld_brain.files.hub import address, ask, is_hub_id, told, within
from speechbrain.utils.fetching import (
    FetchConfig,
    FetchFrom,
    FetchSource,
    LocalStrategy,
    fetch,
)

logger = logging.getLogger(__name__)
#: The most bytes of audio that are fetched: 1 GiB.
LARGEST = 2**30
#: A repository and a file of it; the file may be in folders.
_HUB = re.compile(r"hub:([^/]+/[^/]+)/(.+)", re.DOTALL)


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
    is_cached = config.allow_network and ask(
        repository,
        name,
        config.revision,
        config.huggingface_cache_dir,
        config.token,
    )
    if is_cached and not (config.allow_updates or config.overwrite):
        config = replace(config, allow_network=False)
    return told(
        lambda: Path(
            fetch(
                name,
                FetchSource(FetchFrom.HUGGING_FACE, repository),
                savedir=savedir,
                local_strategy=local_strategy,
                fetch_config=config,
            )
        ),
        address(repository),
    )


def _from_url(url: str) -> BytesIO:
    """The content of a URL.

    SpeechBrain's `fetch` waits for ever, and takes what another URL with the
    same last part has left.
    """
    logger.warning("fetching %s", escaped(url, 200))

    def read() -> BytesIO:
        """Reads up to one byte too many."""
        answer = within(
            lambda: urllib.request.urlopen(url, timeout=hub.TIMEOUT)
        )
        with answer:
            return BytesIO(answer.read(LARGEST + 1))

    content = told(read, url)
    if content.getbuffer().nbytes > LARGEST:
        raise ValueError(
            f"{escaped(url, 200)} must have at most {LARGEST} bytes"
        )
    return content
