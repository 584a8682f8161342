"""SpeechBrain's recipe checks, on this repository.

What upstream's tests/consistency and tests/utils/recipe_tests.py demand of
a recipe: listed files exist, every key of a YAML is used, each row runs,
writes what it says and reaches its loss.
"""

import csv
import re
import shlex
import shutil
from pathlib import Path

import pytest

from train import main

FILES = sorted(Path("tests/recipes").glob("*.csv"))
ROWS = [
    pytest.param(row, id=f"{file.stem}-{Path(row['Hparam_file']).stem}")
    for file in FILES
    for row in csv.DictReader(file.open(newline=""))
]
YAMLS = sorted(Path("hparams").glob("*.yaml"))
SHARED = sorted(Path("hparams/shared").glob("*.yaml"))


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


def test_every_key_of_the_shared_yamls_is_used():
    code = "".join(
        path.read_text()
        for path in [Path("train.py"), *Path("dld_brain").glob("*.py")]
    )
    run_options = {"max_grad_norm", "ckpt_interval_minutes", "modules"}
    for path in SHARED:
        for key in set(top_level_keys(path)) - run_options:
            used = (f"<{key}>", f'["{key}"]', f"hparams.{key}", f'"{key}"')
            found = any(word in code + path.read_text() for word in used)
            assert found, f"{path}: {key}"


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
