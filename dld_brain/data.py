"""From CSV files to datasets and token ids: the only reader of both.

Columns: ID, duration (seconds), wav, spk_id, wrd, as SpeechBrain's
LibriSpeech recipe has them. `$data_root` in a path stands for the folder
of the corpus.

Authors
 * The dld_brain authors 2026
"""

from pathlib import Path
from typing import Any

import speechbrain as sb
import torch
from sentencepiece import SentencePieceProcessor
from speechbrain.dataio import audio_io
from speechbrain.dataio.dataio import merge_csvs
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.preprocess import AudioNormalizer
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.tokenizers.SentencePiece import SentencePiece
from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: Token that CTC's blank takes: SentencePiece's <unk>, as in SpeechBrain.
BLANK_ID = 0


def merged_csv(csv_folder: str, splits: list[str], save_folder: str) -> str:
    """Gives one CSV file of several splits.

    Arguments
    ---------
    csv_folder : str
        Folder of `<split>.csv`.
    splits : list of str
        Names of the splits.
    save_folder : str
        Where to merge several.

    Returns
    -------
    str
        Path of the file.

    Raises
    ------
    FileNotFoundError
        If a split has no CSV file.
    """
    files = [str(csv_file(csv_folder, split)) for split in splits]
    if len(files) == 1:
        return files[0]
    name = "+".join(splits) + ".csv"
    run_on_main(merge_csvs, args=[save_folder, files, name])
    return str(Path(save_folder, name))


def csv_file(csv_folder: str, split: str) -> Path:
    """Finds the CSV file of a split.

    Arguments
    ---------
    csv_folder : str
        Folder of `<split>.csv`.
    split : str
        Name of the split.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        If there is none.

    Example
    -------
    >>> csv_file("nowhere", "dev")
    Traceback (most recent call last):
    ...
    FileNotFoundError: split 'dev' must have a file nowhere/dev.csv, but ...
    """
    path = Path(csv_folder, f"{split}.csv")
    if not path.is_file():
        present = sorted(p.stem for p in Path(csv_folder).glob("*.csv"))
        raise FileNotFoundError(
            f"split {split!r} must have a file {path}, but there is none; "
            f"splits there: {', '.join(present) or 'none'}"
        )
    return path


def make_tokenizer(
    folder: str, csv: str, token_type: str, vocab_size: int
) -> SentencePieceProcessor:
    """Trains the tokenizer, or loads the one that is in the folder.

    Arguments
    ---------
    folder : str
        Where it is kept.
    csv : str
        CSV file whose `wrd` it is trained on.
    token_type : str
        "unigram", "bpe" or "char".
    vocab_size : int
        Tokens, the blank included.

    Returns
    -------
    SentencePieceProcessor

    Raises
    ------
    ValueError
        If the text does not give that many tokens.
    """
    try:
        tokenizer = SentencePiece(
            model_dir=folder,
            vocab_size=vocab_size,
            annotation_train=csv,
            annotation_read="wrd",
            model_type=token_type,
        ).sp
    except RuntimeError as error:  # SentencePiece's own, with its reason
        raise ValueError(
            f"no {token_type} tokenizer of `vocab_size` {vocab_size} can be "
            f"trained on {csv}: {error}"
        ) from error
    check_vocab_size(tokenizer, vocab_size, csv)
    return tokenizer


def check_vocab_size(
    tokenizer: SentencePieceProcessor, vocab_size: int, source: str
) -> None:
    """Raises unless the tokenizer has as many tokens as the model's head.

    Arguments
    ---------
    tokenizer : SentencePieceProcessor
        The tokenizer.
    vocab_size : int
        Tokens that the head gives.
    source : str
        Where the tokenizer is from, for the message.

    Raises
    ------
    ValueError
        If the numbers differ.
    """
    if len(tokenizer) != vocab_size:
        raise ValueError(
            f"`vocab_size` must be {len(tokenizer)}, the tokens of the "
            f"tokenizer of {source}, but is {vocab_size}"
        )


