"""A real browser, with a microphone that plays a file; nothing of it is shown.

It runs where the extra `browser` and a Chromium are there.
"""

import shutil
import socket
import threading
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile

#: Names that systems give it.
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"


@pytest.fixture(scope="session")
def spoken(tmp_path_factory):
    """A file of speech, a few seconds of it."""
    path = tmp_path_factory.mktemp("spoken") / "a.wav"
    samples, rate = soundfile.read(SPEECH, dtype="int16")
    soundfile.write(path, np.tile(samples, 4), rate)
    return path


# Playwright's loop runs in this thread as long as it is there: no other test
# of the session could run one.
@pytest.fixture(scope="module")
def chromium(spoken):
    """A headless Chromium whose microphone plays speech, again and again."""
    reason = "needs `pip install 'dld-brain[browser]'` and a Chromium"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"there is no {' or '.join(NAMES)}: it {reason}")
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={spoken}"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens pages; what they ask for and complain about is written down."""
    contexts = []

    def opened(url, is_ready=True, **options):
        context = chromium.new_context(permissions=["microphone"], **options)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("websocket", lambda found: page.asked.append(found.url))
        page.on("console", lambda m: _note(page, m))
        page.on("pageerror", lambda e: page.complaints.append(str(e)))
        page.goto(url)
        if is_ready:
            page.wait_for_selector("#depths input", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()


def _note(page, message):
    """Keeps what a console calls wrong."""
    if message.type in ("error", "warning"):
        page.complaints.append(message.text)


def hosts(page):
    """What a page asked, beside what it made itself."""
    found = {urlsplit(url) for url in page.asked}
    return {u.netloc for u in found if u.scheme not in ("blob", "data")}


@pytest.fixture
def serving(served, extra):
    """Serves the golden model from a thread, with some settings."""
    import uvicorn

    from pretrained_interfaces.serve.app import create_app
    from pretrained_interfaces.serve.settings import Settings

    running = []

    def start(errors=None, **given):
        threads = served.calibration.machine["threads"]
        settings = Settings(**{"threads": threads, "target_p95": 30.0, **given})
        app = create_app(settings, served)
        config = uvicorn.Config(app, log_config=None, ws="websockets-sansio")
        server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", 0))
        options = {"sockets": [listening]}
        thread = threading.Thread(target=server.run, kwargs=options)
        thread.start()
        running.append((server, thread))
        state = app.state.server
        while state.batcher is None:
            assert thread.is_alive()
        state.errors = errors
        return f"http://127.0.0.1:{listening.getsockname()[1]}/", state

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(60)
