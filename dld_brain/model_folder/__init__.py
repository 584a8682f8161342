"""The folder `pretrained` of a finished run: a model that is data.

hyperparams.yaml (sizes, in SpeechBrain's convention), model.safetensors,
normalize.safetensors, tokenizer.model or label_encoder.txt,
depth_table.json, training.json, README.md (a model card), manifest.json; of
a model that was evaluated, depth_report.json, its tables and pictures.

Guarantees: a folder is there whole, old or new, whenever the process dies
(`files.whole`); loading one runs no code that it names (`safe_yaml`); every
file is checked against the manifest first (`manifest`).
"""

from dld_brain.model_folder.read import (
    PretrainedModel,
    check_pretrained,
    load_for_inference,
    load_pretrained,
)
from dld_brain.model_folder.save import add_report, commit, save_model
from dld_brain.model_folder.weights import (
    copy_weights,
    load_state_strictly,
    weights_hash,
)

__all__ = [
    "PretrainedModel",
    "add_report",
    "check_pretrained",
    "commit",
    "copy_weights",
    "load_for_inference",
    "load_pretrained",
    "load_state_strictly",
    "save_model",
    "weights_hash",
]
