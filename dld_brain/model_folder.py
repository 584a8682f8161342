"""What a finished run leaves: the folder `pretrained`, written and read.

hyperparams.yaml, model.ckpt, normalize.ckpt, tokenizer.ckpt (of a
classification, label_encoder.ckpt) and depth_table.ckpt, as SpeechBrain's
interfaces read them, and depth_report.json.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.processing.features import InputNormalization

from dld_brain.depth_table import DepthTable, checkpoint_hash
from dld_brain.encoder.part import ADDED, ROUTER, count_layers, part_state
from dld_brain.gates.gates import Gates
from dld_brain.tasks import Task, find_task

FILES = (
    "hyperparams.yaml",
    "model.ckpt",
    "normalize.ckpt",
    "depth_table.ckpt",
)

#: What inference needs beside the encoder.
INFERENCE_YAML = """
####################### Inference #############################################
n_layers: null  # of the layers, those of this depth alone are loaded
depth_table: !new:dld_brain.depth_table.DepthTable
{vocabulary}audio_normalizer: !new:speechbrain.dataio.preprocess.AudioNormalizer
    sample_rate: !ref <sample_rate>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        depth_table: !ref <depth_table>
        model: !ref <model>
        normalize: !ref <normalize>
        {key}: !ref <{key}>
    custom_hooks:
        depth_table: !name:dld_brain.depth_table.read_table
        model: !name:dld_brain.model_folder.load_state_strictly
            table: !ref <depth_table>
            n_layers: !ref <n_layers>
        normalize: !name:dld_brain.model_folder.load_normalizer
        {key}: !name:{hook}
"""


class PretrainedModel(NamedTuple):
    """A model read from a folder.

    Arguments
    ---------
    task : Task
        What it was trained for, with its vocabulary.
    """

    modules: dict[str, torch.nn.Module]
    task: Task
    table: DepthTable
    hparams: dict[str, Any]


def save_weights(
    folder: str,
    modules: Mapping[str, torch.nn.Module],
    task: Task,
) -> str:
    """Writes a model so that interfaces and students can read it.

    Its depth table and `save_hyperparams` come behind it.

    Arguments
    ---------
    folder : str
        Where to; made if need be.
    task : Task
        What it is for, with its vocabulary.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    torch.save(modules["model"].state_dict(), path / "model.ckpt")
    modules["normalize"]._save(path / "normalize.ckpt")
    task.save(path / f"{task.key}.ckpt")
    return checkpoint_hash(path / "model.ckpt")


def save_hyperparams(folder: str, encoder_yaml: str, task: Task) -> None:
    """Writes hyperparams.yaml, which tells that the folder holds a model."""
    inference = INFERENCE_YAML.format(
        vocabulary=task.inference_yaml, key=task.key, hook=task.hook
    )
    Path(folder, "hyperparams.yaml").write_text(
        "# yamllint disable\n" + encoder_yaml + inference
    )


def check_pretrained(folder: str) -> None:
    """Raises unless the folder holds a model.

    Raises
    ------
    FileNotFoundError
        If it does not exist, or a file is missing in it.

    Example
    -------
    >>> check_pretrained("nowhere/pretrained")
    Traceback (most recent call last):
    ...
    FileNotFoundError: nowhere/pretrained must hold a trained model, but ...
    """
    missing = [f for f in FILES if not Path(folder, f).is_file()]
    if missing:
        state = "lacks " + ", ".join(missing)
        if not Path(folder).is_dir():
            state = "does not exist"
        raise FileNotFoundError(
            f"{folder} must hold a trained model, but {state}: give the "
            f"folder `pretrained` of a finished run"
        )


def load_pretrained(folder: str) -> PretrainedModel:
    """Reads a model, strictly, on the CPU.

    Raises
    ------
    ValueError
        If a file in it does not fit.
    """
    check_pretrained(folder)
    with open(Path(folder, "hyperparams.yaml"), encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file)
    pretrainer = hparams["pretrainer"]
    pretrainer.collect_files(default_source=str(folder))
    pretrainer.load_collected()
    task = find_task(hparams["task"])
    return PretrainedModel(
        hparams["modules"],
        task(hparams[task.key]),
        hparams["depth_table"],
        hparams,
    )


