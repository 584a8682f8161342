"""Batches: their transcripts, their order, their ends."""

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.serve.batcher import Batcher
from pretrained_interfaces.serve.controller import DepthController
from pretrained_interfaces.serve.job import Abandoned, Busy, Job
from pretrained_interfaces.serve.model import listen, transcribe_jobs

SPEECH = sorted(Path("tests/samples/AN4/wav").rglob("*.flac"))


@pytest.fixture(scope="module")
def golden():
    return DynamicEncoderASR.from_hparams("tests/samples/golden")


def job(seconds=1.0, **wanted):
    """A job of which a made-up model needs no more than the length."""
    return Job(None, [], seconds, **wanted)


class Model:
    """Notes its batches; runs when it may."""

    def __init__(self):
        self.batches, self.may_run = [], threading.Event()
        self.may_run.set()

    def __call__(self, jobs, n_layers):
        assert self.may_run.wait(30)
        self.batches.append((n_layers, [j.seconds for j in jobs]))
        return [f"{n_layers}: {j.seconds}" for j in jobs]


def batcher(model, target=100.0, n_workers=1, linger=0.0):
    """A batcher of a model with depths 2 and 4, 10 n ms a second of audio."""
    controller = DepthController(
        [2, 4], lambda n, seconds: 0.01 * n * seconds, target, n_workers
    )
    controller.observe = lambda *_: None  # of a model that takes no time
    return Batcher(model, controller, linger=linger)


async def started(batcher, *jobs):
    """Tasks of jobs that are in the queue, or running."""
    tasks = []
    for each in jobs:
        tasks.append(asyncio.create_task(batcher.submit(each)))
        await asyncio.sleep(0)
    return tasks


