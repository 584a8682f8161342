"""Weights in fewer bytes: what they lose once, and never again."""

import json
import shutil
import weakref
from collections.abc import Mapping
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from dld_brain.audio.features import extract
from dld_brain.encoder.whisper.layers import whisper_encoder
from dld_brain.export.__main__ import main
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import compact, load_for_inference, load_pretrained
from dld_brain.model_folder.weights import Weights, load_part
from tests.common import change_weights

GOLDEN = Path("tests/samples/golden")
SPEECH = "tests/samples/AN4/wav/an4test_clstk/fddd/an5-fddd-b.flac"


def net():
    """Matrices, a kernel, vectors, short rows, statistics, a counter."""
    found = nn.Sequential(
        nn.Embedding(50, 96),
        nn.Linear(96, 64),
        nn.Conv1d(64, 8, 3),
        nn.Conv1d(8, 8, 3, groups=8),
        nn.BatchNorm1d(8),
    )
    for parameter in found.parameters():
        nn.init.normal_(parameter, std=0.07)
    with torch.no_grad():
        found[0].weight[3] = 0.0  # the row of a padding token
        found[0].weight[4] *= 1e-6
    found[4].running_mean[0] = 1e5  # beyond float16
    return found


def written(module, dtype, path):
    """A module's weights, written and read."""
    path.write_bytes(
        safetensors.torch.save(compact.compact_state(module, dtype))
    )
    return Weights(path)


@pytest.mark.parametrize("dtype, share", [("float16", 0.5), ("int8", 0.25)])
def test_what_was_stored_once_stays_as_it_is(dtype, share, tmp_path):
    module, path = net(), tmp_path / "x"
    weights = written(module, dtype, path)
    assert set(weights) == set(module.state_dict())
    again = net()
    load_part(again, weights, path)
    assert again[4].running_mean[0] == 1e5
    content = path.read_bytes()
    written(again, dtype, path)
    assert path.read_bytes() == content
    raw = sum(v.nbytes for v in module.state_dict().values())
    assert len(content) < 1.1 * share * raw + 2000


def test_no_weight_moves_by_more_than_half_a_step(tmp_path):
    module = net()
    weights = written(module, "int8", tmp_path / "x")
    for name in ("0.weight", "1.weight", "2.weight"):
        value = module.state_dict()[name].flatten(1)
        step = value.abs().amax(1, keepdim=True) / 127
        moved = (weights[name].flatten(1) - value).abs()
        assert (moved <= 0.51 * step).all() and moved.any()
    assert not weights["0.weight"][3].any()
    for name in ("1.bias", "3.weight", "4.running_var"):
        value = module.state_dict()[name]
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-7)


def test_a_whisper_is_int8_with_its_tokens_and_not_its_positions():
    sizes = {
        "d_model": 64,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
    }
    decoder = {
        "vocab_size": 90,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 64,
        "prompt": [7],
        "end": 8,
        "begin_suppress_tokens": [],
    }
    model = whisper_encoder(None, sizes, vocab_size=90, decoder=decoder)
    found = compact.compact_state(model, "int8")
    kinds = {k: v.dtype for k, v in found.items()}
    assert kinds["head.embed_tokens.weight"] == torch.int8
    assert kinds["stem.conv1.weight"] == torch.int8
    assert kinds["stem.positions"] == torch.float16
    n_bytes = sum(v.nbytes for v in found.values())
    n_params = sum(p.numel() for p in model.parameters())
    assert n_bytes < 1.1 * n_params + 2 * model.stem.positions.numel()


@pytest.fixture(scope="module", params=["float16", "int8"])
def stored(request, tmp_path_factory):
    """The golden model, exported in fewer bytes."""
    folder = tmp_path_factory.mktemp("compact") / "out"
    flags = ["--source", str(GOLDEN), "--output", str(folder)]
    flags += ["--dtype", request.param, "--files", SPEECH]
    flags += ["--license", "mit", "--license_file", "LICENSE"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compact, "SHORTEST", 8)  # its rows have 16 or 32
        assert main(["compact", *flags]) == 0
    return folder


