"""A server of the golden model, whose costs are made up."""

import json
import shutil
from pathlib import Path

import pytest

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.depths.calibration import Calibration, machine
from pretrained_interfaces.serve.command import NEEDED

GOLDEN = Path("tests/samples/golden").resolve()


def made_up(model: DynamicEncoderASR) -> Calibration:
    """What its depths cost: 10 ms a layer, and 1 ms a second of audio."""
    times = {n: [0.01 * n + 0.001, 0.01 * n + 0.010] for n in model.depths}
    here = machine(model.device)
    return Calibration(model.identity, here, [1.0, 10.0], times, times)


def save_costs(folder: Path, threads: int = 1) -> None:
    """Writes them beside a model, for so many threads."""
    found = made_up(DynamicEncoderASR.from_hparams(folder))
    found.machine["threads"] = threads
    found.save(folder)


def heard(socket):
    """All messages until a socket is closed, and the code of that."""
    found = []
    while True:
        message = socket.receive()
        if message["type"] == "websocket.close":
            return found, message["code"]
        found.append(json.loads(message["text"]))


@pytest.fixture
def served_folder(tmp_path) -> Path:
    """A copy of the golden folder."""
    return shutil.copytree(GOLDEN, tmp_path / "golden")


@pytest.fixture(scope="session")
def served():
    """The golden model, calibrated."""
    model = DynamicEncoderASR.from_hparams(GOLDEN)
    model.calibration = made_up(model)
    return model


@pytest.fixture(scope="session")
def extra():
    """Skips where the extra is not installed."""
    for name in NEEDED:
        pytest.importorskip(name)


@pytest.fixture
def client_of(served, extra, monkeypatch):
    """Makes a client of a server with some settings, which is ready."""
    from fastapi.testclient import TestClient

    from pretrained_interfaces.serve import guard
    from pretrained_interfaces.serve.app import create_app
    from pretrained_interfaces.serve.settings import Settings

    # The name by which FastAPI's client asks.
    names = (*guard.LOCAL_NAMES, "testserver")
    monkeypatch.setattr(guard, "LOCAL_NAMES", names)
    clients = []

    def make(**given):
        threads = served.calibration.machine["threads"]
        given = {"target_p95": 30.0, "threads": threads, **given}
        client = TestClient(
            create_app(Settings(**given), served),
            raise_server_exceptions=False,
        )
        client.__enter__()
        clients.append(client)
        for _ in range(10_000):
            if client.get("/ready").status_code == 200:
                return client
        raise AssertionError("the server is not ready")

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(client_of):
    """A client of a server as it is by itself."""
    return client_of()
