"""What `train.py --help` says."""

import re

import pytest

from dld_brain.run.config import compose
from dld_brain.run.help import describe, find_recipe, recipes
from dld_brain.run.main import main
from dld_brain.run.tree import in_flow, read_tree

LINE = re.compile(r"^  --(\w+)=(.*?)(?:  +(.*))?$", re.MULTILINE)


def told_of(name):
    """Keys, values and comments that the help of a recipe has."""
    _, keys = describe(find_recipe(name)).split("\n\n", 1)  # no header
    return LINE.findall(keys)


@pytest.mark.parametrize("name", recipes())
def test_a_key_has_the_value_that_a_run_takes(name):
    tree, told = compose(find_recipe(name)).tree, told_of(name)
    assert len(told) == len({key for key, *_ in told}) > 60
    for key, value, _ in told:
        assert value == in_flow(tree[key]), key
    keys = {key for key, *_ in told}
    assert {"seed", "gates", "lr", "test_depths"} <= keys
    assert not keys & {"modules", "training", "encoder", "recipe"}


def test_what_corpus_encoder_and_file_change_is_in_it():
    told = {key: value for key, value, _ in told_of("conformer_dld")}
    assert told["gates"] == "{sampler: bernoulli, p_open: 0.5}"
    told = {key: value for key, value, _ in told_of("whisper_any_depth")}
    assert told["train_splits"] == "[train-clean-5]"  # the corpus's
    assert told["lr"] == "0.0002" and told["transcripts"] == "teacher"


def test_a_comment_stands_behind_a_value_or_above_it():
    meaning = {key: comment for key, _, comment in told_of("conformer_dld")}
    assert meaning["batch_size"] == "utterances of a batch, at most"
    assert meaning["lm"].startswith("An ARPA file of words")
    assert "####" not in "".join(meaning.values())
    assert meaning["skip_prep"] == ""  # not that of the key before


def test_a_value_on_one_line_is_the_value():
    text = "{a: {b: !ref <c>, d: [1, null, x]}, e: True, f: !new:x.Y {g: 1}}"
    assert in_flow(read_tree(text)) == text
    block = read_tree("a:\n  b: !ref <c>\n  d:\n  - 1\n  - null\n  - x\n")
    assert in_flow(block) == "{a: {b: !ref <c>, d: [1, null, x]}}"


def test_a_file_that_is_none_is_one_line(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("seed: 1\n")
    assert main([str(tmp_path / "mine.yaml"), "--help"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "must have the keys `encoder` and `recipe`" in line