async def until(condition):
    """Lets others go on until something is so."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("n_layers", [1, 3])
def test_a_batch_gives_each_file_what_it_gives_alone(golden, n_layers):
    long = np.concatenate([soundfile.read(p)[0] for p in SPEECH * 12])
    files = [*map(str, SPEECH), {"array": long, "sampling_rate": 16000}]
    files.append({"array": np.zeros(16000), "sampling_rate": 16000})
    jobs = [listen(golden, f, 600.0, word_times=True) for f in files]
    found = transcribe_jobs(golden, jobs, n_layers)
    assert len(jobs[-2].windows) > 1
    for file, ours in zip(files, found):
        alone = golden.transcribe(file, n_layers, word_times=True)
        assert ours.text == alone.text
        assert (ours.n_layers, ours.n_windows) == (
            alone.n_layers,
            alone.n_windows,
        )
        assert ours.confidence == pytest.approx(alone.confidence, abs=1e-5)
        for a, b in zip(ours.words, alone.words):
            assert (a.text, a.start, a.end) == (b.text, b.start, b.end)


def test_what_waits_is_batched_by_length_the_first_in_front():
    async def run():
        model = Model()
        ours = batcher(model)
        model.may_run.clear()
        tasks = await started(ours, job(1.0))
        await until(lambda: not ours.waiting)
        tasks += await started(ours, job(9.0), job(30.0), job(8.0), job(1.5))
        model.may_run.set()
        await asyncio.gather(*tasks)
        await ours.close()
        return [lengths for _, lengths in model.batches]

    # Within 60 s with its padding: 4 * 9 s; the one of 30 s would be 120 s.
    assert asyncio.run(run()) == [[1.0], [9.0, 8.0, 1.5], [30.0]]


def test_a_batch_grows_no_further_than_its_first_has_time_for():
    async def run():
        model = Model()
        ours = batcher(model, target=1.0)
        model.may_run.clear()
        tasks = await started(ours, job(1.0))
        await until(lambda: not ours.waiting)
        tasks += await started(ours, *(job(10.0) for _ in range(4)))
        model.may_run.set()
        await asyncio.gather(*tasks)
        await ours.close()
        return max(n * sum(lengths) for n, lengths in model.batches[1:])

    assert asyncio.run(run()) * 0.01 <= 1.0


def test_who_names_a_depth_gets_it_and_shares_no_batch_with_others():
    async def run():
        model = Model()
        ours = batcher(model)
        model.may_run.clear()
        tasks = await started(ours, job(1.0))
        await until(lambda: not ours.waiting)
        tasks += await started(ours, job(2.0), job(2.0, n_layers=2), job(2.0))
        model.may_run.set()
        answers = await asyncio.gather(*tasks)
        await ours.close()
        return model.batches, answers

    batches, answers = asyncio.run(run())
    assert batches == [(4, [1.0]), (4, [2.0, 2.0]), (2, [2.0])]
    assert [a.n_layers for a in answers] == [4, 4, 2, 4]
    assert answers[2].transcription == "2: 2.0"
    assert [a.batch_size for a in answers] == [1, 2, 1, 2]
    assert all(a.queue_seconds >= 0 for a in answers)


def test_a_request_that_is_in_a_hurry_gets_less():
    async def run():
        ours = batcher(Model())
        slow = await ours.submit(job(10.0))
        fast = await ours.submit(job(10.0, max_latency=0.3))
        await ours.close()
        return slow.n_layers, fast.n_layers

    assert asyncio.run(run()) == (4, 2)


def test_what_nobody_waits_for_is_not_run():
    async def run():
        model = Model()
        ours = batcher(model)
        model.may_run.clear()
        (first,) = await started(ours, job(1.0))
        await until(lambda: not ours.waiting)
        second, third = await started(ours, job(2.0), job(3.0))
        first.cancel()  # runs already
        second.cancel()
        await until(lambda: len(ours.waiting) == 1)
        model.may_run.set()
        await third
        await ours.close()
        return model.batches

    assert asyncio.run(run()) == [(4, [1.0]), (4, [3.0])]


def test_what_runs_ends_once_nobody_of_its_batch_waits(golden):
    async def run(n_gone):
        long = np.tile(soundfile.read(SPEECH[0])[0], 60)
        file = {"array": long, "sampling_rate": 16000}
        jobs = [listen(golden, file, 600.0) for _ in range(2)]
        for job in jobs:
            job.answer = asyncio.get_running_loop().create_future()
        for job in jobs[:n_gone]:
            job.answer.cancel()
        return transcribe_jobs(golden, jobs, 1)

    first, second = asyncio.run(run(1))
    assert first.text and second.text == first.text
    with pytest.raises(Abandoned):
        asyncio.run(run(2))


def test_closing_answers_what_waits_and_takes_no_more():
    async def run():
        model = Model()
        ours = batcher(model, n_workers=2)
        model.may_run.clear()
        tasks = await started(ours, *(job(float(i)) for i in range(1, 7)))
        closing = asyncio.create_task(ours.close())
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="stopping"):
            await ours.submit(job(1.0))
        model.may_run.set()
        await closing
        return [task.result().transcription for task in tasks]

    assert asyncio.run(run()) == [f"4: {i}.0" for i in range(1, 7)]


def test_too_much_is_refused_with_a_time_to_come_back():
    async def run():
        model = Model()
        ours = batcher(model, target=1.0)
        model.may_run.clear()
        tasks = await started(ours, *(job(10.0) for _ in range(3)))
        with pytest.raises(Busy) as refusal:
            await ours.submit(job(30.0))
        model.may_run.set()
        await asyncio.gather(*tasks)
        await ours.close()
        return refusal.value.retry_after

    assert asyncio.run(run()) >= 1


def test_a_fault_is_told_to_its_own_requests_alone():
    def run_model(jobs, n_layers):
        if jobs[0].seconds == 2.0:
            raise RuntimeError("no memory")
        return ["fine" for _ in jobs]

    async def run():
        ours = batcher(run_model)
        with pytest.raises(RuntimeError, match="no memory"):
            await ours.submit(job(2.0))
        found = await ours.submit(job(1.0))
        await ours.close()
        return found.transcription

    assert asyncio.run(run()) == "fine"


def test_who_shares_a_batch_with_a_fault_is_answered_all_the_same():
    model = Model()

    def run_model(jobs, n_layers):
        found = model(jobs, n_layers)
        if any(job.seconds == 2.0 for job in jobs):
            raise ValueError("audio of another client")
        return found

    async def run():
        ours = batcher(run_model)
        model.may_run.clear()
        tasks = await started(ours, job(9.0))
        await until(lambda: not ours.waiting)
        tasks += await started(ours, job(2.1), job(2.0), job(2.2))
        model.may_run.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await ours.close()
        return found

    first, *found = asyncio.run(run())
    assert len(model.batches[1][1]) == 3  # they were together at first
    assert [isinstance(each, ValueError) for each in found] == [0, 1, 0]
    assert found[2].transcription == "4: 2.2" and found[2].batch_size == 1


@pytest.mark.parametrize("broken", ["watch", "observe", "choose"])
def test_a_fault_beside_the_model_ends_no_worker(broken, caplog):
    def fail(*_):
        raise KeyError("metric")

    async def run():
        ours = batcher(Model())
        if broken == "watch":
            ours._watch = fail
        else:
            monkeypatch.setattr(ours.controller, broken, fail)
        tasks = await started(ours, job(1.0), job(2.0))
        work = asyncio.gather(*tasks, return_exceptions=True)
        found = await asyncio.wait_for(work, 30)
        assert ours.is_alive and not ours.waiting and ours.n_running == 0
        monkeypatch.undo()
        last = await asyncio.wait_for(ours.submit(job(3.0)), 30)
        await ours.close()
        return found, last.transcription

    with pytest.MonkeyPatch.context() as monkeypatch:
        found, last = asyncio.run(run())
    assert last == "4: 3.0"
    assert "metric" in caplog.text
    is_answered = broken != "choose"  # else no depth, and no answer, is known
    assert all(isinstance(f, Exception) != is_answered for f in found)


def test_a_model_that_answers_nonsense_ends_no_worker():
    async def run():
        ours = batcher(lambda jobs, n_layers: None)
        for _ in range(2):
            with pytest.raises(TypeError):
                await asyncio.wait_for(ours.submit(job(1.0)), 30)
        is_alive = ours.is_alive
        await ours.close()
        return is_alive

    assert asyncio.run(run())


def test_a_server_whose_worker_ended_is_not_ready(client):
    batcher = client.app.state.server.batcher

    async def end():
        batcher._workers[0].cancel()
        await asyncio.wait(batcher._workers)

    assert client.get("/ready").status_code == 200
    client.portal.call(end)
    response = client.get("/ready")
    assert response.status_code == 503
    assert "worker" in response.json()["error"]["message"]
