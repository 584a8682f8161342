"""Errors by depth: of a report, training.json or a card; or nothing."""

import json
import shutil
from pathlib import Path

import pytest

from pretrained_interfaces.serve.known import known_errors
from pretrained_interfaces.shipped import shipped_model

NAMES = ("depth_report.json", "training.json", "README.md")


def points(found):
    """Layers and rates."""
    return [(p["n_layers"], p["rate"]) for p in found["points"]]


@pytest.fixture
def folder(tmp_path):
    """What the model that ships says of itself."""
    for name in ("training.json", "README.md"):
        shutil.copy(shipped_model() / name, tmp_path)
    return tmp_path


def test_training_and_card_say_the_same(folder):
    found = known_errors(str(folder))
    assert found["metric"] == "WER" and found["set"] == "test"
    assert [n for n, _ in points(found)] == [2, 3, 4]
    assert all(0 < rate < 100 for _, rate in points(found))
    (folder / "training.json").unlink()
    assert known_errors(str(folder)) == found


def test_a_report_comes_first_and_test_before_dev(folder):
    rows = [{"n_layers": n, "rates": {"WER": 10.0 * n}} for n in (2, 1)]
    sets = {"dev": rows[:1] * 2, "test-clean": rows, "test-other": []}
    (folder / "depth_report.json").write_text(json.dumps({"sets": sets}))
    found = known_errors(folder)
    assert found["set"] == "test-clean"
    assert points(found) == [(1, 10.0), (2, 20.0)]


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[]",
        '{"report": null, "sets": 3}',
        '{"report": {"test": [1, {"rates": 2}]}}',
        '{"report": {"test": [{"n_layers": 2, "rates": {"WER": 1.0}}]}}',
        '{"report": {"test": [{"n_layers": 2, "rates": {"WER": "x"}}]}}',
        "---\nmodel-index: 3\n---\n",
        "---\n{\n---\n",
        "# A card of nothing\n",
    ],
)
def test_what_says_nothing_is_hidden(tmp_path, content):
    name = NAMES[2] if content[0] in "-#" else NAMES[1]
    (tmp_path / name).write_text(content)
    assert known_errors(tmp_path) is None
    assert known_errors(None) is None


def test_the_server_tells_what_is_known(client, served):
    (model,) = client.get("/v1/models").json()["data"]
    assert model["errors"] == known_errors(served.folder)
    assert Path(served.folder).is_dir()