def test_a_folder_in_fewer_bytes_is_a_model_folder(stored):
    sizes = [(f / "model.safetensors").stat().st_size for f in (GOLDEN, stored)]
    assert sizes[1] < 0.6 * sizes[0]
    state = safetensors.torch.load_file(stored / "model.safetensors")
    assert len({v.dtype for v in state.values()}) in (1, 3)
    assert (stored / "LICENSE").read_text() == Path("LICENSE").read_text()
    card = (stored / "README.md").read_text()
    assert 'license: "mit"' in card and "weights are stored as" in card
    whole, small = map(load_for_inference, (str(GOLDEN), str(stored)))
    assert small.table.rows == whole.table.rows
    wavs = 0.1 * torch.randn(1, 16000)
    for n_layers in whole.table.depths:
        gates = whole.table.gates(n_layers, 3)
        with torch.no_grad():
            sig = extract(whole.modules, wavs, torch.ones(1))
            outs = [
                m.modules["model"](*sig, [gates])[0] for m in (whole, small)
            ]
        difference = (outs[0].log_probs - outs[1].log_probs).abs().max()
        assert 0 < difference < 0.2


def test_what_was_stored_twice_has_moved_by_both(stored, tmp_path, monkeypatch):
    """The card says how far it is from what was scored."""
    monkeypatch.setattr(compact, "SHORTEST", 8)
    for dtype in ("int8", "float16"):
        again = tmp_path / dtype
        flags = ["--source", str(stored), "--output", str(again)]
        assert main(["compact", *flags, "--dtype", dtype]) == 0
        told = [
            json.loads((f / "training.json").read_text())["stored"]
            for f in (stored, again)
        ]
        assert told[1]["dtype"] == dtype
        assert 0 < told[0]["change"] <= told[1]["change"]


def test_a_part_of_it_is_what_gates_make_of_it(stored):
    whole = load_for_inference(str(stored))
    part = load_pretrained(str(stored), n_layers=2)
    for module in part.modules.values():
        module.eval()
    sig = extract(whole.modules, 0.1 * torch.randn(1, 16000), torch.ones(1))
    with torch.no_grad():
        (one,) = whole.modules["model"](*sig, [whole.table.gates(2, 3)])
        (other,) = part.modules["model"](*sig, [Gates.full(2)])
    torch.testing.assert_close(one.log_probs, other.log_probs)


def _shorter(state, name):
    state[f"{name}:scale"] = state[f"{name}:scale"][:-1]


def _nan(state, name):
    state[f"{name}:scale"][0] = torch.nan


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda s, n: s.pop(f"{n}:scale"), "must be torch.float32"),
        (lambda s, n: s.update({n: s[n].float()}), "must be int8"),
        (_shorter, "a bfloat16 scale for each row"),
        (_nan, "finite weights"),
        (
            lambda s, n: s.update({"x:scale": s[f"{n}:scale"].clone()}),
            "surplus",
        ),
    ],
)
def test_scales_that_do_not_fit_are_named(change, said, tmp_path):
    folder = shutil.copytree(GOLDEN, tmp_path / "golden")
    name = "head.weight"

    def store(state):
        state[name], state[f"{name}:scale"] = compact.quantised(state[name])
        change(state, name)

    change_weights(folder, store)
    with pytest.raises(ValueError, match=said) as error:
        load_pretrained(str(folder))
    assert "\n" not in str(error.value)


class OneByOne(Mapping):
    """Tensors, as `Weights` reads them: of which one at most is held."""

    def __init__(self, tensors):
        self.tensors, self.given = tensors, []

    def __getitem__(self, name):
        held = [n for n, ref in self.given if ref() is not None]
        assert len(held) <= 1, held
        found = self.tensors[name].clone()
        self.given.append((name, weakref.ref(found)))
        return found

    def __iter__(self):
        return iter(self.tensors)

    def __len__(self):
        return len(self.tensors)


def test_weights_are_read_once_and_not_in_memory_a_second_time():
    module, other = (
        nn.Sequential(*(nn.Linear(8, 8) for _ in range(4))) for _ in range(2)
    )
    state = OneByOne(other.state_dict())
    load_part(module, state, "a model")
    assert sorted(name for name, _ in state.given) == sorted(state)
    for ours, theirs in zip(module.parameters(), other.parameters()):
        assert torch.equal(ours, theirs)
