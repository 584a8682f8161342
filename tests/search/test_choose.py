"""The depth table, and the search for its layers."""

import itertools
import json
from pathlib import Path

import jiwer
import pytest
from common import (
    batch_of,
    by_hand,
    noise,
    tiny_modules,
    transcription,
    with_own_heads,
)

from dld_brain import losses
from dld_brain.audio.lengths import absolute_lengths
from dld_brain.depth_table import DepthTable
from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import prefix
from dld_brain.model_folder import weights_hash
from dld_brain.search.choose import (
    LayerChooser,
    even_gates,
    make_table,
    some_of,
)
from dld_brain.search.layer_losses import LayerScores
from dld_brain.search.strategies import STRATEGIES, find_candidates
from speechbrain.dataio.dataset import DynamicItemDataset

TASK = transcription()
SUBSETS = [
    Gates(layers, 4)
    for n in range(1, 5)
    for layers in itertools.combinations(range(4), n)
]


def alone(modules, batch, gates):
    """Mean loss of an utterance, by a whole forward pass."""
    out = by_hand(modules, batch.sig, gates)
    tokens, token_lens = batch.targets
    token_lengths = absolute_lengths(token_lens, tokens.shape[1])
    return float(losses.ctc(*out[:2], tokens, token_lengths, 0).mean())


@pytest.fixture(params=["none", "head"])
def modules(request):
    """A model whose depths share their head, and one whose do not."""
    found = tiny_modules(per_depth=request.param)
    return found if request.param == "none" else with_own_heads(found)


@pytest.mark.parametrize("closed", ["identity", "norm", "own heads"])
def test_shared_beginnings_give_what_each_set_gives_alone(closed):
    if closed == "own heads":
        modules = with_own_heads(tiny_modules(per_depth="head"))
    else:
        modules = tiny_modules(closed=closed)
    batch = batch_of(noise(3))
    scores = LayerScores(modules, TASK, [batch])(SUBSETS)
    assert list(scores) == SUBSETS
    for gates, loss in scores.items():
        expected = alone(modules, batch, gates)
        assert loss == pytest.approx(expected, rel=1e-5), gates


def test_all_sets_cost_one_layer_each():
    modules = tiny_modules()
    calls = []
    for layer in modules["model"].layers.layers:
        layer.register_forward_hook(lambda *_: calls.append(1))
    LayerScores(modules, TASK, [batch_of(noise(2))])(SUBSETS)
    assert len(calls) == 2**4 - 1


def test_the_mean_is_over_utterances_not_batches():
    modules = tiny_modules()
    sets = [Gates((0, 2), 4)]
    whole = LayerScores(modules, TASK, [batch_of(noise(3))])(sets)
    parts = [batch_of(noise(3)[:1]), batch_of(noise(3)[1:])]
    assert LayerScores(modules, TASK, parts)(sets) == pytest.approx(whole)


def test_an_interrupted_search_goes_on(tmp_path, caplog):
    modules = tiny_modules()
    batches = [batch_of(noise(2))]
    path = str(tmp_path / "scores.json")
    sets = [Gates((0,), 4), Gates((1, 2), 4)]
    first = LayerScores(modules, TASK, batches, path, "mine")(sets)
    again = LayerScores(modules, TASK, batches, path, "mine")
    assert again.scores == first
    again._score = None  # nothing is left to compute
    assert again(sets[1:]) == {sets[1]: first[sets[1]]}
    other = LayerScores(modules, TASK, batches, path, "another's")
    assert other.scores == {}  # of other weights
    caplog.clear()
    LayerScores(modules, TASK, [batch_of(noise(2, seed=1))], path, "mine")
    assert not caplog.text  # the same names, words and lengths
    fewer = LayerScores(modules, TASK, [batch_of(noise(1))], path, "mine")
    assert fewer.scores == {} and "scores.json is made anew" in caplog.text
    Path(path).write_text(Path(path).read_text()[:-9])
    assert LayerScores(modules, TASK, batches, path, "mine").scores == {}


def loss_of(gates):
    """A made-up loss whose best sets are not nested: depth 2 is (0, 3)."""
    special = {(2,): -9.0, (0, 3): -8.0}
    return special.get(gates.layers, -float(sum(gates.layers)))


def scorer(sets):
    return {gates: loss_of(gates) for gates in sets}


def layers_of(sets):
    """The layers of each set."""
    return [gates.layers for gates in sets]


def test_exhaustive_is_the_best_there_is():
    found = find_candidates("exhaustive", 4, scorer)
    for n in range(1, 5):
        every = list(itertools.combinations(range(4), n))
        sets = [Gates(layers, 4) for layers in every]
        assert loss_of(found[n].sets[0]) == min(map(loss_of, sets))
        assert sorted(layers_of(found[n].sets)) == sorted(every)


def test_a_wide_beam_is_exhaustive_and_greedy_is_a_beam_of_one():
    exhaustive = find_candidates("exhaustive", 4, scorer)
    wide = find_candidates("beam", 4, scorer, width=100)
    narrow = find_candidates("beam", 4, scorer, width=1)
    greedy = find_candidates("greedy", 4, scorer)
    for n in range(1, 5):
        assert wide[n].sets[0] == exhaustive[n].sets[0]
        assert narrow[n].sets == greedy[n].sets


def test_greedy_asks_for_as_many_sets_as_it_must():
    asked = []
    find_candidates(
        "greedy", 6, lambda sets: scorer([asked.append(s) or s for s in sets])
    )
    assert len(asked) == 6 + 5 + 4 + 3 + 2


