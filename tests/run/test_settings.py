"""What a setting may be, and how it is said: on the command line, in YAML."""

from pathlib import Path

import pytest

from dld_brain.run.command_line import parse, value_of
from dld_brain.run.config import compose
from dld_brain.run.main import (
    main as run_main,
    train as main,
)

SHARED = str(Path("hparams/shared").resolve())
FILE = "hparams/conformer_dld.yaml"
BASE = ["--data_folder=tests", "--device=cpu"]
WHOLE = "must be a whole number"
BAD = [
    ("--batch_size=abc", f"`batch_size` {WHOLE} of at least 1, but is 'abc'"),
    ("--batch_size=0", f"`batch_size` {WHOLE} of at least 1, but is 0"),
    ("--batch_size=1.5", f"`batch_size` {WHOLE} of at least 1, but is 1.5"),
    ("--batch_size=True", f"`batch_size` {WHOLE} of at least 1, but is True"),
    ("--batch_size=", f"`batch_size` {WHOLE} of at least 1, but is not given"),
    ("--lr=-1", "`lr` must be a number above 0, but is -1"),
    ("--lr=0", "`lr` must be a number above 0, but is 0"),
    ("--lr=.nan", "`lr` must be a number above 0, but is nan"),
    ("--lr=.inf", "`lr` must be a number above 0, but is inf"),
    ("--lr=nan", "`lr` must be a number above 0, but is 'nan'"),
    ("--lr=True", "`lr` must be a number above 0, but is True"),
    ("--lr=[1]", "`lr` must be a number above 0, but is [1]"),
    ("--n_total=0", f"`n_total` {WHOLE} of at least 1, but is 0"),
    ("--n_total=two", f"`n_total` {WHOLE} of at least 1, but is 'two'"),
    (
        "--n_heads=7",
        "`d_model` must be a multiple of `n_heads` (7), but is 256",
    ),
    (
        "--kernel_size=30",
        f"`kernel_size` {WHOLE} that is odd and above 0, but is 30",
    ),
    ("--vocab_size=1", f"`vocab_size` {WHOLE} of at least 2, but is 1"),
    ("--dropout=2", "`dropout` must be a number between 0 and 1, but is 2"),
    (
        "--closed=zero",
        "`closed` must be one of identity, norm, affine, but is 'zero'",
    ),
    (
        "--per_depth=odd",
        "`per_depth` must be one of none, bias, norm, head, but is 'odd'",
    ),
    (
        "--task=translation",
        "`task` must be one of transcription, classification, seq2seq, but "
        "is 'translation'",
    ),
    (
        "--number_of_epochs=0",
        f"`number_of_epochs` {WHOLE} of at least 1, but is 0",
    ),
    (
        "--train_splits=[]",
        "`train_splits` must be a list of a word with an entry at least "
        "without repetition, but is []",
    ),
    (
        "--test_splits=a,a",
        "`test_splits` must be a list of a word with an entry at least "
        "without repetition, but is ['a', 'a']",
    ),
    ("--valid_splits=[1]", "`valid_splits` must be a word, but is 1"),
    ("--valid_depths=0", f"`valid_depths` {WHOLE} of at least 1, but is 0"),
    (
        "--valid_depths=13",
        "`valid_depths` must be between 1 and 12, the layers of the model, "
        "but has 13",
    ),
    ("--test_depths=x", f"`test_depths` {WHOLE} of at least 1, but is 'x'"),
    (
        "--keep_epochs=101",
        "`keep_epochs` must be between 1 and `number_of_epochs` (100), but "
        "has 101",
    ),
    (
        "--weight_decay=-1",
        "`weight_decay` must be a number of at least 0, but is -1",
    ),
    (
        "--task_weight=-0.1",
        "`task_weight` must be a number of at least 0, but is -0.1",
    ),
    (
        "--distillation.weight=-1",
        "`distillation.weight` must be a number of at least 0, but is -1",
    ),
    (
        "--distillation.temperature=0",
        "`distillation.temperature` must be above 0, but is 0.0",
    ),
    (
        "--distillation=l3",
        "`distillation.divergence` must be one of kl, near_tokens, l2, but is "
        "'l3'",
    ),
    (
        "--gates.p_open=1.5",
        "`gates.p_open` must be between 0 and 1, but is 1.5",
    ),
    ("--gates.p_open=x", "`gates.p_open` must be a number, but is 'x'"),
    (
        "--gates.min_layers=2",
        "`gates.min_layers` is no option of bernoulli gates, which have p_open",
    ),
    (
        "--gates={sampler: uniform, min_layers: 13}",
        "`gates.min_layers` must be between 1 and 12, but is 13",
    ),
    (
        "--gates={sampler: uniform, n_last: 2}",
        "`gates.n_last` must be given with family ends alone, but `family` is "
        "even",
    ),
    (
        "--schedule=noam",
        "`schedule.n_warmup_steps` must be given with noam",
    ),
    (
        "--schedule.n_warmup_steps=0",
        "`schedule.n_warmup_steps` must be at least 1, but is 0",
    ),
    (
        "--selection.is_nested=True",
        "`selection.is_nested` is no option of even selections, which have none",
    ),
    (
        "--router.n_layers=2",
        "`router.n_layers` is no option of none routers, which have none",
    ),
    (
        "--logger=mlflow",
        "`logger.kind` must be one of file, tensorboard, wandb, but is 'mlflow'",
    ),
    (
        "--averaged=worst",
        "`averaged` must be one of best, last, but is 'worst'",
    ),
    (
        "--token_type=word",
        "`token_type` must be one of unigram, bpe, char, but is 'word'",
    ),
    ("--skip_prep=yes", "`skip_prep` must be True or False, but is 'yes'"),
    ("--seed=-1", f"`seed` {WHOLE} of at least 0, but is -1"),
    (
        "--init_layers=odd",
        "`init_layers` must be one of even, prefix, ends, nested, or a list "
        "of layers, but is 'odd'",
    ),
    (
        "--max_grad_norm=-1",
        "`max_grad_norm` must be a number above 0, but is -1.0",
    ),
    (
        "--teacher_overrides=x",
        "`teacher_overrides` must be a mapping, but is 'x'",
    ),
    ("--lr=[", "`lr` must be YAML, but is '['"),
    (
        f"--n_total={10**30}",
        f"`n_total` {WHOLE} of at most 1000, but is {10**30}",
    ),
    (
        "--n_fft=300",
        "`window_ms` must give between 1 and `n_fft` (300) samples of 16000 "
        "Hz, but is 20, which gives 320",
    ),
    (
        "--hop_ms=0.001",
        "`hop_ms` must give a sample of 16000 Hz at least, but is 0.001",
    ),
    (
        "--gates=[full]",
        "`gates.sampler` must be one of full, bernoulli, stochastic_depth, "
        "uniform, sandwich, every_depth, routed, but is ['full']",
    ),
    (
        "--grad_accumulation_factor=0",
        f"`grad_accumulation_factor` {WHOLE} of at least 1, but is 0",
    ),
    (
        "--weight_decay=!ref <nothing>",
        "`weight_decay` must refer to keys of hparams/conformer_dld.yaml, but "
        "<nothing> is none",
    ),
    (
        "--model=1",
        "`model` must be an object of the hparams file "
        "(!apply:dld_brain.conformer_encoder...), no setting, but is '1'",
    ),
]


