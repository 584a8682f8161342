"""Settings: values of the command line, and hparams files of one's own."""

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import speechbrain.utils.logger
from dld_brain.run.command_line import parse
from dld_brain.run.config import compose
from dld_brain.run.main import main
from dld_brain.run.settings import KINDS
from tests.fuzz.console import follow
from tests.fuzz.harness import REPOSITORY, Case, Refused, Wrong

# SpeechBrain asks pip for a list of packages at each start.
speechbrain.utils.logger.get_environment_description = lambda: ""
SMALL = (
    "--n_total=3",
    "--d_model=16",
    "--d_ffn=32",
    "--n_heads=2",
    "--vocab_size=11",
    "--device=cpu",
    "--noprogressbar",
)
#: Values that are of another type than most settings, or out of range.
ODD = ("", "null", "nan", "-1", "1e400", "[1, [2]]", "{a: 1}", "2026-01-01",
       "!new:os.getcwd", "!ref <seed>", "!ref <nothing>", "a\nb", "\0", "[", "*x",
       "'", "%", "9" * 400, "x" * 300, "٣", "\udcff", "- 1", "? 1", "1_000", "0x10", "1:30")  # fmt: skip
#: Sizes that nothing has the memory for.
HUGE = ("n_total", "d_model", "d_ffn", "n_heads", "kernel_size", "vocab_size", "n_mels", "n_fft",
        "window_ms", "hop_ms", "sample_rate", "num_workers", "number_of_epochs", "random_draws", "seed", "batch_size")  # fmt: skip


def start(folder: Path, name: str, *words: str) -> None:
    """Does what a training does before it looks at data."""
    place = (f"--data_folder={folder}/none", f"--output_folder={folder}/run")
    try:
        follow(main, [name, *place, "--corpus=AN4", *SMALL, *words])
    except Refused as error:  # of what is behind the settings
        if not re.search(r"data_folder.*/none", str(error)):
            raise


def of(
    name: str,
    words: tuple[str, ...],
    must: str = "",
    names: tuple[str, ...] = (),
    recipe: str = "conformer_teacher",
) -> Case:
    """A case of a command line."""
    keys = [w.removeprefix("--").partition("=")[0] for w in words]
    pattern = "|".join([*(k.replace(".", r"\.") for k in keys), "must hold"])

    def prepare(folder: Path, rng: random.Random) -> Callable[[], Any]:
        return lambda: start(folder, recipe, *words)

    return Case(name, prepare, names or (pattern,), must)


def values(seed: int) -> Iterator[Case]:
    """Keys with values that are odd."""
    yield of("as it is", (), "ok")
    for key in sorted(KINDS):
        if key in ("source", "config", "normalize_wav", "freeze_stem"):
            continue  # of another encoder
        for value in random.Random(f"{seed}:{key}").sample(ODD, 2):
            shown = (
                value if len(value) < 20 else f"{value[:3]}... ({len(value)})"
            )
            yield of(f"{key}={shown!r}", (f"--{key}={value}",))
    for key in HUGE:
        yield of(f"{key}=10^9", (f"--{key}=1000000000",))
        yield of(f"{key}=10^30", (f"--{key}={10**30}",))
    for key, value, must in (
        ("batch_size", "8", "ok"), ("lr", "1e-3", "ok"), ("lr", "0", "clear"), ("lr", "0.1 # x", ""),
        ("lr", "1,5", "clear"), ("d_model", "15", "clear"), ("d_model", "17", "clear"), ("kernel_size", "8", "clear"),
        ("hop_ms", "0.001", "clear"), ("window_ms", "0.001", "clear"), ("n_fft", "1", "clear"), ("n_fft", "16", "clear"),
        ("hop_ms", "100", ""), ("window_ms", "40", "clear"), ("sample_rate", "1", "clear"), ("n_mels", "300", ""),
        ("dropout", "1", ""), ("seed", "-1", "clear"), ("max_train_seconds", "0.01", ""),
        ("valid_depths", "4", "clear"), ("valid_depths", "2,2", "clear"), ("valid_depths", "[]", "ok"),
        ("test_depths", "1,2,3", "ok"), ("test_depths", "0", "clear"), ("keep_epochs", "0", "clear"),
        ("train_splits", "train", "ok"), ("train_splits", "[train]", "ok"), ("train_splits", "[train", "clear"),
        ("train_splits", ",", "clear"), ("init_layers", "[0, 1, 99]", ""), ("init_layers", "[-1]", "clear"),
        ("corpus", "Klingon", "clear"), ("corpus", "../AN4", "clear"), ("corpus", "AN4/", "clear"), ("corpus", "[AN4]", "clear"),
        ("corpus", "3", "clear"), ("corpus_options", "{x: 1}", ""), ("task", "Transcription", "clear"),
        ("language", "english", ""), ("logger", "wandb", ""), ("output_folder", "", "clear"),
    ):  # fmt: skip
        yield of(f"{key}={value!r}, of our own", (f"--{key}={value}",), must)


