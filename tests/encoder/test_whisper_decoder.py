"""Whisper's decoder under gates: what Hugging Face's says, and exactness."""

import shutil
from pathlib import Path

import pytest
import torch

import dld_brain
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.encoder.part import part_of
from dld_brain.encoder.whisper.whole import with_silence
from dld_brain.gates.gates import Gates
from dld_brain.losses import states_distance
from dld_brain.run.whole_whisper import read_whole
from dld_brain.tasks.seq2seq import Seq2SeqTask
from dld_brain.tasks.spoken import spoken

SOURCE = "tests/samples/whisper"
TARGETS = torch.tensor([[5, 9, 200], [17, 3, 0]])
LENGTHS = torch.tensor([3, 2])


@pytest.fixture(scope="module")
def whisper():
    model, task, _ = read_whole(SOURCE)
    torch.manual_seed(0)
    for parameter in model.parameters():  # sharper than at first
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval(), task


@pytest.fixture(scope="module")
def feats():
    torch.manual_seed(1)
    return torch.randn(2, 120, 16), torch.tensor([120, 71])


def theirs(model):
    """Hugging Face's, with the same weights."""
    transformers = pytest.importorskip("transformers")
    found = transformers.WhisperForConditionalGeneration.from_pretrained(SOURCE)
    state = model.state_dict()
    encoder = {
        k.replace("layers.layers", "layers")
        .replace("layers.norm", "layer_norm")
        .replace("stem.positions", "embed_positions.weight")
        .removeprefix("stem."): v
        for k, v in state.items()
        if not k.startswith("head.")
    }
    decoder = {
        k.removeprefix("head."): v
        for k, v in state.items()
        if k.startswith("head.")
    }
    found.model.encoder.load_state_dict(encoder)
    found.model.decoder.load_state_dict(decoder)
    return found.eval()


def test_a_whisper_of_the_hub_comes_with_its_tokenizer(monkeypatch, tmp_path):
    def snapshot_download(name, allow_patterns, **_):
        for pattern in allow_patterns:
            for path in Path(SOURCE).glob(pattern):
                shutil.copy(path, tmp_path)
        return str(tmp_path)

    place = "huggingface_hub.snapshot_download"
    monkeypatch.setattr(place, snapshot_download)
    asked = "dld_brain.encoder.whisper.source.ask"
    monkeypatch.setattr(asked, lambda *_: False)
    _, task, sizes = read_whole("owner/whisper")
    _, ours, expected = read_whole(SOURCE)
    assert task.symbols == ours.symbols and sizes == expected


@torch.no_grad()
def test_all_open_on_30_s_it_is_hugging_faces(whisper, feats):
    model, _ = whisper
    stock = theirs(model)
    x, lengths = with_silence(*feats)
    (out,) = model(x, lengths, targets=TARGETS, target_lengths=LENGTHS)
    prompt = torch.tensor(model.head.config.prompt).expand(2, -1)
    logits = stock(
        input_features=x.transpose(1, 2),
        decoder_input_ids=torch.cat((prompt, TARGETS), dim=1),
    ).logits[:, prompt.shape[1] - 1 :]
    torch.testing.assert_close(
        out.log_probs, logits.log_softmax(-1), atol=1e-4, rtol=0
    )


@torch.no_grad()
def test_it_writes_what_generate_writes(whisper, feats):
    from transformers.generation import GenerationMixin
    from transformers.modeling_outputs import BaseModelOutput

    model, _ = whisper
    stock, config = theirs(model), model.head.config
    x, lengths = model.stem(*with_silence(*feats))
    states = model.run_layers(x, lengths)
    limits = torch.full_like(lengths, 20)
    found, n_found = model.head.untold(states, None, limits)
    for i, n in enumerate(n_found.tolist()):
        ids = GenerationMixin.generate(
            stock,
            encoder_outputs=BaseModelOutput(states[i : i + 1]),
            decoder_input_ids=torch.tensor([config.prompt]),
            max_new_tokens=20,
        )[0, len(config.prompt) :]
        assert found[i, :n].argmax(-1).tolist() == ids.tolist()[:n]


@torch.no_grad()
def test_told_what_it_says_it_says_the_same(whisper, feats):
    model, _ = whisper
    (out,) = model(*feats)
    n = int(out.lengths[0])
    said = out.log_probs[:1, :n].argmax(-1)
    (told,) = model(
        feats[0][:1],
        feats[1][:1],
        targets=said,
        target_lengths=torch.tensor([n]),
    )
    torch.testing.assert_close(
        told.log_probs[:, 1:n], out.log_probs[:1, 1:n], atol=1e-4, rtol=1e-4
    )


