"""Ray Serve: two replicas answer as the process does, whichever of them dies."""

import os
import threading
import time

import httpx2 as httpx
import pytest
from processes import SPEECH

ray = pytest.importorskip("ray")
serve = pytest.importorskip("ray.serve")
pytestmark = pytest.mark.slow
PORT = 8765
URL = f"http://127.0.0.1:{PORT}/v1/audio/transcriptions"


@pytest.fixture
def replicas(extra, calibrated_folder, monkeypatch):
    """The application on a Ray of this machine, with two tiny replicas."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")  # a busy machine
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "300000")
    from pretrained_interfaces.serve.on_ray import Arguments, app

    paths = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
    variables = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
        runtime_env={"env_vars": variables},
    )
    serve.start(http_options={"port": PORT})
    serve.run(
        app(
            Arguments(
                source=calibrated_folder,
                target_p95=120.0,
                min_replicas=2,
                max_replicas=2,
                cpus=0.5,
            )
        )
    )
    yield
    serve.shutdown()
    ray.shutdown()


def processes():
    """The replicas that live, by Ray's own listing of their names."""
    from ray.util import list_named_actors

    return [
        each
        for each in list_named_actors(all_namespaces=True)
        if "#model#" in each["name"]
    ]


def ask(answers, **fields):
    """Asks once; no client's own retries."""
    with SPEECH.open("rb") as file:
        response = httpx.post(
            URL, files={"file": file}, data=fields, timeout=120
        )
    answers.append((response.status_code, response.json()))


def test_a_replica_that_is_killed_under_load_loses_no_request(replicas, served):
    answers, refused = [], []
    ask(answers, n_layers=2)
    assert answers.pop()[1]["text"] == served.transcribe_file(SPEECH, 2)
    ask(refused, n_layers=9)
    assert refused[0][0] == 400 and "`n_layers`" in str(refused[0][1])
    assert httpx.get(URL.replace("audio/transcriptions", "load")).is_success
    assert len(processes()) == 2
    stop = threading.Event()

    def keep_asking():
        while not stop.is_set():
            ask(answers)

    clients = [threading.Thread(target=keep_asking) for _ in range(4)]
    for client in clients:
        client.start()
    while len(answers) < 8:
        time.sleep(0.05)
    victim = processes()[0]
    handle = ray.get_actor(victim["name"], namespace=victim["namespace"])
    ray.kill(handle, no_restart=True)
    so_far = len(answers)
    while len(answers) < so_far + 16:
        time.sleep(0.05)
    stop.set()
    for client in clients:
        client.join()
    text = served.transcribe_file(SPEECH)
    assert {(status, found.get("text")) for status, found in answers} == {
        (200, text)
    }
    end = time.monotonic() + 300  # another takes its place
    while len({p["name"] for p in processes()} - {victim["name"]}) < 2:
        assert time.monotonic() < end
        time.sleep(0.5)
