"""From CSV files to datasets and target ids: the only reader of both.

Columns: ID, duration (seconds), wav, spk_id, wrd, as SpeechBrain's
LibriSpeech recipe has them; start and stop (samples) where an utterance is
a segment of its file; intent where utterances have a label. `$data_root`
in a path stands for the folder of the corpus.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

import speechbrain as sb
from dld_brain.audio.reader import read_file
from speechbrain.dataio.dataio import merge_csvs
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.preprocess import AudioNormalizer
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: Columns of a corpus whose utterances are parts of longer files: the first
#: sample, and the one behind the last, at the file's own rate.
SEGMENT = ("start", "stop")


class References(Protocol):
    """What a dataset needs of a task: its column, and ids for what is there."""

    column: str

    def encode(self, reference: str) -> torch.Tensor:
        """Target ids of a reference, [U]."""

    def unknown(self, references: Sequence[str]) -> dict[str, int]:
        """References that no answer can equal, and how often each is there."""


def merged_csv(csv_folder: str, splits: list[str], save_folder: str) -> str:
    """Gives one CSV file of several splits."""
    files = [str(csv_file(csv_folder, split)) for split in splits]
    if len(files) == 1:
        return files[0]
    name = "+".join(splits) + ".csv"
    run_on_main(merge_csvs, args=[save_folder, files, name])
    return str(Path(save_folder, name))


def csv_file(csv_folder: str, split: str) -> Path:
    """Finds the CSV file of a split.

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


def make_dataset(
    csv: str,
    data_root: str,
    task: References,
    sample_rate: int,
    max_seconds: float = float("inf"),
) -> DynamicItemDataset:
    """Makes a dataset of a CSV file, the longest utterance first.

    The longest first: a batch that does not fit the memory fails in the
    first minute, and batches of neighbours hold little padding.

    Arguments
    ---------
    data_root : str
        What `$data_root` in a path stands for.
    task : References
        Says which column is the reference, and gives its target ids.
    sample_rate : int
        Rate of the audio that is given, in Hz; other rates are resampled.
    max_seconds : float
        Longer utterances are left out, and counted in the log.

    Returns
    -------
    DynamicItemDataset
        Items: id, sig [S], reference, targets [U].

    Raises
    ------
    ValueError
        If no utterance is left, or there is no column of references.
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
    check_references(dataset, task, csv)
    add_pipelines(dataset, task, sample_rate)
    dataset.set_output_keys(["id", "sig", "reference", "targets"])
    return dataset


def check_references(
    dataset: DynamicItemDataset, task: References, csv: str
) -> None:
    """Raises where references are missing; logs those never to be met."""
    rows = list(dataset.data.values())
    check_column(task.column, rows[0], csv)
    unknown = task.unknown([row[task.column] for row in rows])
    if unknown:
        counts = (f"{label} ({n})" for label, n in sorted(unknown.items()))
        logger.warning(
            "%s: %d of %d utterances have a label that training data has "
            "not; they count as wrong: %s",
            csv,
            sum(unknown.values()),
            len(rows),
            ", ".join(counts),
        )


def add_pipelines(
    dataset: DynamicItemDataset, task: References, sample_rate: int
) -> None:
    """Tells a dataset how to read audio and encode references.

    Arguments
    ---------
    sample_rate : int
        Rate of the audio that is given, in Hz.
    """
    normalize_audio = AudioNormalizer(sample_rate=sample_rate)
    is_segmented = "stop" in next(iter(dataset.data.values()))

    @sb.utils.data_pipeline.takes("wav", *SEGMENT * is_segmented)
    @sb.utils.data_pipeline.provides("sig")
    def audio_pipeline(
        wav: str, start: str = "0", stop: str = "0"
    ) -> torch.Tensor:
        """Reads a file, or its segment, as mono at the model's rate, [S]."""
        return normalize_audio(*read_file(wav, int(start), int(stop) or None))

    @sb.utils.data_pipeline.takes(task.column)
    @sb.utils.data_pipeline.provides("reference", "targets")
    def reference_pipeline(text: str) -> Iterator[Any]:
        """The reference as it is, and as ids, [U]."""
        yield text
        yield task.encode(text)

    dataset.add_dynamic_item(audio_pipeline)
    dataset.add_dynamic_item(reference_pipeline)


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
    max_batch_seconds : float
        Seconds of a batch, padding included; 0 for batches of
        `batch_size` utterances whatever their length.
    num_buckets : int
        Buckets of similar length, for batches by seconds.
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


def check_column(column: str, columns: Iterable[str], csv: str) -> None:
    """Raises unless a CSV file has the references of a task.

    Example
    -------
    >>> check_column("intent", ["ID", "wrd"], "a.csv")
    Traceback (most recent call last):
    ...
    ValueError: a.csv must have a column `intent`, but has ID, wrd
    """
    columns = list(columns)
    if column not in columns:
        raise ValueError(
            f"{csv} must have a column `{column}`, but has {', '.join(columns)}"
        )