@pytest.mark.parametrize(
    "flag",
    [
        f"--lr={'9' * 400}",
        f"--seed={'9' * 5000}",
        f"--corpus={'x' * 3000}",
        f"--save_folder={'x' * 300}",
        "--output_folder=",
        "--d_ffn=1000000000",
        "--sample_rate=1",
        "--router={kind: global, hidden: 10000000000}",
        "--seed=!ref <seed>",
    ],
)
def test_what_is_far_off_is_one_short_line(flag, capsys):
    assert run_main([FILE, *BASE, flag]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    key = flag.removeprefix("--").partition("=")[0]
    assert line.startswith("error: ") and len(line) < 500 and key in line


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"",
        lambda text: b"- 1",
        lambda text: b"word",
        lambda text: text + b"\n[",
        lambda text: text + b"\n\tx: 1",
        lambda text: text + b"\0",
        lambda text: text + b"# \xe4",
        lambda text: text + b"\nseed: 3\n",
        lambda text: text + b"\n1: 3\n",
        lambda text: text.replace(b"encoder:", b"encodder:"),
        lambda text: text.partition(b"recipe:")[0],
        lambda text: text.replace(b"conformer.yml", b"nothing.yml"),
        lambda text: text.replace(b"/recipe.yml", b""),
        lambda text: text.replace(b"1986", b"*x"),
    ],
)
def test_a_file_that_is_no_hparams_file_is_a_line(change, tmp_path, capsys):
    text = Path(FILE).read_text().replace("include:shared", "include:" + SHARED)
    path = tmp_path / "mine.yaml"
    path.write_bytes(change(text.encode()))
    assert run_main([str(path), *BASE]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and len(line) < 500
    assert any(name in line for name in ("mine", "nothing", "shared", "encod"))


@pytest.mark.parametrize("flag, message", BAD, ids=[flag for flag, _ in BAD])
def test_a_bad_value_is_said_in_a_line_before_anything_is_built(
    flag, message, monkeypatch
):
    monkeypatch.setattr(
        "dld_brain.run.run.load_hparams", lambda _: pytest.fail("built")
    )
    with pytest.raises(ValueError) as error:
        main([FILE, *BASE, flag])
    assert str(error.value) == message


def tree(*flags, file=FILE):
    """The keys of a run with these flags, references resolved."""
    return compose(file, parse([file, "--data_folder=x", *flags])[2]).resolved()


@pytest.mark.parametrize(
    "flags, expected",
    [
        (["--gates.p_open=0.7"], {"sampler": "bernoulli", "p_open": 0.7}),
        (["--gates=sandwich"], {"sampler": "sandwich"}),
        (
            ["--gates={sampler: sandwich, min_layers: 2}"],
            {"sampler": "sandwich", "min_layers": 2},
        ),
        (
            ["--gates=sandwich", "--gates.min_layers=2"],
            {"sampler": "sandwich", "min_layers": 2},
        ),
        (["--gates=bernoulli"], {"sampler": "bernoulli", "p_open": 0.5}),
    ],
)
def test_a_block_is_changed_or_exchanged(flags, expected):
    assert tree(*flags)["gates"] == expected


def test_another_divergence_keeps_what_all_have():
    block = tree("--distillation.weight=3", "--distillation=l2")
    assert block["distillation"] == {
        "divergence": "l2",
        "weight": 3,
        "in_place_weight": 0.0,
        "states_weight": 0.0,
        "keep_answers": False,
    }


@pytest.mark.parametrize(
    "name", ["1e3", "null", "yes", "[x]", "a$b", "a#b", "a: b", "a=b", "~x y"]
)
def test_a_path_stays_what_it_is(name):
    found = tree(f"--output_folder={name}", f"--teacher={name}")
    settings = compose(
        FILE, {"data_folder": "x", **parse([FILE, f"--teacher={name}"])[2]}
    ).settings()
    assert settings.start.teacher == settings.start.init_from == name
    assert found["output_folder"] == name
    assert found["save_folder"] == f"{name}/save"


def test_a_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert tree("--teacher=~/m")["teacher"] == "/home/me/m"


@pytest.mark.parametrize(
    "name", ["/tmp/exp #3", "/tmp/run: two", "2024", "[a]", "a=b", "~/exp", " "]
)
@pytest.mark.parametrize(
    "key", ["data_folder", "csv_folder", "gates.table", "logger.project"]
)
def test_paths_and_words_are_taken_as_they_stand(key, name, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    expected = name.replace("~", "/home/me")
    for flags in ([f"--{key}={name}"], [f"--{key}", name]):
        assert parse([FILE, *flags])[2] == {key: expected}


def test_paths_within_mappings_and_files_have_the_home_folder(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("HOME", "/home/me")
    found = tree(
        "--gates={sampler: uniform, table: ~/m}",
        "--corpus_options={noise: ~/noise, share: 0.5}",
        "--teacher_overrides.output_folder=~/t #1",
        "--csv_folder=~/csv",
    )
    assert found["gates"]["table"] == "/home/me/m"
    assert found["corpus_options"] == {"noise": "/home/me/noise", "share": 0.5}
    assert found["teacher_overrides"] == {"output_folder": "/home/me/t #1"}
    assert found["csv_folder"] == "/home/me/csv"
    assert tree("--corpus_options.noise=/a #1")["corpus_options"] == {
        "noise": "/a #1"
    }
    path = tmp_path / "mine.yaml"
    text = Path(FILE).read_text().replace("include:shared", "include:" + SHARED)
    path.write_text(text.replace("!ref results/", "!ref ~/results/"))
    found = compose(str(path), {"data_folder": "x"}).resolved()
    assert found["save_folder"].startswith("/home/me/results/")


def test_what_stands_beside_the_options_is_said(caplog):
    with pytest.raises(ValueError, match="'3' belongs to no option: a value"):
        main([FILE, "--output_folder=/tmp/exp", "3"])
    with pytest.raises(ValueError, match="'-lr=1' belongs to no option"):
        main([FILE, "-lr=1"])
    assert parse([FILE, "--lr=1", "--lr=1"])[2] == {"lr": 1}
    assert not caplog.text
    assert parse([FILE, "--lr=1", "--seed=3", "--lr=2"])[2]["lr"] == 2
    assert "--lr is given twice, and the last counts: 2" in caplog.text


def test_a_mapping_and_one_of_its_keys_go_together_in_any_order():
    one, two = "--corpus_options={a: 1}", "--corpus_options.b=2"
    for flags in ((one, two), (two, one)):
        assert tree(*flags)["corpus_options"] == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="`corpus_options` must be a mapping"):
        tree("--corpus_options=a", two)


def test_a_path_that_would_be_read_as_a_reference_is_refused():
    with pytest.raises(ValueError, match="must be a path without <...>"):
        parse([FILE, "--output_folder=/tmp/<seed>"])


def test_no_source_is_said_as_in_a_file():
    assert value_of("source", "null") is value_of("language", "") is None
    assert value_of("source", "/m #2") == "/m #2"


def test_layers_may_be_a_list_without_brackets():
    assert value_of("init_layers", "0,4,7") == [0, 4, 7]
    assert value_of("init_layers", "3") == [3]
    assert value_of("init_layers", "even") == "even"


def test_a_list_is_words():
    found = tree("--train_splits=train-clean-100", "--valid_depths=4,8")
    assert found["train_splits"] == ["train-clean-100"]
    assert found["valid_depths"] == [4, 8]
    assert value_of("valid_depths", "[4, 8]") == [4, 8]
    assert value_of("search_splits", "") == []


def test_a_setting_is_no_abbreviation_of_an_option():
    with pytest.raises(ValueError, match="no hyperparameter is called `log`"):
        main([FILE, "--log=x"])
    with pytest.raises(ValueError, match="`--lr` must have a value"):
        main([FILE, "--lr", "--debug"])
    assert parse([FILE, "--lr", "0.1", "--debug"])[2] == {"lr": 0.1}


def test_an_option_of_a_block_is_shown_with_it():
    with pytest.raises(ValueError, match="try `gates.p_open`, `decoder_gates"):
        tree("--p_open=0.3", file="hparams/whisper_any_depth.yaml")
    with pytest.raises(ValueError, match="`p_open`: try `gates.p_open`$"):
        tree("--p_open=0.3")


def test_data_must_be_named():
    with pytest.raises(ValueError, match="`data_folder` must be given: --data"):
        main([FILE])


def test_small_numbers_reach_the_optimizer_as_numbers():
    assert tree("--lr=1e-5")["lr"] == 1e-5
