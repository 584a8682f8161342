"""Two ranks: the same gates, the gradient of one process, no flag."""

import json
import os
import sys

import pytest
import torch
import torch.multiprocessing as mp
from common import batch_of, noise, start, tiny_brain, tiny_modules
from two_ranks import free_port, join

from dld_brain.gates.by_depth import SandwichGates
from dld_brain.gates.by_layer import BernoulliGates
from dld_brain.gates.sampler import RoutedGates

pytestmark = pytest.mark.slow

N_STEPS = 5
#: One run a step, several of one forward, and a router's beside a full one.
METHODS = {
    "bernoulli": (BernoulliGates(4, seed=3), {}),
    "sandwich": (
        SandwichGates(4, seed=3, family="ends", n_between=1),
        {"per_depth": "head", "distillation.in_place_weight": 1.0},
    ),
    "mask": (
        RoutedGates(4, seed=3, full_weight=1.0),
        {"router": "mask"},
    ),
}


def train_steps(brain, batches):
    """Gates and gradients of some steps, which do not change the weights."""
    trace = []
    sampler = brain.gate_sampler
    for step, utterances in enumerate(batches):
        brain.step, brain.optimizer_step = step + 1, step
        brain.fit_batch(batch_of(utterances))
        grads = {
            n.removeprefix("module."): None
            if p.grad is None
            else p.grad.clone()
            for n, p in brain.modules.model.named_parameters()
        }
        trace.append((str(sampler(step)), grads))
        brain.zero_grad(set_to_none=True)
    return trace


def make_brain(method, run_opts=None):
    """A Brain that keeps its gradients."""
    sampler, settings = METHODS[method]
    brain = tiny_brain(
        modules=tiny_modules(**settings),
        teacher=tiny_modules(seed=1),
        gate_sampler=sampler,
        run_opts=run_opts,
        **settings,
    )
    brain.optimizers_step = lambda: None
    return start(brain, n_batches=N_STEPS)


def worker(rank: int, port: int, folder: str, method: str) -> None:
    """One rank, with two of three utterances, or the third alone."""
    join(rank, port)
    torch.rand(rank * 7)  # ranks whose global generators have drifted apart
    brain = make_brain(
        method, {"distributed_launch": True, "distributed_backend": "gloo"}
    )
    part = slice(0, 2) if rank == 0 else slice(2, 3)
    batches = [noise(3, seed=step)[part] for step in range(N_STEPS)]
    torch.save(train_steps(brain, batches), f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


def spoiled_worker(rank: int, port: int, folder: str) -> None:
    """One rank of three steps; in the second, rank 1 has a NaN sample.

    The normaliser learns.
    """
    join(rank, port)
    modules = tiny_modules()
    norm = modules["normalize"]
    norm.count, norm.update_until_epoch = 0, 2
    options = {"distributed_launch": True, "distributed_backend": "gloo"}
    brain = start(tiny_brain(modules=modules, run_opts=options), n_batches=3)
    blamed = []
    brain.patience.skipped = lambda ids, advice: blamed.append(ids)
    for brain.step in (1, 2, 3):
        (utterance,) = noise(1, seed=brain.step + 10 * rank)
        utterance["id"] = f"step {brain.step}, rank {rank}"
        if (brain.step, rank) == (2, 1):
            utterance["sig"][100] = torch.nan
        brain.fit_batch(batch_of([utterance]))
    found = {
        "weights": list(brain.modules.model.state_dict().values()),
        "statistics": norm._statistics_dict(),
        "steps": brain.optimizer_step,
        "blamed": blamed,
    }
    torch.save(found, f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


def test_all_ranks_skip_a_step_together(tmp_path):
    mp.start_processes(
        spoiled_worker,
        args=(free_port(), str(tmp_path)),
        nprocs=2,
        start_method="spawn",
    )
    first, second = (torch.load(tmp_path / f"rank{r}.pt") for r in range(2))
    for found in (first, second):
        assert found.pop("blamed") == [["step 2, rank 1"]]
        assert found["steps"] == 2
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    for tensor in (*first["weights"], first["statistics"]["glob_std"]):
        assert tensor.isfinite().all()


@pytest.fixture(scope="module", params=METHODS)
def traces(tmp_path_factory, request):
    """What one process and two ranks did with the same utterances."""
    folder = tmp_path_factory.mktemp("ranks")
    mp.start_processes(
        worker,
        args=(free_port(), str(folder), request.param),
        nprocs=2,
        start_method="spawn",
    )
    ranks = [torch.load(folder / f"rank{r}.pt") for r in range(2)]
    batches = [noise(3, seed=step) for step in range(N_STEPS)]
    return train_steps(make_brain(request.param), batches), ranks


def test_all_ranks_draw_the_gates_of_one_process(traces):
    one, ranks = traces
    for rank in ranks:
        assert [gates for gates, _ in rank] == [gates for gates, _ in one]
    assert len({gates for gates, _ in one}) > 1  # steps differ


def test_gradients_are_those_of_one_process_on_the_joined_batch(traces):
    one, ranks = traces
    for rank in ranks:
        for (_, expected), (_, found) in zip(one, rank):
            for name, gradient in expected.items():
                if gradient is None:
                    assert found[name] is None, name
                else:
                    torch.testing.assert_close(
                        found[name], gradient, atol=1e-4, rtol=1e-3
                    )


def test_torchrun_trains_without_a_flag(tmp_path, pretrained):
    import subprocess

    from conftest import REPOSITORY, run_train, small

    options = small(
        teacher=pretrained,
        output_folder=f"{tmp_path}/run/1",
        number_of_epochs=2,
        max_batch_seconds=1.5,
        random_draws=1,
        layer_importance=True,
        selection="greedy",
    )
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc_per_node=2",
            f"--master_port={free_port()}",
            "train.py",
            "hparams/conformer_dld.yaml",
            *options,
            "--distributed_backend=gloo",
        ],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tmp_path / "run/1/pretrained/model.safetensors").is_file()
    log = (tmp_path / "run/1/train_log.txt").read_text()
    assert "epoch: 2" in log
    assert result.stdout.count("More in ") == 1  # one rank tells
    shared = report(tmp_path)
    run_train("hparams/conformer_dld.yaml", *options, "--test_only")
    assert shared == report(tmp_path)


def report(folder):
    """What a run scored, but for times and the command."""
    path = folder / "run/1/depth_report.json"
    found = json.loads(path.read_text())
    rows = [row for scores in found["sets"].values() for row in scores]
    for row in rows:
        row.pop("rtf", None), row.pop("rtf_parts", None)
    return rows, found["escalation"], found["layer_importance"]