def same_tokens(
    one: SentencePieceProcessor, other: SentencePieceProcessor
) -> bool:
    """Whether two tokenizers give every token the same id.

    Arguments
    ---------
    one : SentencePieceProcessor
    other : SentencePieceProcessor
        The tokenizers.

    Returns
    -------
    bool
    """
    return len(one) == len(other) and all(
        one.id_to_piece(i) == other.id_to_piece(i) for i in range(len(one))
    )


def make_dataset(
    csv: str,
    data_root: str,
    tokenizer: SentencePieceProcessor,
    sample_rate: int,
    max_seconds: float = float("inf"),
) -> DynamicItemDataset:
    """Makes a dataset of a CSV file, the longest utterance first.

    The longest first: a batch that does not fit the memory fails in the
    first minute, and batches of neighbours hold little padding.

    Arguments
    ---------
    csv : str
        CSV file.
    data_root : str
        What `$data_root` in a path stands for.
    tokenizer : SentencePieceProcessor
        Gives the token ids.
    sample_rate : int
        Rate of the audio that is given, in Hz; other rates are resampled.
    max_seconds : float
        Longer utterances are left out, and counted in the log.

    Returns
    -------
    DynamicItemDataset
        Items: id, sig [S], wrd, tokens [U].

    Raises
    ------
    ValueError
        If no utterance is left.
    """
    dataset = DynamicItemDataset.from_csv(
        csv, replacements={"data_root": str(data_root)}
    )
    n_all = len(dataset)
    dataset = dataset.filtered_sorted(
        key_max_value={"duration": max_seconds},
        sort_key="duration",
        reverse=True,
    )
    if len(dataset) < n_all:
        logger.warning(
            "%s: %d of %d utterances are longer than %g s and left out",
            csv,
            n_all - len(dataset),
            n_all,
            max_seconds,
        )
    if len(dataset) == 0:
        raise ValueError(f"{csv} must hold an utterance, but has none left")
    normalize_audio = AudioNormalizer(sample_rate=sample_rate)

    @sb.utils.data_pipeline.takes("wav")
    @sb.utils.data_pipeline.provides("sig")
    def audio_pipeline(wav: str) -> torch.Tensor:
        """Reads a file as mono at the model's rate, [S]."""
        return normalize_audio(*audio_io.load(wav, channels_first=False))

    @sb.utils.data_pipeline.takes("wrd")
    @sb.utils.data_pipeline.provides("tokens")
    def text_pipeline(wrd: str) -> torch.Tensor:
        """Token ids of a transcript, [U]; the blank is no target."""
        ids = tokenizer.encode_as_ids(wrd)
        return torch.LongTensor([i for i in ids if i != BLANK_ID])

    dataset.add_dynamic_item(audio_pipeline)
    dataset.add_dynamic_item(text_pipeline)
    dataset.set_output_keys(["id", "sig", "wrd", "tokens"])
    return dataset


def train_loader_options(
    dataset: DynamicItemDataset,
    batch_size: int,
    max_batch_seconds: float,
    num_buckets: int,
    num_workers: int,
    seed: int,
) -> dict[str, Any]:
    """Options of the training loader: whole batches, or batches by seconds.

    Arguments
    ---------
    dataset : DynamicItemDataset
        Training data.
    batch_size : int
        Utterances of a batch, at most.
    max_batch_seconds : float
        Seconds of a batch, padding included; 0 for batches of
        `batch_size` utterances whatever their length.
    num_buckets : int
        Buckets of similar length, for batches by seconds.
    num_workers : int
        Processes that read audio.
    seed : int
        Seed of the order.

    Returns
    -------
    dict
        Keyword arguments of a loader.
    """
    options = {
        "num_workers": num_workers,
        "collate_fn": sb.dataio.batch.PaddedBatch,
    }
    if max_batch_seconds <= 0:
        return {**options, "batch_size": batch_size, "shuffle": True}
    sampler = DynamicBatchSampler(
        dataset,
        max_batch_length=max_batch_seconds,
        num_buckets=num_buckets,
        max_batch_ex=batch_size,
        shuffle=True,
        batch_ordering="random",
        seed=seed,
    )
    return {**options, "batch_sampler": sampler}