def load_normalizer(normalizer: InputNormalization, path: Any) -> None:
    """Loads feature statistics; a hook of SpeechBrain's Pretrainer."""
    try:
        normalizer._load(path)
    except Exception as error:  # torch and pickle raise many kinds
        raise ValueError(
            f"{path} cannot be read as feature statistics (is it whole?): "
            f"{error}"
        ) from error
    if normalizer.norm_type == "global" and normalizer.count == 0:
        raise ValueError(f"{path} holds the statistics of no utterance")


def copy_weights(
    source: Mapping[str, torch.nn.Module],
    target: Mapping[str, torch.nn.Module],
    name: str,
    gates: Optional[Gates] = None,
) -> None:
    """Starts a model from another: weights and feature statistics.

    The statistics stay as they are: student and teacher see one set of
    features. What depths have of their own, and a router, the model may have
    beside the other's weights; they stay as they are made.

    Arguments
    ---------
    source : mapping of str to torch.nn.Module
        `normalize` and `model` of the trained model.
    target : mapping of str to torch.nn.Module
        The same of the model that starts.
    name : str
        Where the source is from, for the message.
    gates : Gates, optional
        Open where the model has the source's layer; all if not given.
    """
    state = source["model"].state_dict()
    if gates is not None:
        state = part_state(state, gates, source["model"].layers)
    own = target["model"].state_dict()
    if target["model"].router is None:  # its decisions are in a depth table
        state = {k: v for k, v in state.items() if not k.startswith(ROUTER)}
    state = {
        **{k: v for k, v in own.items() if k.startswith(ADDED)},
        **state,
    }
    try:
        target["model"].load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"the model must have the shape of {name}, from which it "
            f"starts, but differs: {str(error).splitlines()[1].strip()}"
        ) from None
    target["normalize"]._load_statistics_dict(
        source["normalize"]._statistics_dict()
    )
    target["normalize"].update_until_epoch = 0


def load_state_strictly(
    module: torch.nn.Module,
    path: Any,
    table: Optional[DepthTable] = None,
    n_layers: Optional[int] = None,
) -> None:
    """Loads a module's weights, all of them and no others.

    SpeechBrain's default hook keeps random weights where the file has
    none. Usable as a hook of SpeechBrain's `Pretrainer`.

    Arguments
    ---------
    n_layers : int, optional
        The module has the layers of this depth alone: the others are left
        out, and not read.

    Raises
    ------
    ValueError
        If the file cannot be read, a weight is missing, surplus or of
        another shape, the table is of other weights, or the layers of one
        depth alone are not that depth.

    Example
    -------
    >>> path = getfixture("tmpdir") / "model.ckpt"
    >>> torch.save({}, path)
    >>> load_state_strictly(torch.nn.Linear(1, 1, bias=False), path)
    Traceback (most recent call last):
    ...
    ValueError: ...model.ckpt does not fit the model: missing: weight
    """
    try:
        state = torch.load(
            path, map_location="cpu", weights_only=True, mmap=True
        )
    except Exception as error:  # torch and pickle raise many kinds
        raise ValueError(
            f"{path} cannot be read as weights (is it whole?): {error}"
        ) from error
    if table is not None and n_layers is not None:
        gates = Gates.of(table.layers(n_layers), count_layers(state))
        state = part_state(state, gates, module.layers)
    own = module.state_dict()
    shared = own.keys() & state.keys()
    wrong = {
        "missing": sorted(own.keys() - state.keys()),
        "surplus": sorted(state.keys() - own.keys()),
        "other shape": sorted(
            f"{name} is {list(state[name].shape)}, "
            f"must be {list(own[name].shape)}"
            for name in shared
            if state[name].shape != own[name].shape
        ),
    }
    found = [
        f"{kind}: {', '.join(names[:3])}"
        + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        for kind, names in wrong.items()
        if names
    ]
    if found:
        raise ValueError(f"{path} does not fit the model: {'; '.join(found)}")
    if table is not None:
        table.check_model(checkpoint_hash(path))
    module.load_state_dict(state, strict=True)


def load_for_inference(source: str) -> PretrainedModel:
    """Reads a model and puts it in eval mode."""
    model = load_pretrained(source)
    for module in model.modules.values():
        module.eval()
    return model
