"""What leaves the machine, and what does not: with a Hub of our own."""

import hashlib
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from dld_brain.files import hub as files_hub
from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.inputs import find_audio
from speechbrain.utils.fetching import FetchConfig

GOLDEN = Path("tests/samples/golden").resolve()
SPEECH = Path("tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac")
TEXT = "NYNYE"


class Hub(BaseHTTPRequestHandler):
    """Serves `owner/name`; says of any other that it has none."""

    folder = GOLDEN
    asked: list[str] = []

    def do_GET(self):
        """A file, as the Hub gives it."""
        self.asked.append(self.path)
        *repository, name = self.path.split("/resolve/main/")
        repository = repository[0].split("/")[1:] if repository else []
        path = self.folder / Path(name).name
        if repository != ["owner", "name"] or not path.is_file():
            missing = repository == ["owner", "name"]
            code = "EntryNotFound" if missing else "RepoNotFound"
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        content = path.read_bytes()
        self.send_response(200)
        self.send_header("X-Repo-Commit", "1" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub on this machine, with an empty cache; gives its address."""
    folder = shutil.copytree(GOLDEN, tmp_path / "served")
    shutil.copy(SPEECH, folder / "clip.flac")
    monkeypatch.setattr(Hub, "folder", folder)
    monkeypatch.setattr(Hub, "asked", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield address
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_network(monkeypatch):
    """No socket opens; gives what was tried."""
    tried = []

    def refuse(*arguments, **_):
        tried.append(arguments)
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


def config(tmp_path) -> FetchConfig:
    """With a cache of the test's own."""
    return FetchConfig(huggingface_cache_dir=str(tmp_path / "cache"))


def load(tmp_path, source="owner/name", **options):
    """Loads a model of that Hub."""
    return DynamicEncoderASR.from_hparams(
        source, fetch_config=config(tmp_path), **options
    )


def one_line(error) -> str:
    """The message, which must have one line."""
    text = str(error.value)
    assert "\n" not in text and len(text) < 500
    return text


def test_a_model_of_the_hub_and_audio_beside_it(
    hub, tmp_path, monkeypatch, caplog
):
    assert load(tmp_path).transcribe_file(SPEECH) == TEXT
    assert (
        f"{Path('owner/name').absolute()} is no folder: asking" in caplog.text
    )
    assert not any("clip" in path for path in Hub.asked)
    n_asked = len(Hub.asked)
    asr = load(tmp_path)
    assert len(Hub.asked) == n_asked  # of the cache: nothing is asked again
    clip = "hub:owner/name/clip.flac"
    assert asr.transcribe_file(clip, savedir=tmp_path / "cache") == TEXT
    assert f"fetching {clip}" in caplog.text
    assert asr.transcribe_file(f"{hub}/owner/name/resolve/main/clip.flac")
    load(tmp_path)  # a clip in its cache is no file that was added


def test_what_the_hub_has_not_names_both_readings(hub, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such repository") as error:
        load(tmp_path, "student/pretrained")
    text = one_line(error)
    assert str(Path("student/pretrained").absolute()) in text
    assert f"{hub}/student/pretrained" in text
    with pytest.raises(FileNotFoundError, match="no such file"):
        find_audio("hub:owner/name/none.wav", tmp_path / "cache")
    with pytest.raises(FileNotFoundError, match="404"):
        find_audio(f"{hub}/none.wav")


def test_a_savedir_of_another_model_is_not_taken_for_it(hub, tmp_path):
    assert load(tmp_path, savedir=tmp_path / "kept").n_total == 3
    assert load(tmp_path, savedir=tmp_path / "kept").n_total == 3
    path = tmp_path / "kept/manifest.json"
    content = path.read_text()
    path.unlink()
    path.write_text(content.replace('"version": 1', '"version":  1'))
    with pytest.raises(ValueError, match="of another model") as error:
        load(tmp_path, savedir=tmp_path / "kept")
    one_line(error)


def test_without_a_network_it_is_said_at_once(no_network, tmp_path):
    with pytest.raises(FileNotFoundError, match="no connection") as error:
        load(tmp_path, "student/pretrained")
    text = one_line(error)
    assert str(Path("student/pretrained").absolute()) in text
    assert "huggingface.co/student/pretrained" in text
    assert len(no_network) == 1  # nothing is tried twice
    with pytest.raises(FileNotFoundError, match="no connection"):
        find_audio("https://example.com/a.wav")
    with pytest.raises(FileNotFoundError, match="no connection"):
        find_audio("hub:owner/name/a.wav", tmp_path)


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(files_hub, "TIMEOUT", 0.1)
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: never.wait(60))
    with pytest.raises(FileNotFoundError, match="no answer in 0.1 s"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no answer in 0.1 s"):
        find_audio("http://example.com/a.wav")
    never.set()


@pytest.mark.parametrize(
    "source",
    [
        "./name",
        "../owner/name",
        "a/b/c",
        "name",
        "/none/name",
        "tests/none",  # tests/ is here: mistyped, not a Hub id
        "owner/name/",
        "owner/-name",
        "https://example.com/model",
        "hub:owner/name",
        "file:///none/name",
        "x" * 5000,
        "a\0b/c",
        Path("owner/name"),
    ],
)
def test_any_other_source_is_local(source, no_network):
    with pytest.raises(FileNotFoundError, match="`source` must be a") as error:
        DynamicEncoderASR.from_hparams(source)
    one_line(error)
    assert not no_network


@pytest.mark.parametrize(
    "audio",
    ["dta/test/clip.wav", "owner/name/clip.wav", "s3://a/b.wav", "x" * 5000],
)
def test_audio_that_is_no_file_names_where_it_was_looked_for(audio, no_network):
    with pytest.raises(FileNotFoundError, match="does not exist") as error:
        find_audio(audio)
    text = one_line(error)
    assert str(Path.cwd()) in text and "hub" not in text.lower()
    assert not no_network


@pytest.mark.parametrize("audio", ["hub:", "hub:a/b", "hub:a/b/../c", "hub:a"])
def test_a_file_of_the_hub_is_written_in_one_way(audio, no_network):
    with pytest.raises(ValueError, match="hub:owner/name/file") as error:
        find_audio(audio)
    one_line(error)
    assert not no_network


def test_a_file_url_is_of_this_machine(tmp_path, no_network):
    asr = DynamicEncoderASR.from_hparams(GOLDEN.as_uri())
    path = Path(shutil.copy(SPEECH, tmp_path / "a b%20#?.flac"))
    assert asr.transcribe_file(path.as_uri()) == TEXT
    assert asr.transcribe_file(f"file://localhost{SPEECH.resolve()}") == TEXT
    with pytest.raises(ValueError, match="must name a file of this machine"):
        find_audio("file://server/share/a.wav")
    assert not no_network
