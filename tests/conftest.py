"""Fixtures: a finished run, its model, real speech."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from processes import calibrated_folder, start  # noqa: F401
from serving import client, client_of, extra, served, served_folder  # noqa: F401

from pretrained_interfaces import DynamicEncoderASR
from pretrained_interfaces.depths.calibration import Calibration, machine

REPOSITORY = Path(__file__).resolve().parent.parent
#: Loaded by Schemathesis (extra `fuzz`), in a process of its own.
collect_ignore = ["fuzz/api_hooks.py"]
#: Folder with an4/, librispeech/, tedlium3/ and fluent_speech_commands/: real
#: speech, not part of the repository.
SPEECH_VARIABLE = "DLD_SPEECH_DATA"
#: Four commands in the layout of Fluent Speech Commands.
INTENTS = "tests/samples/FluentSpeechCommands"


#: Sizes of the Hugging Face models that tests make.
HF_SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}

#: Sizes of the Whispers that tests make; 30 s is what all of them hear.
WHISPER_SIZE = {
    "num_mel_bins": 16,
    "d_model": 32,
    "encoder_layers": 3,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_layers": 1,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 64,
    "vocab_size": 60,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "decoder_start_token_id": 0,
}


def pytest_addoption(parser):
    """The flag of the test that downloads."""
    parser.addoption(
        "--download", action="store_true", help="fetch microsoft/wavlm-base"
    )


#: What takes a training: a test that needs one is slow.
TRAINED = {
    "finished_run",
    "finished_wavlm_run",
    "pretrained_whisper",
    "slu_run",
    "real_speech",
}


def pytest_collection_modifyitems(items):
    """Marks the tests that need a trained model."""
    for item in items:
        if TRAINED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def in_repository(monkeypatch):
    """Paths in tests start from the repository."""
    monkeypatch.chdir(REPOSITORY)


@pytest.fixture(scope="session")
def real_speech():
    """The folder of real speech, or a skip that says how to give it."""
    folder = os.environ.get(SPEECH_VARIABLE)
    if not folder:
        pytest.skip(f"{SPEECH_VARIABLE} names no folder of real speech")
    return Path(folder)


def run_train(*arguments: str, check: bool = True):
    """Runs train.py on the CPU, as a user would."""
    return subprocess.run(
        [sys.executable, "train.py", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=check,
    )


def small(**changes) -> list[str]:
    """Options of a model and a corpus small enough for a test that trains."""
    options = {
        "corpus": "AN4",
        "data_folder": "tests/samples/AN4",
        "vocab_size": 11,
        "max_unspellable": 1,  # three utterances have few letters
        "n_total": 3,
        "d_model": 32,
        "d_ffn": 64,
        "n_heads": 2,
        "kernel_size": 7,
        "num_workers": 0,
        "random_draws": 0,
        **changes,
    }
    flags = [f"--{key}={value}" for key, value in options.items()]
    return [*flags, "--noprogressbar", "--device=cpu"]


def save_hf(folder, kind: str, is_large: bool, **changes):
    """Saves a small Hugging Face model; of the large models' layout or not."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        kind,
        **{**HF_SIZE, **changes},
        do_stable_layer_norm=is_large,
        feat_extract_norm="layer" if is_large else "group",
    )
    model = transformers.AutoModel.from_config(config)
    for weight in model.parameters():  # as made, the biases say nothing
        torch.nn.init.normal_(weight, weight.mean().item(), 0.1)
    model.save_pretrained(folder)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=False)
    extractor.save_pretrained(folder)
    return model.eval()


def save_whisper(folder, **changes):
    """Saves a small Whisper as transformers does; nothing in it is as made."""
    torch.manual_seed(0)
    config = transformers.WhisperConfig(**{**WHISPER_SIZE, **changes})
    model = transformers.WhisperForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if "positions" not in name:
            torch.nn.init.normal_(weight, weight.mean().item(), 0.1)
    model.save_pretrained(folder)
    return model.eval()


def small_wavlm(**changes) -> list[str]:
    """Options of a WavLM run small enough for a test that trains."""
    options = {
        "corpus": "AN4",
        "data_folder": "tests/samples/AN4",
        "vocab_size": 11,
        "max_unspellable": 1,  # three utterances have few letters
        "schedule.n_updates": 10,
        "random_draws": 0,
        **changes,
    }
    flags = [f"--{key}={value}" for key, value in options.items()]
    return [*flags, "--noprogressbar", "--device=cpu"]


def small_whisper(**changes) -> list[str]:
    """Options of a Whisper run small enough for a test that trains."""
    options = {
        "corpus": "AN4",
        "data_folder": "tests/samples/AN4",
        "vocab_size": 11,
        "n_mels": 16,
        "max_unspellable": 1,
        "random_draws": 0,
        "number_of_epochs": 1,
        "max_freq_drop": 6,
        **changes,
    }
    flags = [f"--{key}={value}" for key, value in options.items()]
    return [*flags, "--noprogressbar", "--device=cpu"]