@pytest.mark.parametrize(
    "strategy, options",
    [
        ("prefix", {}),
        ("greedy", {"is_nested": True}),
        ("beam", {"is_nested": True, "width": 3}),
    ],
)
def test_nested_depths_contain_each_other(strategy, options):
    found = find_candidates(strategy, 5, scorer, **options)
    for n in range(1, 5):
        smaller, larger = layers_of([found[n].sets[0], found[n + 1].sets[0]])
        assert set(smaller) < set(larger)


def test_random_sets_are_drawn_from_the_seed():
    a, b, c = (
        find_candidates("random", 6, scorer, draws=4, seed=seed)
        for seed in (1, 1, 2)
    )
    assert a == b != c
    assert len(a[3].sets) == 4 and len(a[6].sets) == 1
    losses_of_3 = [loss_of(s) for s in a[3].sets]
    assert a[3].mean == pytest.approx(sum(losses_of_3) / 4)
    assert losses_of_3 == sorted(losses_of_3) and a[3].std > 0


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(ValueError, match="one of even, .* but is 'best'"):
        find_candidates("best", 4, scorer)
    with pytest.raises(ValueError, match="`width` must be at least 1"):
        find_candidates("beam", 4, scorer, width=0)


def dataset(n):
    """Development speech of noise, as a dataset."""
    items = {u.pop("id"): u for u in noise(n)}
    return DynamicItemDataset(
        items, output_keys=["id", "sig", "targets", "reference"]
    )


def decoder(out):
    """Writes the tokens that are likeliest, a word each."""
    ids = [
        row[:n].tolist()
        for row, n in zip(out.log_probs.argmax(-1), out.lengths)
    ]
    return [" ".join("AB"[t % 2] for t in row) for row in ids], ids


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_a_table(strategy, tmp_path):
    modules = tiny_modules()
    chooser = LayerChooser(
        modules,
        "0" * 32,
        transcription(decoder),
        dataset(4),
        16000,
        n_utterances=2,
        path=str(tmp_path / "scores.json"),
        trained={1: Gates((2,), 4)} | {n: prefix(n, 4) for n in (2, 3, 4)},
    )
    table = chooser.choose(strategy)
    assert table.depths == (1, 2, 3, 4)
    assert table.layers(4) == (0, 1, 2, 3)
    for row in table.rows:
        assert len(row.layers) == row.n_layers
        assert (row.dev_rate is None) == (STRATEGIES[strategy] is None)
    if strategy == "trained":
        assert table.layers(1) == (2,)
    params = [row.params for row in table.rows]
    assert params == sorted(params)
    table.save(str(tmp_path))
    again = DepthTable()
    again.read(tmp_path / "depth_table.json")
    assert again == table


def test_the_winner_has_the_lowest_wer_of_the_finalists(monkeypatch):
    chooser = LayerChooser(
        tiny_modules(),
        "0" * 32,
        transcription(decoder),
        dataset(3),
        16000,
        n_utterances=3,
    )
    monkeypatch.setattr(
        chooser,
        "rates",
        lambda sets, _: {s: 1.0 if s.layers == (0, 3) else 2.0 for s in sets},
    )
    # Evenly spread layers are among the finalists at every depth.
    assert chooser.choose("exhaustive").layers(2) == (0, 3)


def test_a_part_of_a_set_is_spread_over_it():
    assert some_of(dataset(5), 2).data_ids == ["utt0", "utt2"]
    assert len(some_of(dataset(5), 9)) == 5


def terse(out):
    """Writes a word for some tokens alone: answers differ in length."""
    ids = [
        row[:n].tolist()
        for row, n in zip(out.log_probs.argmax(-1), out.lengths)
    ]
    return [" ".join("AB"[t % 2] for t in row if t % 3) for row in ids], ids


def test_importance_is_the_wer_with_one_layer_closed(modules):
    chooser = LayerChooser(
        modules,
        "0" * 32,
        transcription(terse),
        dataset(3),
        16000,
        n_utterances=3,
    )
    found = chooser.importance()
    sets = [(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2), (0, 1, 2, 3)]
    expected = []
    for layers in sets:
        answers = []
        for utterance in noise(3):
            sig = batch_of([utterance]).sig
            out = by_hand(modules, sig, Gates(layers, 4))
            answers += terse(out)[0]
        expected.append(100 * jiwer.wer(["A B"] * 3, answers))
    assert found == pytest.approx(expected)
    assert len(set(found)) > 3  # none stands for another


def test_a_table_is_of_one_model(tmp_path):
    hashes = []
    for seed in (0, 0, 1):
        hashes.append(weights_hash(tiny_modules(seed=seed)["model"]))
    assert hashes[0] == hashes[1] != hashes[2]
    table = DepthTable(hashes[0])
    table.check_model(hashes[1])
    with pytest.raises(ValueError, match="must be of this model"):
        table.check_model(hashes[2])
    path = Path(tmp_path, "depth_table.json")
    for content in ("{", json.dumps({"rows": 1}), "[]"):
        path.write_text(content)
        with pytest.raises(ValueError, match="must be JSON|is no depth table"):
            DepthTable().read(path)


@pytest.mark.parametrize("n_layers", [0, 5, 2.0, True, "2"])
def test_a_depth_outside_the_table_is_refused(n_layers):
    table = make_table(tiny_modules(), "0" * 32, 16000, "even", even_gates(4))
    with pytest.raises(ValueError, match="between 1 and 4, but is"):
        table.layers(n_layers)
