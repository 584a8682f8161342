"""Where a run starts: the models it starts from, and their tokens.

Authors
 * The dld_brain authors 2026
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from sentencepiece import SentencePieceProcessor
from speechbrain.utils.distributed import if_main_process

from dld_brain import data
from dld_brain.config import encoder_settings, resolve_key
from dld_brain.pretrained import (
    PretrainedModel,
    check_pretrained,
    load_tokenizer,
)

#: What a student's run has in common with the run of its teacher, beside
#: the encoder: the data.
SHARED_KEYS = (
    "seed",
    "corpus",
    "data_folder",
    "corpus_options",
    "train_splits",
    "valid_splits",
    "test_splits",
    "token_type",
    "num_workers",
)


def find_model(
    source: str,
    hparams_file: str,
    overrides: dict[str, Any],
    hparams: dict[str, Any],
    train: Callable[[str, dict[str, Any]], None],
) -> str:
    """Finds the model that a run starts from; trains it if need be.

    Arguments
    ---------
    source : str
        A folder that holds a model, or the hparams file that makes one,
        given from here or from beside `hparams_file`.
    hparams_file : str
        File of the run that asks.
    overrides : dict
        Its command line.
    hparams : dict
        Its hyperparameters.
    train : callable
        Runs the recipe of an hparams file with a command line.

    Returns
    -------
    str
        The folder.

    Raises
    ------
    FileNotFoundError
        If the folder holds no model.
    """
    if not str(source).endswith(".yaml"):
        check_pretrained(source)
        return source
    recipe = Path(source)
    if not recipe.is_file():
        recipe = Path(hparams_file).parent / source
    settings = {
        **{key: hparams[key] for key in SHARED_KEYS},
        **encoder_settings(hparams_file, overrides),
        **hparams["teacher_overrides"],
    }
    output_folder = resolve_key(str(recipe), "output_folder", settings)
    folder = Path(output_folder, "pretrained")
    if not (folder / "hyperparams.yaml").is_file():
        print(f"{folder} holds no model yet: training it first ({recipe})")
        train(str(recipe), settings)
    check_pretrained(str(folder))
    return str(folder)


def find_tokenizer(
    hparams: dict[str, Any], models: dict[str, PretrainedModel]
) -> Optional[SentencePieceProcessor]:
    """Takes the tokenizer of the models that a run starts from.

    It is kept in `save_folder`, from where a later evaluation takes it.

    Arguments
    ---------
    hparams : dict
        Hyperparameters.
    models : dict of str to PretrainedModel
        The models, by their folder.

    Returns
    -------
    SentencePieceProcessor
        Or None, if there is neither a model nor an earlier run.

    Raises
    ------
    ValueError
        If two differ, or the size is not `vocab_size`.
    """
    kept = Path(hparams["save_folder"], "tokenizer.model")
    tokenizers = {folder: model.tokenizer for folder, model in models.items()}
    if kept.is_file():
        earlier = SentencePieceProcessor()
        load_tokenizer(earlier, kept)
        tokenizers[str(kept)] = earlier
    for source, tokenizer in tokenizers.items():
        data.check_vocab_size(tokenizer, hparams["vocab_size"], source)
    first = next(iter(tokenizers.values()), None)
    for tokenizer in tokenizers.values():
        if not data.same_tokens(first, tokenizer):
            raise ValueError(
                f"all models of a run must have the same tokens, but those "
                f"of {' and '.join(tokenizers)} differ"
            )
    return first


def keep_tokenizer(
    hparams: dict[str, Any], tokenizer: SentencePieceProcessor
) -> None:
    """Writes the tokenizer of a run beside its checkpoints.

    Arguments
    ---------
    hparams : dict
        Hyperparameters.
    tokenizer : SentencePieceProcessor
        The tokenizer.
    """
    if if_main_process():
        path = Path(hparams["save_folder"], "tokenizer.model")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tokenizer.serialized_model_proto())