def keys(seed: int) -> Iterator[Case]:
    """Keys that are none, twice, or without a value."""
    for name, words, must in (
        ("unknown", ("--x=1",), "clear"),
        ("misspelt", ("--lern_rate=1",), "clear"),
        ("hyphens", ("--batch-size=8",), ""),
        ("capitals", ("--LR=0.1",), "clear"),
        ("one hyphen", ("-lr=0.1",), "clear"),
        ("no hyphen", ("lr=0.1",), "clear"),
        ("no value", ("--lr",), "clear"),
        ("no key", ("--=1",), "clear"),
        ("hyphens alone", ("--",), ""),
        ("twice", ("--lr=0.1", "--lr=0.2"), ""),
        ("private", ("--__set_seed=1",), ""),
        ("an object", ("--model=1",), ""),
        ("modules", ("--modules={}",), ""),
        ("checkpointer", ("--checkpointer=null",), ""),
        ("opt_class", ("--opt_class=torch.optim.SGD",), ""),
        ("epoch_counter", ("--epoch_counter=3",), ""),
        ("augmentation", ("--wav_augment=3",), ""),
        ("an include", ("--encoder=conformer",), ""),
        ("an encoder", ("--architecture=whisper",), ""),
        ("dotted", ("--lr.x=1",), "clear"),
        ("twice dotted", ("--gates.a.b=1",), "clear"),
        ("a dot alone", ("--.=1",), "clear"),
        ("of another encoder", ("--normalize_wav=True",), "clear"),
        ("another file", ("hparams/conformer_rd.yaml",), "clear"),
    ):
        yield of(f"key: {name}", words, must, (".",))


