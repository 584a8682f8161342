"""Learning rates that fall from the last layer to the first."""

import pytest

from dld_brain.run.config import compose
from dld_brain.run.fitting import lr_factors

FILE = "hparams/conformer_dld.yaml"


def factors(**given):
    """Those of a run, of three layers."""
    settings = compose(FILE, {"data_folder": "x", **given}).settings()
    return lr_factors(settings.optimisation, 3)


def test_each_layer_learns_slower_than_the_one_above_it():
    found = factors(layer_lr_decay=0.5, head_lr_factor=7.0)
    assert [found[f"layers.layers.{i}"] for i in range(3)] == [0.25, 0.5, 1.0]
    assert found["stem"] == 0.125 and found["head"] == 7.0


def test_without_it_no_layer_has_a_rate_of_its_own():
    assert set(factors()) == {"head", "per_depth", "router"}


@pytest.mark.parametrize("value", [0.0, 1.1, -1.0])
def test_a_decay_is_a_share(value):
    with pytest.raises(ValueError, match="`layer_lr_decay` must be"):
        factors(layer_lr_decay=value)
