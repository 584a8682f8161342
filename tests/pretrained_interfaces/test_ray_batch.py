"""Ray Data: what the single process gives, whatever dies on the way."""

import json
import os
from pathlib import Path

import pytest
from deadly import Deadly

from pretrained_interfaces.__main__ import main as shell
from pretrained_interfaces.depths.depth import Fixed
from pretrained_interfaces.many import on_ray
from pretrained_interfaces.many.items import Item
from pretrained_interfaces.many.transcriber import How, Transcriber
from pretrained_interfaces.ray_batch import main

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

GOLDEN = os.path.abspath("tests/samples/golden")
FILES = [os.path.abspath(p) for p in Path("tests/samples/AN4").rglob("*.flac")]
ITEMS = [Item(name) for name in [*sorted(FILES), "/no.wav", *sorted(FILES)]]
LISTENING = {"vad": "energy", "max_audio_seconds": 60.0, "windowed": True}
TWO = on_ray.Workers(2, cpus=0.5)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """Ray on this machine, for all tests here."""
    paths = os.pathsep.join(map(os.path.abspath, (".", "tests")))
    paths = os.pathsep.join([paths, os.environ.get("PYTHONPATH", "")])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": paths}},
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def expected():
    """What this process answers, one by one."""
    transcriber = Transcriber(How(GOLDEN, "cpu", Fixed(), LISTENING))
    return [transcriber.answer([item])[0] for item in ITEMS]


def rows(depth):
    how = How(GOLDEN, "cpu", depth, LISTENING)
    return on_ray.transcribe(ITEMS, how, TWO, batch_size=3).take_all()


def test_a_worker_that_is_killed_in_mid_job_loses_nothing(expected, tmp_path):
    flag = tmp_path / "died"
    found = rows(Deadly(expected[2].found.audio_seconds, str(flag)))
    assert flag.exists()
    assert [row["place"] for row in found] == list(range(len(ITEMS)))
    for row, answer in zip(found, expected):
        assert row["file"] == answer.item.file
        assert row["error"] == (answer.error or None)
        if answer.found:
            assert row["text"] == answer.found.text
            assert tuple(row["layers"]) == answer.found.layers


def test_a_file_that_workers_die_of_is_a_row_of_its_own(expected):
    seconds = expected[2].found.audio_seconds
    for row, answer in zip(rows(Deadly(seconds)), expected, strict=True):
        is_fatal = answer.found and answer.found.audio_seconds == seconds
        if is_fatal:
            assert row["text"] is None and "died" in row["error"]
        else:
            assert row["error"] == (answer.error or None)
            assert answer.found is None or row["text"] == answer.found.text


def test_the_results_are_those_of_the_shell(tmp_path, capsys):
    manifest = tmp_path / "m.jsonl"
    lines = [{"audio_filepath": name, "id": i} for i, name in enumerate(FILES)]
    lines.insert(1, {"audio_filepath": str(tmp_path / "no.wav")})
    lines.append({"audio_filepath": FILES[0], "offset": 0.1, "duration": 0.4})
    manifest.write_text("\n".join(map(json.dumps, lines)))
    told = ["--source", GOLDEN, "--device", "cpu"]
    assert shell(["transcribe", *told, "--json", str(manifest)]) == 1
    alone = [json.loads(x) for x in capsys.readouterr().out.splitlines()]
    out, table = tmp_path / "out.jsonl", tmp_path / "table"
    told += ["--manifest", str(manifest), "--workers", "2", "--cpus", "0.5"]
    assert main([*told, "-o", str(out)]) == 1
    assert "1 failed" in capsys.readouterr().err
    found = [json.loads(x) for x in out.read_text().splitlines()]
    for row in (*found, *alone):
        for key in ("compute_seconds", "rtf"):
            row.pop(key, None)
        for key in ("confidence", "entropy"):
            if key in row:
                row[key] = pytest.approx(row[key], abs=1e-4)
    assert found == alone
    assert main([*told, "-o", str(table)]) == 1
    read = ray.data.read_parquet(str(table)).take_all()
    texts = {row["file"]: row.get("text") for row in alone[:-1]}
    assert {r["file"]: r["text"] for r in read if not r["offset"]} == texts
    assert main([*told, "-o", str(table)]) == 2
    assert "holds something" in capsys.readouterr().err


def test_a_wrong_depth_is_told_at_once(tmp_path, capsys):
    told = ["--source", GOLDEN, "--manifest", "m.jsonl", "--n_layers", "99"]
    assert main([*told, "-o", str(tmp_path / "out.jsonl")]) == 2
    assert "between 1 and 3, but is 99" in capsys.readouterr().err
