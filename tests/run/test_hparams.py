"""Every file of hparams/ is built and trained for two steps."""

import json
from pathlib import Path

import pytest
import torch
from conftest import HF_SIZE, small, small_slu, small_wavlm, small_whisper
from hyperpyyaml import load_hyperpyyaml

from dld_brain.model_folder import load_pretrained
from dld_brain.run.main import train as main

pytestmark = pytest.mark.slow

#: A wav2vec 2.0 of 3 layers with a CTC head and a Whisper with its decoder, as
#: transformers writes them, and a Conformer as SpeechBrain's recipes leave it;
#: with their tokens.
MODELS = {
    "pretrained": ("tests/samples/hub_ctc", 32),
    "speechbrain": ("tests/samples/encoder_asr", 29),
    "whisper_any_depth": ("tests/samples/whisper", 259),
}
YAMLS = sorted(Path("hparams").glob("*.yaml"))


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: p.stem)
def test_it_loads_as_speechbrain_loads_it(
    path, tmp_path, hf_folder, whisper_folder
):
    overrides = {"data_folder": str(tmp_path), "output_folder": str(tmp_path)}
    if path.stem.startswith("wavlm"):
        overrides["encoder"] = {"source": hf_folder}
    if path.stem.startswith("whisper"):
        overrides["encoder"] = {"source": str(whisper_folder), "n_mels": 16}
    if path.stem.startswith("pretrained"):
        overrides["encoder"] = {"config": {"model_type": "hubert", **HF_SIZE}}
    with open(path) as file:
        hparams = load_hyperpyyaml(file, overrides)
    assert hparams["recipe"]["data_folder"] == str(tmp_path)
    assert sum(
        p.numel() for p in hparams["encoder"]["modules"]["model"].parameters()
    )


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: p.stem)
def test_it_trains_two_steps(path, tmp_path, request):
    name = path.stem.partition("_")[0]
    encoder = name if name in ("wavlm", "whisper") else "conformer"
    options = {
        "output_folder": f"{tmp_path}/1",
        "number_of_epochs": 1,
        "batch_size": 2,  # 3 utterances: two steps
        "max_batch_seconds": 0,
        "schedule.n_warmup_steps": 1,
    }
    model = MODELS.get(path.stem, MODELS.get(name))
    if model is not None:
        encoder = "!ref <output_folder>"
        options["model"], options["vocab_size"] = model
        options["gates"] = "bernoulli"  # of depths that 3 layers have
    has_teacher = f"teacher: {encoder}" in path.read_text()
    if encoder != "conformer":
        del options["schedule.n_warmup_steps"]
    if path.stem == "quickstart":
        options["valid_depths"] = "[2]"
    if path.stem == "whisper_any_depth":  # random, it writes nothing right
        options["transcripts"] = "corpus"
        main([str(path), *small_whisper(**options)])
    elif "slu" in path.stem:
        if has_teacher:
            options["teacher"] = (
                request.getfixturevalue("slu_run") / "pretrained"
            )
        main([str(path), *small_slu(**options)])
    elif "model" in options:
        main([str(path), *small_wavlm(**options)])
    elif encoder == "conformer":
        if has_teacher:
            options["teacher"] = request.getfixturevalue("pretrained")
        main([str(path), *small(**options)])
    elif encoder == "whisper":
        options["source"] = request.getfixturevalue("whisper_folder")
        if has_teacher:
            options["teacher"] = request.getfixturevalue("pretrained_whisper")
        main([str(path), *small_whisper(**options)])
    else:
        if has_teacher:
            options["teacher"] = request.getfixturevalue("pretrained_wavlm")
        source = request.getfixturevalue("hf_folder")
        main([str(path), *small_wavlm(source=source, **options)])
    log = (tmp_path / "1/train_log.txt").read_text()
    assert "steps: 2" in log
    assert ("kl" in log) == has_teacher
    model = load_pretrained(f"{tmp_path}/1/pretrained").modules["model"]
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_options_of_speechbrain_reach_the_training(tmp_path, pretrained):
    options = small(
        teacher=pretrained,
        output_folder=f"{tmp_path}/1",
        number_of_epochs=1,
        grad_accumulation_factor=2,
        logger="tensorboard",
        decoding="{search: beam, beam_size: 5}",
        gates="uniform",
        closed="norm",
        precision="bf16",
    )
    with pytest.raises(ValueError, match="no hyperparameter is called"):
        main(["hparams/conformer_dld.yaml", *options, "--nonsense=1"])
    main(["hparams/conformer_dld.yaml", *options])
    assert (tmp_path / "1/wer_test_n3.txt").is_file()


@pytest.mark.parametrize(
    "changes",
    [
        {"gates": "stochastic_depth", "distillation": "near_tokens"},
        {
            "gates": "uniform",
            "gates.family": "random",
            "distillation": "l2",
        },
        {
            "gates": "every_depth",
            "gates.family": "prefix",
            "per_depth": "head",
            "selection": "trained",
        },
        {
            "gates": "sandwich",
            "distillation.in_place_weight": 1.0,
            "distillation.temperature": 2.0,
        },
    ],
    ids=lambda changes: changes["gates"],
)
def test_methods_are_a_few_words_of_the_command_line(
    changes, tmp_path, pretrained
):
    options = {"number_of_epochs": 1, "layer_importance": False, **changes}
    main(
        [
            "hparams/conformer_dld.yaml",
            *small(
                teacher=pretrained, output_folder=f"{tmp_path}/1", **options
            ),
        ]
    )
    log = (tmp_path / "1/train_log.txt").read_text()
    assert "train kl" in log
    assert ("train in_place" in log) == (
        "distillation.in_place_weight" in changes
    )
    report = json.loads((tmp_path / "1/depth_report.json").read_text())
    assert report["gates"] == changes["gates"]
