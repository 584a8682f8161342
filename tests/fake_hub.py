"""A Hugging Face Hub on this machine, as far as models are pushed and read."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from huggingface_hub import constants

GOOD, READ_ONLY = "hf_writes", "hf_reads"


class Repository:
    """Branches of files, and whether others may see them."""

    def __init__(self, private: bool = False) -> None:
        self.private = private
        self.branches: dict[str, dict[str, bytes]] = {
            "main": {".gitattributes": b"*.safetensors filter=lfs\n"}
        }
        self.n_commits = 0

    def sha(self, branch: str) -> str:
        """Names what is in a branch."""
        files = sorted(self.branches[branch].items())
        return hashlib.sha1(repr(files).encode()).hexdigest()

    def files(self, revision: str) -> Any:
        """What a branch or a commit has; none if it is neither."""
        for name, files in self.branches.items():
            if revision in (name, self.sha(name)):
                return files
        return None


class FakeHub(BaseHTTPRequestHandler):
    """Answers what the Hub's client asks; see `serve`."""

    repositories: dict[str, Repository] = {}
    stored: dict[str, bytes] = {}
    asked: list[tuple[str, str]] = []
    #: Every path that writes, in the order of a match's groups.
    ROUTES = (
        ("GET", r"/api/whoami-v2", "who"),
        ("POST", r"/api/repos/create", "create"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("GET", r"/api/models/([^/]+/[^/]+)(?:/revision/([^/?]+))?", "info"),
        ("POST", r"/api/models/([^/]+/[^/]+)/preupload/([^/?]+)", "preupload"),
        ("POST", r"/api/models/([^/]+/[^/]+)/commit/([^/?]+)", "commit"),
        ("POST", r"/api/models/([^/]+/[^/]+)/branch/([^/?]+)", "branch"),
        ("POST", r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/lfs/([0-9a-f]{64})", "put"),
        ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
    )

    def answer(self) -> None:
        """Finds what a request asks for."""
        path = self.path.partition("?")[0]
        self.asked.append((self.command, path))
        self.sent = self.rfile.read(int(self.headers["Content-Length"] or 0))
        method = "GET" if self.command == "HEAD" else self.command
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        is_read = method == "GET" and "whoami" not in path
        if not is_read and not path.startswith("/lfs/"):
            if token not in (GOOD, READ_ONLY):
                return self.refuse(401, "", "Invalid username or password.")
            if token == READ_ONLY and method != "GET":
                return self.refuse(403, "", "You don't have the rights.")
        for verb, pattern, name in self.ROUTES:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                groups = [g.replace("%2F", "/") for g in found.groups() if g]
                return getattr(self, f"do_{name}")(*groups)
        return self.refuse(404, "", f"no {method} {path}")

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def tell(self, content: Any, status: int = 200, **headers: str) -> None:
        """Sends JSON, or bytes."""
        if not isinstance(content, bytes):
            content = json.dumps(content).encode()
            headers["Content-Type"] = "application/json"
        self.send_response(status)
        headers["Content-Length"] = str(len(content))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, code: str, text: str) -> None:
        """Sends an error as the Hub does."""
        named = {"X_Error_Code": code, "X_Error_Message": text}
        headers = {key: value for key, value in named.items() if value}
        self.tell({"error": text}, status, **headers)

    def found(self, name: str, revision: str = "main") -> Any:
        """Repository and files; none, and an error is sent."""
        repository = self.repositories.get(name)
        if repository is None:
            return self.refuse(404, "RepoNotFound", "Repository not found")
        files = repository.files(revision)
        if files is None:
            return self.refuse(404, "RevisionNotFound", "Invalid rev id")
        return repository, files

    def do_who(self) -> None:
        """Whose token it is."""
        self.tell({"type": "user", "name": "owner", "orgs": []})

    def do_create(self) -> None:
        """Makes a repository."""
        told = json.loads(self.sent)
        name = f"{told['organization']}/{told['name']}"
        if name in self.repositories:
            text = "You already created this model repo"
            return self.tell({"error": text, "url": self.url(name)}, 409)
        private = told.get("visibility") == "private" or told.get("private")
        self.repositories[name] = Repository(bool(private))
        return self.tell({"url": self.url(name), "name": name})

    def url(self, name: str) -> str:
        """Where a repository is."""
        return f"http://127.0.0.1:{self.server.server_port}/{name}"

    def do_validate(self) -> None:
        """Takes every card."""
        self.tell({"errors": [], "warnings": []})

    def do_info(self, name: str, revision: str = "main") -> None:
        """What a repository has."""
        there = self.found(name, revision)
        if there:
            repository, files = there
            branch = revision if revision in repository.branches else "main"
            told = {"id": name, "modelId": name, "private": repository.private}
            told["sha"] = repository.sha(branch)
            told["siblings"] = [{"rfilename": file} for file in files]
            self.tell(told)

    def do_preupload(self, name: str, revision: str) -> None:
        """Which files are large."""
        if self.found(name, revision):
            self.tell(
                {
                    "files": [
                        {
                            "path": file["path"],
                            "shouldIgnore": False,
                            "uploadMode": "lfs"
                            if file["path"].endswith(".safetensors")
                            else "regular",
                        }
                        for file in json.loads(self.sent)["files"]
                    ]
                }
            )

    def do_batch(self, name: str) -> None:
        """Where large files go."""
        base = f"http://127.0.0.1:{self.server.server_port}/lfs"
        objects = [
            {**o, "actions": {"upload": {"href": f"{base}/{o['oid']}"}}}
            for o in json.loads(self.sent)["objects"]
        ]
        self.tell({"transfer": "basic", "objects": objects})

    def do_put(self, oid: str) -> None:
        """Takes a large file."""
        assert hashlib.sha256(self.sent).hexdigest() == oid
        self.stored[oid] = self.sent
        self.tell({})

    def do_branch(self, name: str, branch: str) -> None:
        """Makes a branch of main."""
        repository = self.repositories[name]
        if branch in repository.branches:
            return self.tell({"error": "Reference already exists"}, 409)
        repository.branches[branch] = dict(repository.branches["main"])
        return self.tell({})

    def do_commit(self, name: str, branch: str) -> None:
        """Writes a commit, if it is of what is there."""
        repository, files = self.found(name, branch)
        for line in self.sent.splitlines():
            told = json.loads(line)
            key, value = told["key"], told["value"]
            if key == "header":
                parent = value.get("parentCommit", repository.sha(branch))
                if parent != repository.sha(branch):
                    text = "A commit has happened since. Please refresh."
                    return self.tell({"error": text}, 412)
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.stored[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
        repository.n_commits += 1
        oid = repository.sha(branch)
        url = f"{self.url(name)}/commit/{oid}"
        return self.tell({"commitUrl": url, "commitOid": oid})

    def do_resolve(self, name: str, revision: str, file: str) -> None:
        """A file."""
        there = self.found(name, revision)
        if there and file not in there[1]:
            self.refuse(404, "EntryNotFound", "Entry not found")
        elif there:
            content = there[1][file]
            digest = hashlib.sha256(content).hexdigest()
            self.tell(content, X_Repo_Commit="1" * 40, ETag=f'"{digest}"')

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def serve(monkeypatch: Any, cache: Any) -> Iterator[type[FakeHub]]:
    """Has the Hub's client ask a new, empty Hub on this machine.

    Arguments
    ---------
    cache : str or Path
        The client's, for the time.
    """
    for name, value in (("repositories", {}), ("stored", {}), ("asked", [])):
        monkeypatch.setattr(FakeHub, name, value)
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    threading.Thread(
        target=server.serve_forever, args=(0.01,), daemon=True
    ).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        yield FakeHub
    finally:
        server.shutdown()
        server.server_close()