def blocks(seed: int) -> Iterator[Case]:
    """Blocks: choices and their options."""
    for words, must in (
        ("gates=full", "ok"), ("gates=none", "clear"), ("gates=[full]", "clear"), ("gates={}", ""), ("gates={p_open: 0.3}", "ok"),
        ("gates={sampler: full, p_open: 0.3}", "clear"), ("gates={sampler: [full]}", "clear"), ("gates={1: 2}", "clear"),
        ("gates.p_open=", "clear"), ("gates.p_open=0", ""), ("gates.p_open=-0.1", "clear"), ("gates.p_open=nan", "clear"),
        ("gates.p_open={}", "clear"), ("gates.=1", "clear"), ("gates.sampler=sandwich", "ok"), ("gates.n_total=3", "clear"), ("gates.seed=3", "clear"),
        ("gates.self=3", "clear"), ("gates={sampler: uniform, min_layers: 0}", "clear"), ("gates={sampler: uniform, min_layers: 4}", "clear"),
        ("gates={sampler: uniform, depth_step: 0}", "clear"), ("gates={sampler: uniform, depth_step: 10}", ""), ("gates={sampler: uniform, family: odd}", "clear"),
        ("gates={sampler: uniform, family: ends, n_last: 9}", ""), ("gates={sampler: uniform, table: /no/such}", "clear"), ("gates={sampler: uniform, table: [1]}", "clear"),
        ("gates=routed", ""), ("distillation=kl", "ok"), ("distillation.weight=1e400", "clear"), ("distillation.temperature=-1", "clear"),
        ("distillation.temperature=1e-300", ""), ("distillation={divergence: near_tokens, width: 1}", ""), ("distillation=null", "clear"),
        ("distillation.in_place_weight=1", "clear"), ("schedule=noam", ""), ("schedule.n_warmup_steps=1.5", "clear"), ("schedule.n_warmup_steps=1e3", ""),
        ("schedule={kind: tri_stage, n_updates: 0}", "clear"), ("schedule={kind: tri_stage, n_updates: 10}", "ok"), ("schedule={kind: tri_stage, n_updates: -5}", "clear"),
        ("router=top_k", ""), ("router={kind: global, hidden: 0}", ""), ("router={kind: global, hidden: 10000000000}", ""), ("router={kind: mask, x: 1}", "clear"),
        ("router=3", "clear"), ("selection=exhaustive", "ok"), ("selection={strategy: beam, width: 0}", ""), ("selection={strategy: random, n_draws: -1}", ""),
        ("selection=best", "clear"), ("decoding=beam", ""), ("decoding={search: beam, beam_size: 0}", ""), ("decoding={search: beam, beam_size: -3}", ""),
        ("decoding={search: beam, kenlm_model_path: /no/such}", ""), ("decoding={search: beam, x: 1}", "clear"), ("decoding.beam_size=3", "clear"),
        ("logger=tensorboard", ""), ("logger={kind: wandb, project: 3}", "clear"), ("logger={kind: file, x: 1}", "clear"), ("closed=affine", "ok"), ("per_depth=head", "ok"),
        ("compare_selections=best", "clear"), ("compare_selections=greedy,beam", "ok"), ("search_splits=test", "clear"),
    ):  # fmt: skip
        names = (re.split("[.=]", words)[0],)
        flags = ("--teacher=", f"--{words}")
        yield of(f"block: {words}", flags, must, names, "conformer_dld")


def options(seed: int) -> Iterator[Case]:
    """SpeechBrain's options."""
    for words, must in (
        ("--device=gpu", "clear"), ("--device=cuda:99", "clear"), ("--device=", "clear"), ("--device", "clear"),
        ("--device=cpu", "ok"), ("--device=auto", "ok"), ("--precision=fp8", "clear"), ("--precision=bf16", "ok"),
        ("--max_grad_norm=abc", "clear"), ("--max_grad_norm=nan", "clear"), ("--max_grad_norm=0", "clear"), ("--grad_accumulation_factor=0", "clear"),
        ("--grad_accumulation_factor=x", "clear"), ("--grad_accumulation_factor=-1", "clear"), ("--debug", "ok"), ("--debug_batches=x", "clear"), ("--log_config=/no/such.yaml", ""),
        ("--jit_module_keys=x", ""), ("--compile_module_keys=x", ""), ("--noprogressbar=x", ""), ("--ckpt_interval_minutes=-1", "clear"), ("--ckpt_interval_minutes=x", "clear"),
        ("--distributed_backend=x", ""), ("--data_parallel_backend", ""), ("--eval_precision=fp8", "clear"), ("--auto_mix_prec=x", ""), ("--skip_grad_norm", ""),
        ("--nonfinite_patience=-1", ""), ("--nonfinite_patience=x", "clear"), ("--profile_steps=x", "clear"), ("--test_only", "ok"), ("--test_only=x", ""), ("--remove_vector_weight_decay=x", ""),
    ):  # fmt: skip
        key = words.removeprefix("--").partition("=")[0]
        yield of(f"option: {words}", (words,), must, (key,))


def paths(seed: int) -> Iterator[Case]:
    """Paths are what they are."""
    odd = ("a #3", "run: two", "2024", "[a]", "a$b", "a=b", "null", "~", "-", "a'b", 'a"b', "{a}", "*", "ä ö", " a", "a ", "%s", "!x", "&x", "a\\b", "1e3", "@a")  # fmt: skip
    for path in odd:

        def prepare(
            folder: Path, rng: random.Random, p: str = path
        ) -> Callable[[], Any]:
            return lambda: keep(f"{folder}/{p}")

        yield Case(f"path: {path!r}", prepare, must="ok")


