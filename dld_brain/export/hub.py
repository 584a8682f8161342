"""Pushes a model folder with its card to the Hugging Face Hub: `export hub`.

Nothing is sent without `--push`. All goes in one commit: who loads the model
meanwhile gets the old one or the new one. (The client's `upload_folder` makes
several of what is large, the manifest before the weights.)
"""

import argparse
import contextlib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Optional, TypeVar

import huggingface_hub
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelInfo,
    errors,
)

from dld_brain.export.outgoing import Outgoing, Terms
from dld_brain.files import manifest
from dld_brain.files.console import escaped, say
from dld_brain.files.hub import address, is_hub_id, why, within
from dld_brain.model_folder.card import CARD

T = TypeVar("T")
#: Files that the Hub makes itself.
OF_HUB = (".gitattributes",)
#: Lines of the card that a dry run shows, and characters of each.
SHOWN, WIDTH = 24, 120
#: What to do where the Hub refuses, by HTTP status.
_REFUSED = {
    401: "it does not know the token: make another at "
    "huggingface.co/settings/tokens",
    403: "the token may not write there: it must have the right to write, and "
    "its user be of the owner's",
}
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][\w.-]*)*")


def push(options: argparse.Namespace, terms: Terms) -> int:
    """Shows what would go, and sends it if that is asked for.

    Raises
    ------
    FileExistsError
        If the repository holds what is no model of ours.
    OSError
        If the Hub does not answer, or refuses.
    ValueError
        If the name is none, there is no token, or the folder is no model.
    """
    _check_names(options.repo, options.revision)
    token = huggingface_hub.get_token()
    if options.push and token is None:
        raise ValueError(
            "a token must be there to push, but is not: hf auth login, or set "
            "HF_TOKEN"
        )
    out = Outgoing(options.source, terms)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out.write(folder, options.repo)
        show(folder, out.left)
        if not out.training.get("license"):
            say("the card states no licence: --license NAME does")
        if options.push:
            api = HfApi(token=token)
            url = send(
                api, folder, options.repo, options.revision, options.private
            )
            say(f"pushed: {url}")
            return 0
    say(
        f"a dry run, nothing was sent: --push sends it to "
        f"{address(options.repo)}"
        + ("" if token else " (needs a token: hf auth login, or HF_TOKEN)")
    )
    return 0


def _check_names(repo: str, revision: Optional[str]) -> None:
    """Raises unless the repository and its branch can be."""
    if not is_hub_id(repo):
        raise ValueError(
            f"`--repo` must be owner/name, but is {escaped(repo, 200)!r}"
        )
    if revision is not None and not _BRANCH.fullmatch(revision):
        raise ValueError(
            f"`--revision` must be the name of a branch, but is "
            f"{escaped(revision, 80)!r}"
        )


def show(folder: Path, left: list[str]) -> None:
    """Prints files with their sizes, and how the card begins."""
    for path in sorted(folder.iterdir()):
        say(f"{path.stat().st_size:>13,}  {path.name}")
    if left:
        say(f"of the folder, these stay here: {', '.join(left)}")
    say(f"{CARD} begins:")
    for line in (folder / CARD).read_text("utf-8").splitlines()[:SHOWN]:
        say(f"  {line if len(line) <= WIDTH else line[: WIDTH - 3] + '...'}")


def send(
    api: HfApi,
    folder: Path,
    repo: str,
    revision: Optional[str] = None,
    private: bool = False,
) -> str:
    """Sends a folder's files in one commit.

    Arguments
    ---------
    revision : str, optional
        A branch, which is made if there is none; main if not given.

    Returns
    -------
    str
        Address of the commit.
    """
    where = address(repo)
    _asked(lambda: within(api.whoami), where)  # in time, or not at all
    _asked(lambda: api.create_repo(repo, private=private, exist_ok=True), where)
    info = _asked(lambda: _state(api, repo, revision), where)
    if private and not info.private:
        raise PermissionError(
            f"{where} must be private with --private, but is public: change "
            f"that in its settings first"
        )
    old = _asked(lambda: _files(api, repo, info), where)
    paths = {path.name: path for path in sorted(folder.iterdir())}
    operations = [
        *(CommitOperationAdd(name, path) for name, path in paths.items()),
        *(CommitOperationDelete(name) for name in sorted(old - set(paths))),
    ]
    if revision is not None:
        _asked(
            lambda: api.create_branch(repo, branch=revision, exist_ok=True),
            where,
        )
    commit = _asked(
        lambda: api.create_commit(
            repo,
            operations,
            commit_message="A model that runs at any depth",
            revision=revision,
            parent_commit=info.sha,  # nobody else has written meanwhile
        ),
        where,
    )
    return commit.commit_url


def _state(api: HfApi, repo: str, revision: Optional[str]) -> ModelInfo:
    """What is in the branch; of a new one, what it begins with."""
    try:
        return api.model_info(repo, revision=revision)
    except errors.RevisionNotFoundError:
        return api.model_info(repo)


def _files(api: HfApi, repo: str, info: ModelInfo) -> set[str]:
    """Files of the model that is there, all of them ours.

    Raises
    ------
    FileExistsError
        If there are others.
    """
    there = {file.rfilename for file in info.siblings or []} - {*OF_HUB}
    ours: set[str] = set()
    if manifest.FILE in there:
        with tempfile.TemporaryDirectory() as folder:
            path = api.hf_hub_download(
                repo, manifest.FILE, revision=info.sha, local_dir=folder
            )
            with contextlib.suppress(ValueError):  # another's manifest.json
                ours = {manifest.FILE, *manifest.read_manifest(Path(path))}
    others = sorted(there - ours)
    if others:
        raise FileExistsError(
            f"{address(repo)} must be new, or hold a model of dld_brain "
            f"alone, but has {escaped(', '.join(others[:3]), 120)}: give "
            f"another name, or delete them there"
        )
    return ours & there


def _asked(ask: Callable[[], T], where: str) -> T:
    """What the Hub answers; one line if it refuses, or does not answer."""
    try:
        return ask()
    except (FileExistsError, MemoryError):
        raise
    except Exception as error:  # of the client's HTTP library, by its version
        status = None
        if isinstance(error, errors.HfHubHTTPError):
            status = error.response.status_code
        reason = _REFUSED.get(status) or why(error)
        kind = PermissionError if status in _REFUSED else OSError
        raise kind(f"{where} takes nothing: {reason}") from None
