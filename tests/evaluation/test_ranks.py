"""An evaluation that two ranks share finds what one process finds."""

import os

import pytest
import torch
import torch.multiprocessing as mp
from common import batch_of, noise, tiny_modules, transcription
from two_ranks import free_port, join

from dld_brain.evaluation.evaluate import DepthEvaluation
from dld_brain.evaluation.ranks import own_batches, place
from dld_brain.evaluation.routing import routing_curve
from dld_brain.gates.gates import Gates
from dld_brain.search.layer_losses import LayerScores
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.utils.distributed import run_on_main

#: Five batches: three of one rank, two of the other.
N_UTTERANCES, BATCH_SIZE = 9, 2
SETS = [Gates((0, 3), 4), Gates((0, 1), 4), Gates.full(4)]


class Watched(list):
    """Utterances that know which of them were read."""

    def __init__(self, items):
        super().__init__(items)
        self.read = []

    def __getitem__(self, i):
        self.read.append(i)
        return super().__getitem__(i)


def decode(out):
    """The likeliest token of each frame as a word."""
    rows = zip(out.log_probs.argmax(-1), out.lengths)
    return [" ".join(map(str, r[:n].tolist())) for r, n in rows], []


def evaluate(folder):
    """All that is shared, of this rank: what was found, what was read."""
    task = transcription(decode)
    utterances = Watched(noise(N_UTTERANCES, seconds=1.0))
    loader = make_dataloader(
        utterances, batch_size=BATCH_SIZE, collate_fn=batch_of
    )
    modules = tiny_modules()
    selections = {"even": {2: SETS[0], 4: SETS[2]}, "prefix": {2: SETS[1]}}
    evaluation = DepthEvaluation(
        modules, task, 16000, selections, random_draws=2
    )
    answers = evaluation.answer(loader, "set")
    read = sorted(utterances.read)
    path = os.path.join(folder, "layer_scores.json")
    losses = LayerScores(modules, task, loader, path, "weights")(SETS)
    again = LayerScores(modules, task, loader, path, "weights").scores
    routed = tiny_modules(router="local")
    routing = routing_curve(
        DepthEvaluation(routed, task, 16000, selections), loader, "set"
    )
    found = {
        "scores": [vars(s) for s in evaluation.scores(answers)],
        "answers": answers,
        "losses": losses,
        "again": again,
        "routing": routing,
        "alone": run_on_main(place),
    }
    return found, read


def worker(rank, port, folder):
    """One of two ranks."""
    join(rank, port)
    torch.save(evaluate(folder), f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_find_what_one_process_finds(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    mp.start_processes(
        worker,
        args=(free_port(), str(tmp_path / "two")),
        nprocs=2,
        start_method="spawn",
    )
    expected, everything = evaluate(str(tmp_path / "one"))
    assert everything == list(range(N_UTTERANCES))
    shares = []
    for rank in range(2):
        found, read = torch.load(
            tmp_path / f"two/rank{rank}.pt", weights_only=False
        )
        shares.append(read)
        for score in (*found["scores"], *expected["scores"]):
            score["rtf"] = score["rtf_parts"] = None  # times are its own
        assert found["scores"] == expected["scores"]
        own, one = vars(found["answers"]), vars(expected["answers"])
        assert own.pop("seconds").keys() == one["seconds"].keys()
        assert own == {k: v for k, v in one.items() if k != "seconds"}
        for name in ("losses", "again", "routing", "alone"):
            assert found[name] == expected[name], name
    assert sorted(shares[0] + shares[1]) == everything
    assert shares[0] and shares[1]  # each read its own, and nothing else
    files = [tmp_path / f"{n}/layer_scores.json" for n in ("one", "two")]
    assert files[0].read_text() == files[1].read_text()


def test_batches_know_where_they_are_in_the_set():
    batches = [batch_of(noise(n)) for n in (3, 1, 2)]
    found = list(own_batches(batches, "set"))
    assert [(b.number, b.first) for b in found] == [(0, 0), (1, 3), (2, 4)]
    assert [b.content for b in found] == batches