def keep(path: str) -> None:
    """Reads a command line with a path in it."""
    words = [f"--{key}={path}" for key in ("data_folder", "output_folder")]
    file, _, told = parse(["hparams/conformer_teacher.yaml", *words])
    settings = compose(file, told).settings()
    found = settings.data.data_folder, settings.start.output_folder
    if found != (path, path) or settings.start.save_folder != f"{path}/save":
        raise Wrong(f"{path!r} became {found!r}")


def texts(seed: int) -> Iterator[Case]:
    """hparams files of one's own."""
    shared = REPOSITORY / "hparams/shared"
    good = (REPOSITORY / "hparams/conformer_teacher.yaml").read_text()
    good = good.replace("include:shared", f"include:{shared}")
    changes: dict[str, Callable[[str], Any]] = {
        "elsewhere": lambda t: t,
        "empty": lambda t: "",
        "a list": lambda t: "- 1",
        "a word": lambda t: "word",
        "no YAML": lambda t: t + "\n[",
        "a tab": lambda t: t + "\n\tx: 1",
        "a NUL": lambda t: t + "\0",
        "Latin-1": lambda t: (t + "# \xe4").encode("latin-1"),
        "UTF-16": lambda t: t.encode("utf-16"),
        "BOM": lambda t: t.encode("utf-8-sig"),
        "CRLF": lambda t: t.replace("\n", "\r\n").encode(),
        "binary": lambda t: bytes(range(256)),
        "a key twice": lambda t: t + "\nseed: 3\n",
        "an unknown key": lambda t: t + "\nlern_rate: 3\n",
        "a key in the recipe": lambda t: t + "    lern_rate: 3\n",
        "no encoder": lambda t: t.replace("encoder:", "encodder:"),
        "no recipe": lambda t: t.partition("recipe:")[0],
        "encoder a word": lambda t: (
            t.partition("encoder:")[0] + "encoder: conformer\nrecipe: x\n"
        ),
        "includes nothing": lambda t: t.replace("conformer.yml", "nothing.yml"),
        "includes itself": lambda t: t.replace(
            f"{shared}/recipe.yml", "mine.yaml"
        ),
        "includes a folder": lambda t: t.replace("/recipe.yml", ""),
        "a reference to nothing": lambda t: t.replace(
            "<corpus>/conf", "<korpus>/conf"
        ),
        "a reference in a circle": lambda t: t.replace(
            "seed: 1986", "seed: !ref <seed>"
        ),
        "an alias": lambda t: t.replace("1986", "*x"),
        "a laugh": lambda t: t + "\nx: &x [1]\ny: [" + "*x, " * 500 + "]",
        "no seed": lambda t: t.replace("seed: 1986", ""),
        "no output_folder": lambda t: "\n".join(
            x for x in t.split("\n") if not x.startswith("output")
        ),
        "a number for gates": lambda t: t.replace("{sampler: full}", "3"),
        "nested": lambda t: t + "\nx: " + "[" * 150 + "]" * 150,
    }
    for name, change in changes.items():

        def prepare(
            folder: Path, rng: random.Random, c: Any = change
        ) -> Callable[[], Any]:
            content = c(good)
            path = folder / "mine.yaml"
            path.write_bytes(
                content if isinstance(content, bytes) else content.encode()
            )
            return lambda: start(folder, str(path))

        yield Case(
            f"file: {name}",
            prepare,
            (
                "mine|seed|output|recipe|encoder|gates|lern|nothing|korpus|hyperpar",
            ),
            "ok" if name in ("elsewhere", "BOM", "CRLF") else "",
        )
    for name in (
        "no_such.yaml",
        "conformer_dlld",
        "",
        "/",
        "hparams",
        "../x",
        "a\0b",
        "x" * 300,
        "https://a.org/x.yaml",
    ):

        def missing(
            folder: Path, rng: random.Random, n: str = name
        ) -> Callable[[], Any]:
            return lambda: start(folder, n)

        yield Case(
            f"file: called {name[:20]!r}", missing, ("file|hparams",), "clear"
        )


def cases(seed: int) -> list[Case]:
    """All of them."""
    kinds = (values, keys, blocks, options, paths, texts)
    return [case for kind in kinds for case in kind(seed)]
