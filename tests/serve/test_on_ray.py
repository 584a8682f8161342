"""Ray Serve: replicas answer as the process does, whichever of them dies."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2 as httpx
import pytest
import soundfile
from processes import SPEECH

ray = pytest.importorskip("ray")
serve = pytest.importorskip("ray.serve")
pytest.importorskip("websockets")
pytestmark = pytest.mark.slow
PORT = 8765
URL = f"http://127.0.0.1:{PORT}/v1/audio/transcriptions"


@pytest.fixture(scope="module")
def ray_here():
    """A Ray of this machine."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_raylet_start_wait_time_s", "300")  # a busy machine
    patch.setenv("RAY_agent_register_timeout_ms", "300000")
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
    yield
    serve.shutdown()
    ray.shutdown()
    patch.undo()


@pytest.fixture
def serving(extra, ray_here, calibrated_folder):
    """Runs the application with tiny replicas, as arguments say."""
    from pretrained_interfaces.serve.on_ray import Arguments, app

    usual = {"source": calibrated_folder, "target_p95": 120.0, "cpus": 0.5}

    def run(**arguments):
        serve.run(app(Arguments(**usual, **arguments)))

    yield run
    serve.delete("default")


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


@contextmanager
def four_clients(answers):
    """They keep asking."""
    stop = threading.Event()

    def keep_asking():
        while not stop.is_set():
            ask(answers)

    clients = [threading.Thread(target=keep_asking) for _ in range(4)]
    for client in clients:
        client.start()
    yield
    stop.set()
    for client in clients:
        client.join()


def test_a_replica_that_is_killed_under_load_loses_no_request(serving, served):
    serving(min_replicas=2, max_replicas=2)
    answers, refused = [], []
    ask(answers, n_layers=2)
    assert answers.pop()[1]["text"] == served.transcribe_file(SPEECH, 2)
    ask(refused, n_layers=9)
    assert refused[0][0] == 400 and "`n_layers`" in str(refused[0][1])
    assert httpx.get(URL.replace("audio/transcriptions", "load")).is_success
    assert len(processes()) == 2
    with four_clients(answers):
        while len(answers) < 8:
            time.sleep(0.05)
        victim = processes()[0]
        handle = ray.get_actor(victim["name"], namespace=victim["namespace"])
        ray.kill(handle, no_restart=True)
        so_far = len(answers)
        while len(answers) < so_far + 16:
            time.sleep(0.05)
    text = served.transcribe_file(SPEECH)
    assert {(status, found.get("text")) for status, found in answers} == {
        (200, text)
    }
    end = time.monotonic() + 300  # another takes its place
    while len({p["name"] for p in processes()} - {victim["name"]}) < 2:
        assert time.monotonic() < end
        time.sleep(0.5)


def hear(samples):
    """What a stream of them says, word by word, and in the end."""
    from websockets.sync.client import connect

    url = URL.replace("http", "ws").replace("audio/transcriptions", "stream")
    with connect(url, proxy=None, close_timeout=60) as stream:
        stream.send('{"sample_rate": 16000, "n_layers": 3}')
        for first in range(0, len(samples), 1280):
            stream.send(samples[first : first + 1280].tobytes())
        stream.send('{"type": "finish"}')
        found = [json.loads(message) for message in stream]
    return found[-1], stream.close_code


def test_live_audio_and_the_page_are_served_by_replicas(serving, served):
    serving(min_replicas=2, max_replicas=2)
    samples = soundfile.read(SPEECH, dtype="int16")[0]
    stream = served.stream(0.64, n_layers=3)
    words = stream.feed(samples).words + stream.finish().words
    text = " ".join(word.text for word in words)
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(hear, [samples] * 4)]
    assert {(done["text"], code) for done, code in found} == {(text, 1000)}
    root = f"http://127.0.0.1:{PORT}/"
    assert "<title>" in httpx.get(root).text
    metrics = httpx.get(root + "metrics").text
    assert 'dld_streams_total{reason="finished"} 4.0' in metrics
    assert "dld_streams_open 0.0" in metrics


def test_a_stream_that_has_ended_leaves_its_place(serving):
    """Ray counts streams while they last, and no longer."""
    from websockets.sync.client import connect

    serving(max_requests=1, max_streams=1)
    url = f"ws://127.0.0.1:{PORT}/v1/stream"
    for i in range(6):
        with connect(url, proxy=None) as stream:
            stream.send('{"sample_rate": 16000}')
            assert json.loads(stream.recv(timeout=60))["type"] == "ready"
            if i % 2:
                stream.send('{"type": "finish"}')
                assert json.loads(stream.recv(timeout=60))["type"] == "done"


def test_replicas_come_where_requests_wait(serving):
    serving(max_replicas=2, ongoing_requests=1)
    assert len(processes()) == 1
    answers = []
    with four_clients(answers):
        end = time.monotonic() + 300
        while len(processes()) < 2 and time.monotonic() < end:
            time.sleep(0.5)
        found = len(processes())
    assert found == 2 and {status for status, _ in answers} == {200}
