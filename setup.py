"""Installs the package; `pip install -e .` from a clone.

Every range was tried in an empty environment; beside each bound is its
reason.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "dld_brain/__init__.py").read_text()
)[1]
# protobuf: vocabularies are written as SentencePiece models.
WAVLM = ["transformers>=5.20,<6", "protobuf>=5,<8"]
TENSORBOARD = ["tensorboard>=2.16,<3"]
QUICKSTART = ["espeakng-loader>=0.2.4,<0.3"]
EXPORT = [
    "onnx>=1.19,<2",
    "onnxscript>=0.5,<0.8",
    "onnxruntime>=1.23,<2",
]
VAD = ["silero-vad>=6,<7"]  # carries its model; needs torch alone
# Drives the system's Chromium in tests; the second carries axe-core.
BROWSER = ["playwright==1.65.2", "axe-playwright-python>=0.1.8,<0.2"]
MIC = ["sounddevice>=0.5,<0.6"]  # PortAudio is the system's on Linux
LM = ["kenlm>=0.3,<0.4", "pygtrie>=2.5,<3"]  # is compiled when installed
# Each was tried with its first and its newest release.
SERVE = [
    "fastapi>=0.128,<1",
    "uvicorn>=0.44,<1",  # pings the clients of streams
    "python-multipart>=0.0.18,<1",
    "prometheus-client>=0.21,<1",
    "websockets>=15,<18",
    "soxr>=0.5,<2",
]
# 2.64 takes away how retries are told (`max_task_retries`).
RAY = ["ray[data,serve]>=2.60,<2.61"]
# Out of `test`: Hypothesis, which it brings, fails inside a process that has
# imported SpeechBrain. Its checks change with each minor release.
FUZZ = ["schemathesis>=4.32.5,<4.33"]
INTERFACES = "pretrained_interfaces"


def data_packages() -> dict[str, str]:
    """Folders of hparams/ and recipes/, by their name in a wheel."""
    tops = (HERE / "hparams", HERE / "recipes")
    folders = [p for top in tops for p in (top, *top.rglob("*")) if p.is_dir()]
    names = [p.relative_to(HERE).as_posix() for p in folders]
    return {
        f"dld_brain.{name.replace('/', '.')}": name
        for name in names
        if not name.endswith(("__pycache__", "results"))
    }


DATA = data_packages()
LINT = ["ruff>=0.12,<0.18", "yamllint>=1.35,<2", "codespell>=2.3,<3"]

setup(
    name="dld-brain",
    version=VERSION,
    description="One speech model that runs at any depth: "
    "Distillation-based Layer Dropping for SpeechBrain",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=[*find_packages(include=["dld_brain*", f"{INTERFACES}*"]), *DATA],
    # hparams/ and recipes/ lie beside the package in a clone, and inside it
    # where a wheel is installed: no other project's `recipes` is in the way.
    package_dir=DATA,
    package_data={
        "dld_brain.paper": ["paper.yaml"],
        "dld_brain.run": ["log_config.yaml"],
        # The model that ships, as `export compact` writes it.
        INTERFACES: ["models/*/*"],
        f"{INTERFACES}.serve": ["page.html"],
        **{name: ["*.yaml", "*.yml"] for name in DATA},
    },
    # What a machine has measured is not the model's.
    exclude_package_data={INTERFACES: ["models/*/calibration.json"]},
    entry_points={"console_scripts": ["dld = dld_brain.cli:main"]},
    install_requires=[
        # torchaudio 2.11 is the last release; it needs torch 2.11 at least,
        # and refuses 2.15, which is built for another CUDA.
        "torch>=2.11,<2.15",
        "torchaudio>=2.11,<2.12",
        # 1.1.2 passes lengths to wrapped encoders; we override its loop.
        "speechbrain>=1.1.2,<1.2",
        # resolve_references is not documented; 1.2.3 takes ruamel.yaml 0.18.
        "hyperpyyaml>=1.2.3,<1.3",
        "ruamel.yaml>=0.17.28,<0.19",
        "pyyaml>=6,<7",  # parser events of a model folder's YAML
        "safetensors>=0.4.3,<0.9",  # SafetensorError
        "huggingface_hub",  # as SpeechBrain has it
        "sentencepiece>=0.2,<0.3",
        "tokenizers>=0.22,<0.24",  # of a Whisper that keeps its decoder
        "jiwer>=4,<5",  # 4 counts empty references
        "matplotlib>=3.9,<4",
        "numpy>=1.26,<3",
        "soundfile>=0.12,<0.15",  # 0.12 reads mp3
        "tqdm>=4.66,<5",
    ],
    extras_require={
        # eSpeak NG, which makes the corpus of the quickstart, is GPL-3.0.
        "quickstart": QUICKSTART,
        "wavlm": WAVLM,
        "export": EXPORT,
        "tensorboard": TENSORBOARD,
        "vad": VAD,
        "lm": LM,
        "serve": SERVE,
        "ray": RAY,
        "mic": MIC,
        "browser": BROWSER,
        "wandb": ["wandb>=0.19,<1"],
        "test": [
            "pytest>=8,<10",
            *QUICKSTART,
            *WAVLM,
            *EXPORT,
            *TENSORBOARD,
            *LM,
            *SERVE,
        ],
        "fuzz": FUZZ,
        "lint": LINT,
    },
)