def small_slu(**changes):
    """Options of a classifier small enough for a test that trains."""
    options = {
        "data_folder": INTENTS,
        "vocab_size": 4,
        "n_total": 3,
        "d_model": 32,
        "d_ffn": 64,
        "n_heads": 2,
        "kernel_size": 7,
        "num_workers": 0,
        "random_draws": 1,
        "number_of_epochs": 2,
        **changes,
    }
    flags = [f"--{key}={value}" for key, value in options.items()]
    return [*flags, "--noprogressbar", "--device=cpu"]


def latest_checkpoint(run: Path) -> Path:
    """Folder of the newest checkpoint of a run."""
    return sorted((run / "save").glob("CKPT+*"))[-1]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """Output folder of a DLD run whose teacher was trained on the way."""
    folder = tmp_path_factory.mktemp("run")
    result = run_train(
        "hparams/conformer_dld.yaml",
        *small(
            output_folder=f"{folder}/dld/1",
            number_of_epochs=2,
            teacher_overrides="{number_of_epochs: 2, output_folder: "
            f"{folder}/teacher/1}}",
            random_draws=1,
        ),
    )
    (folder / "stdout.txt").write_text(result.stdout)
    return folder / "dld/1"


@pytest.fixture(scope="session")
def pretrained(finished_run):
    """The folder `pretrained` of that run."""
    return finished_run / "pretrained"


@pytest.fixture(scope="session")
def hf_folder(tmp_path_factory):
    """Folder of a small WavLM, as Hugging Face saves one."""
    folder = tmp_path_factory.mktemp("hf")
    save_hf(folder, "wavlm", False)
    return str(folder)


@pytest.fixture(scope="session")
def finished_wavlm_run(tmp_path_factory):
    """A DLD run of a WavLM folder, which is gone when it ends."""
    folder = tmp_path_factory.mktemp("wavlm")
    save_hf(folder / "hf", "wavlm", False)
    run_train(
        "hparams/wavlm_dld.yaml",
        *small_wavlm(
            source=folder / "hf",
            output_folder=f"{folder}/dld/1",
            number_of_epochs=2,
            teacher_overrides="{number_of_epochs: 2, output_folder: "
            f"{folder}/teacher/1}}",
        ),
    )
    (folder / "hf").rename(folder / "away")
    return folder / "dld/1"


@pytest.fixture(scope="session")
def pretrained_wavlm(finished_wavlm_run):
    """The folder `pretrained` of that run."""
    return finished_wavlm_run / "pretrained"


@pytest.fixture(scope="session")
def whisper_folder(tmp_path_factory):
    """Folder of a small Whisper, as transformers saves one."""
    folder = tmp_path_factory.mktemp("whisper")
    save_whisper(folder)
    return folder


@pytest.fixture(scope="session")
def pretrained_whisper(tmp_path_factory):
    """The model of a run that trained a Whisper, whose source is gone."""
    folder = tmp_path_factory.mktemp("whisper_run")
    save_whisper(folder / "hf")
    run_train(
        "hparams/whisper_teacher.yaml",
        *small_whisper(source=folder / "hf", output_folder=f"{folder}/1"),
    )
    (folder / "hf").rename(folder / "away")
    return folder / "1/pretrained"


@pytest.fixture(scope="session")
def slu_run(tmp_path_factory):
    """Output folder of a DLD run of a classifier."""
    folder = tmp_path_factory.mktemp("slu")
    run_train(
        "hparams/conformer_slu_dld.yaml",
        *small_slu(
            output_folder=f"{folder}/conformer_slu_dld/1",
            keep_epochs="[1]",
            selection="exhaustive",
            teacher_overrides="{number_of_epochs: 3, random_draws: 0, "
            f"output_folder: {folder}/conformer_slu_teacher/1}}",
        ),
    )
    return folder / "conformer_slu_dld/1"


@pytest.fixture
def folder(pretrained, tmp_path):
    """A copy of a model folder that a test may change."""
    for file in pretrained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture
def asr(folder):
    return DynamicEncoderASR.from_hparams(source=folder)


@pytest.fixture
def made_up(asr):
    """Makes a calibration of this machine with latencies for 1 and 3 s."""

    def make(*latencies):
        times = {n: list(t) for n, t in enumerate(latencies, start=1)}
        model, here = asr.table.model, machine(asr.device)
        return Calibration(model, here, [1.0, 3.0], times, times)

    return make


@pytest.fixture
def calibrated(asr, made_up):
    asr.calibration = made_up((0.1, 0.2), (0.2, 0.6), (0.4, 1.6))
    return asr
