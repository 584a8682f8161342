"""Parts: a model with some of the layers gives what gates make of all."""

import pytest
import torch
from common import (
    change_text,
    change_weights,
    far_from_new,
    output,
    tiny_modules,
    with_own_heads,
)
from torch import nn

from dld_brain.encoder.part import part_of, part_state
from dld_brain.export.__main__ import main
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import copy_weights, load_pretrained
from dld_brain.run.start import layers_to_start_from
from pretrained_interfaces import DynamicEncoderASR

INPUT = torch.randn(2, 60, 20), torch.tensor([60, 40])
SETS = [(0, 3), (0, 1, 3), (0, 2), (0,)]
#: What depths may have of their own.
KINDS = ["bias", "norm", "head"]


@pytest.mark.parametrize("layers", SETS)
@torch.no_grad()
def test_a_part_has_them_in_its_norms(layers):
    model = far_from_new()
    names = {k: v.clone() for k, v in model.state_dict().items()}
    expected = output(model, *INPUT, Gates.of(layers, 4))
    small = part_of(model, Gates.of(layers, 4))
    assert not any(small.layers.closed.parameters())
    torch.testing.assert_close(
        output(small, *INPUT), expected, atol=1e-5, rtol=1e-4
    )
    part = tiny_modules(n_total=len(layers), closed="affine")["model"]
    part.load_state_dict(
        part_state(model.state_dict(), Gates.of(layers, 4), part.layers)
    )
    torch.testing.assert_close(
        output(part, *INPUT), expected, atol=1e-5, rtol=1e-4
    )
    # Neither has the model changed, nor what a part can do at less depth.
    torch.testing.assert_close(dict(model.state_dict()), names)
    for kept in range(1, len(layers)):
        own = Gates.of(range(kept), len(layers))
        whole = Gates.of(layers[:kept], 4)
        torch.testing.assert_close(
            output(part, *INPUT, own),
            output(model, *INPUT, whole),
            atol=1e-5,
            rtol=1e-4,
        )


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_model_of_one_depth_has_it_in_its_head(kind):
    model = with_own_heads(tiny_modules(per_depth=kind))["model"]
    expected = output(model, *INPUT, Gates.of((0, 2), 4))
    small = part_of(model, Gates((0, 2), 4))
    assert small.per_depth is None
    torch.testing.assert_close(
        output(small, *INPUT), expected, atol=1e-5, rtol=1e-4
    )
    other = part_of(model, Gates((0, 1, 2), 4))
    assert not torch.equal(other.head.bias, small.head.bias)
    assert type(small.head) is nn.Linear


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_part_of_the_layers_keeps_what_its_depths_have(kind):
    model = with_own_heads(tiny_modules(per_depth=kind))["model"]
    part = tiny_modules(per_depth=kind, n_total=3)["model"]
    part.load_state_dict(
        part_state(model.state_dict(), Gates((0, 1, 3), 4), part.layers)
    )
    for whole, own in (((0, 1, 3), (0, 1, 2)), ((0, 3), (0, 2))):
        torch.testing.assert_close(
            output(part, *INPUT, Gates.of(own, 3)),
            output(model, *INPUT, Gates.of(whole, 4)),
        )


def test_a_shallower_model_starts_from_some_layers():
    teacher, small = tiny_modules(seed=1), tiny_modules(n_total=2)
    gates = layers_to_start_from("even", 2, 4)
    copy_weights(teacher, small, "there", gates)
    torch.testing.assert_close(
        output(small["model"], *INPUT), output(teacher["model"], *INPUT, gates)
    )
    with pytest.raises(ValueError, match="there, from which .* not fit"):
        copy_weights(teacher, small, "there")


def test_what_a_part_cannot_have_is_refused():
    with pytest.raises(ValueError, match="must have layer 0, .* has .1, 3."):
        part_of(far_from_new(), Gates((1, 3), 4))
    with pytest.raises(ValueError, match="must stay whole, but 2 of 4 layers"):
        part_of(far_from_new("norm"), Gates((0, 3), 4))
    assert part_of(far_from_new("norm"), Gates.full(4)).n_total == 4


def test_a_part_needs_no_router():
    model = tiny_modules(router="global")["model"]
    state = part_state(model.state_dict(), Gates((0, 2), 4), model.layers)
    assert not any(name.startswith("router.") for name in state)
    tiny_modules(n_total=2)["model"].load_state_dict(state, strict=True)


def test_what_a_part_leaves_out_is_not_read():
    read = []

    class Recorded(dict):
        def __getitem__(self, name):
            read.append(name)
            return super().__getitem__(name)

    model = tiny_modules()["model"]
    state = Recorded(model.state_dict())
    found = part_state(state, Gates((0, 2), 4), model.layers)
    assert len(read) == len(found)
    assert not any(
        n.startswith(("layers.layers.1.", "layers.layers.3.")) for n in read
    )


@pytest.mark.slow
@pytest.mark.parametrize("source", ["pretrained", "pretrained_wavlm"])
@torch.no_grad()
def test_a_part_and_its_model_are_two(source, request):
    folder = str(request.getfixturevalue(source))
    model = load_pretrained(folder).modules["model"]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    small = part_of(model, Gates((0, 2), model.n_total))
    assert small.n_total == 2 and small.training == model.training
    kept = model.layers.layers[2].state_dict()
    torch.testing.assert_close(small.layers.layers[1].state_dict(), kept)
    for weight in small.state_dict().values():
        weight.zero_()
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.fixture(scope="module")
def folder(pretrained, tmp_path_factory):
    """The model of a run, with bypasses as training may have made them."""
    path = tmp_path_factory.mktemp("bypass")
    for file in pretrained.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    change_text(path, 'closed: "identity"', 'closed: "affine"')

    def add_bypasses(state):
        width = len(state["layers.layers.0.norm2.norm.weight"])
        for i in range(3):
            for name in ("scale", "shift"):
                value = 0.3 * torch.randn(width)
                state[f"layers.closed.{i}.{name}"] = value

    change_weights(path, add_bypasses)
    return path


def test_one_depth_alone_is_loaded_and_exported(folder, tmp_path):
    whole = DynamicEncoderASR.from_hparams(source=folder)
    part = DynamicEncoderASR.from_hparams(source=folder, n_layers=2)
    wavs, lens = 0.1 * torch.randn(2, 16000), torch.tensor([1.0, 0.5])
    expected = whole.encode_batch(wavs, lens, 2)
    torch.testing.assert_close(
        part.encode_batch(wavs, lens), expected, atol=1e-4, rtol=1e-4
    )
    flags = ["--source", str(folder), "--n_layers", "2"]
    for kind in ("submodel", "onnx"):
        output = tmp_path / kind
        assert main([kind, *flags, "--output", str(output)]) == 0
        assert (output / "parity.json").is_file()


def test_norms_that_closed_layers_keep_are_not_left_out(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    change_text(tmp_path, 'closed: "affine"', 'closed: "norm"')
    with pytest.raises(ValueError, match="must stay whole, but 2 of 3 layers"):
        DynamicEncoderASR.from_hparams(source=tmp_path, n_layers=2)
