"""SpeechBrain's recipe checks, on this repository.

What upstream's tests/consistency and tests/utils/recipe_tests.py demand of
a recipe: listed files exist, every key of a YAML is used, each row runs,
writes what it says and reaches its loss.
"""

import csv
import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from dld_brain.run.encoder_sizes import ENCODERS
from dld_brain.run.main import train as main
from dld_brain.run.sections import SECTIONS
from dld_brain.run.tree import read_tree, tag

FILES = sorted(Path("tests/recipes").glob("*.csv"))
ROWS = [
    pytest.param(row, id=f"{file.stem}-{Path(row['Hparam_file']).stem}")
    for file in FILES
    for row in csv.DictReader(file.open(newline=""))
]
YAMLS = sorted(Path("hparams").rglob("*.yaml"))
SHARED = sorted(Path("hparams/shared").glob("*.yml"))


def top_level_keys(path: Path) -> list[str]:
    """Keys of a YAML file that are not dunder."""
    keys = re.findall(r"^([A-Za-z]\w*):", path.read_text(), re.MULTILINE)
    assert len(keys) == len(set(keys)), f"{path}: a key is there twice"
    return keys


def test_every_corpus_and_every_yaml_is_listed():
    corpora = {p.parent.name for p in Path("recipes").glob("*/corpus.yml")}
    assert {file.stem for file in FILES} == corpora
    listed = {row.values[0]["Hparam_file"] for row in ROWS}
    assert listed == {str(path) for path in YAMLS}


@pytest.mark.parametrize("row", ROWS)
def test_listed_files_exist_and_rows_are_tested(row):
    columns = ("Script_file", "Hparam_file", "Data_prep_file", "Readme_file")
    for column in columns:
        assert Path(row[column]).is_file(), row[column]
    assert (
        row["test_debug_flags"]
        and "file_exists=[" in (row["test_debug_checks"])
    )
    readme = Path(row["Readme_file"]).read_text()
    assert row["Result_url"] in readme and row["HF_repo"] in readme
    assert row["Hparam_file"] in readme


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: p.stem)
def test_every_key_of_a_yaml_is_used(path):
    text, script = path.read_text(), Path("train.py").read_text()
    for key in top_level_keys(path):
        later = text.split(f"\n{key}:", 1)[1]
        assert f"<{key}>" in later or f'["{key}"]' in script, key


def test_every_key_of_the_shared_yamls_is_read_and_has_a_kind():
    objects = {"modules", "architecture", "full_config", "training"}
    for path in SHARED:
        tree = read_tree(path)
        keys = {k for k in tree if not tag(tree[k]).startswith(("!n", "!a"))}
        is_encoder = path.stem in ENCODERS
        sections = [ENCODERS[path.stem]] if is_encoder else SECTIONS
        kinds = {f.name for section in sections for f in fields(section)}
        assert keys - objects == kinds - objects


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: p.stem)
def test_yamls_begin_with_their_command_and_seed(path):
    text = path.read_text()
    assert f"# > python train.py {path}" in text
    assert top_level_keys(path)[0] == "seed"
    assert "data_folder" in top_level_keys(path)
    assert "output_folder" in top_level_keys(path)


def values_of(log: str, name: str) -> list[float]:
    """Values of an entry of train_log.txt, by epoch."""
    return [float(v) for v in re.findall(rf"{name}: ([\d.e+-]+)", log)]


@pytest.fixture(scope="module")
def clean_tmp():
    """No output of an earlier run: a finished one would train nothing."""
    shutil.rmtree("tests/tmp", ignore_errors=True)
    yield
    shutil.rmtree("tests/tmp", ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_rows_run_and_reach_their_loss(row, clean_tmp, request):
    folder = Path("tests/tmp", re.sub(r"\W", "_", request.node.name))
    flags = shlex.split(row["test_debug_flags"])
    output = f"--output_folder={folder}"
    options = ["--device=cpu", "--noprogressbar"]
    main([row["Hparam_file"], *flags, output, *options])
    checks = row["test_debug_checks"]
    files = re.search(r"file_exists=\[(.*?)\]", checks)[1].split(",")
    for name in files:
        assert (folder / name).exists(), name
    pattern = r"performance_check=\[(.*?), (.*?), <([\d.]+), epoch: (\d+)\]"
    log, name, limit, epoch = re.search(pattern, checks).groups()
    values = values_of((folder / log).read_text(), name)
    assert len(values) == int(epoch)
    assert values[-1] < float(limit)
    assert values[-1] < 0.9 * values[0]  # it has learnt
