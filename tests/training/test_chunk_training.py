"""Training in chunks: what is drawn, and who sees it."""

import pytest
import torch
from common import (
    batch_of,
    noise,
    start,
    tiny_brain,
    tiny_composed,
    tiny_modules,
)

import speechbrain as sb
from dld_brain.gates.by_layer import BernoulliGates
from dld_brain.model_folder.save import FRONTS
from dld_brain.run.config import compose
from dld_brain.training.chunks import ChunkSampler
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig

STREAMING = {
    "streaming.kind": "chunks",
    "streaming.sizes": [2, 3],
    "streaming.left_context": [0, 1],
    "streaming.whole_share": 0.0,
}


def test_draws_are_of_the_seed_and_the_step():
    sample = ChunkSampler(1, (4, 8), (0, 2), whole_share=0.3)
    drawn = [sample(step) for step in range(400)]
    torch.manual_seed(3)  # the global generators say nothing
    assert drawn == [sample(step) for step in range(400)]
    assert drawn != [ChunkSampler(2, (4, 8), (0, 2))(s) for s in range(400)]
    assert 80 < drawn.count(None) < 160
    kinds = {
        (c.chunk_size, c.left_context_size) for c in drawn if c is not None
    }
    assert kinds == {(4, 0), (4, 2), (8, 0), (8, 2)}


def test_student_and_teacher_see_the_chunks_of_the_step():
    teacher = tiny_modules(seed=1)
    brain = tiny_brain(teacher=teacher, **STREAMING)
    brain.modules.eval()
    chunks = brain.chunk_sampler(0)
    assert isinstance(chunks, DynChunkTrainConfig)
    batch = batch_of(noise(2, seconds=1.5))
    found = brain.compute_forward(batch, sb.Stage.TRAIN)
    feats, lengths = brain.extract_features(batch, sb.Stage.TRAIN)
    for model, out in (
        (brain.modules.model, found.students[0][1]),
        (teacher["model"], found.teacher),
    ):
        gates = [out.gates]
        (expected,) = model(feats, lengths, gates, chunks)
        (whole,) = model(feats, lengths, gates)
        torch.testing.assert_close(out.log_probs, expected.log_probs)
        assert not torch.allclose(out.log_probs, whole.log_probs, atol=1e-4)


def test_validation_sees_whole_utterances():
    brain = tiny_brain(**STREAMING)
    brain.modules.eval()
    batch = batch_of(noise(2))
    ((_, out),) = brain.compute_forward(batch, sb.Stage.VALID).students
    feats, lengths = brain.extract_features(batch, sb.Stage.VALID)
    (whole,) = brain.modules.model(feats, lengths, [out.gates])
    assert torch.equal(out.log_probs, whole.log_probs)


def test_a_few_steps_in_chunks_learn():
    gates = BernoulliGates(4, seed=3, p_open=1.0)
    brain = tiny_brain(**STREAMING, gate_sampler=gates, lr=0.003)
    brain = start(brain, n_batches=40)
    batch = batch_of(noise(2, seconds=1.5))
    losses = []
    for step in range(40):
        brain.step = step + 1
        losses.append(float(brain.fit_batch(batch)))
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_without_the_block_nothing_is_drawn():
    assert tiny_brain().chunk_sampler is None


@pytest.mark.parametrize(
    "name, teacher", [("teacher", None), ("dld_plus", "conformer_streaming_")]
)
def test_the_files_differ_from_their_models_in_what_streams_need(name, teacher):
    given = {"data_folder": "none"}
    live = compose(f"hparams/conformer_streaming_{name}.yaml", given).settings()
    whole = compose(f"hparams/conformer_{name}.yaml", given).settings()
    assert live.losses.streaming.name == "chunks"
    assert whole.losses.streaming.name == "none"
    assert (live.encoder.positions, live.encoder.top_db) == ("none", None)
    assert live.optimisation == whole.optimisation
    assert live.losses.gates == whole.losses.gates
    assert live.losses.distillation == whole.losses.distillation
    assert teacher is None or teacher in str(live.start.teacher)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"sizes": [0]}, "`streaming.sizes` must be whole numbers from 1 on"),
        ({"sizes": []}, "`streaming.sizes` must be whole numbers from 1 on"),
        ({"left_context": [-1]}, "`streaming.left_context` must be whole"),
        ({"whole_share": 2.0}, "`streaming.whole_share` must be between"),
        ({"size": 3}, "`streaming.size` is no option of chunks"),
    ],
)
def test_what_is_no_chunk_is_refused(changes, words):
    told = {f"streaming.{k}": v for k, v in changes.items()}
    with pytest.raises(ValueError, match=words):
        tiny_composed(**{**STREAMING, **told}).settings()


def test_an_encoder_without_chunks_is_refused():
    given = {"data_folder": "none", "streaming": "chunks"}
    with pytest.raises(ValueError, match="`streaming` must be none for an"):
        compose("hparams/wavlm_teacher.yaml", given).settings()


def test_a_model_folder_has_what_its_features_are_not_cut_off_by():
    assert FRONTS["conformer"].options["top_db"] == "top_db"