@torch.no_grad()
@pytest.mark.parametrize("decoder", [None, Gates((1,), 2)])
def test_alone_it_says_what_it_says_in_a_batch(whisper, feats, decoder):
    model, _ = whisper
    gates = [Gates((0, 2), 3).with_decoder(decoder)]
    (both,) = model(*feats, gates, targets=TARGETS, target_lengths=LENGTHS)
    (alone,) = model(
        feats[0][1:, :71],
        feats[1][1:],
        gates,
        targets=TARGETS[1:, :2],
        target_lengths=LENGTHS[1:],
    )
    torch.testing.assert_close(
        both.log_probs[1:, :3], alone.log_probs, atol=1e-4, rtol=1e-4
    )
    (said,) = model(*feats, gates)
    (said_alone,) = model(feats[0][1:, :71], feats[1][1:], gates)
    n = int(said_alone.lengths)
    assert int(said.lengths[1]) == n
    assert torch.equal(
        said.log_probs[1, :n].argmax(-1), said_alone.log_probs[0].argmax(-1)
    )


def test_closed_layers_of_both_halves_have_no_gradient(whisper, feats):
    model, task = whisper
    gates = [Gates((0, 2), 3).with_decoder(Gates((1,), 2))]
    (out,) = model(*feats, gates, targets=TARGETS, target_lengths=LENGTHS)
    model.zero_grad()
    task.loss(out, TARGETS, LENGTHS).sum().backward()
    closed = [model.layers.layers[1], model.head.layers[0]]
    open_ = [model.layers.layers[0], model.head.layers[1]]
    assert all(p.grad is None for m in closed for p in m.parameters())
    assert all(p.grad is not None for m in open_ for p in m.parameters())


@torch.no_grad()
def test_a_part_says_what_its_depth_says(whisper, feats):
    model, _ = whisper
    gates = Gates((0, 2), 3)
    given = {"targets": TARGETS, "target_lengths": LENGTHS}
    (out,) = model(*feats, [gates], **given)
    (part,) = part_of(model, gates)(*feats, **given)
    assert torch.equal(out.log_probs, part.log_probs)


def test_the_loss_is_the_cross_entropy_of_tokens_and_end(whisper, feats):
    model, task = whisper
    (out,) = model(*feats, targets=TARGETS, target_lengths=LENGTHS)
    loss = task.loss(out, TARGETS, LENGTHS)
    labels = [[5, 9, 200, task.end], [17, 3, task.end]]
    for row, ids, value in zip(out.log_probs, labels, loss):
        expected = -sum(float(row[u, i]) for u, i in enumerate(ids))
        assert float(value) == pytest.approx(expected, rel=1e-5)


def test_silence_in_features_is_silence_in_audio():
    mel = dld_brain.WhisperMel()
    torch.manual_seed(0)
    wav = 0.1 * torch.randn(1, 32_000)
    whole = torch.nn.functional.pad(wav, (0, 28 * 16_000))
    feats, _ = with_silence(*mel(wav, torch.ones(1)))
    expected, _ = mel(whole, torch.ones(1))
    # The window at the end of the speech reaches into what is behind it.
    torch.testing.assert_close(feats[:, :198], expected[:, :198])
    torch.testing.assert_close(feats[:, 203:], expected[:, 203:])


def test_states_distance_leaves_padding_out():
    teacher, student = torch.randn(2, 9, 4), torch.randn(2, 7, 4)
    lengths = torch.tensor([7, 3])
    found = states_distance(teacher, student, lengths)
    student[1, 3:] = 99.0
    assert torch.equal(found, states_distance(teacher, student, lengths))


def test_a_task_that_writes_its_targets_scores_0():
    task = Seq2SeqTask.load(f"{SOURCE}/tokenizer.json")
    text = "Mr. Brown, isn't it? 5 €"
    ids = task.encode(text)
    out = EncoderOutput(
        torch.zeros(1, 1, 1), torch.tensor([1]), tokens=ids[None]
    )
    assert task.decode(out) == [text]
    assert task.rates([text], ["mister brown isn't it 5 €"])["WER"] == 0.0
    assert spoken("[noise] A-B.") == "a b"


@pytest.mark.parametrize(
    "options", [{"per_depth": "bias"}, {"router": {"kind": "global"}}], ids=str
)
def test_what_goes_with_a_linear_head_alone_is_refused(options):
    _, _, sizes = read_whole(SOURCE)
    decoder = sizes["decoder"]
    (name,) = options
    with pytest.raises(ValueError, match=f"`{name}` must be none where"):
        dld_brain.whisper_encoder(
            None, sizes["config"], 259, 16, decoder=decoder, **options
        )
