"""From CSV files to datasets and target ids."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import torch

import speechbrain as sb
from dld_brain.audio.csv_files import SEGMENT, csv_file
from dld_brain.audio.preparation import write_rows
from dld_brain.audio.reader import read_file
from dld_brain.audio.references import References
from dld_brain.audio.speech_dataset import SpeechDataset
from dld_brain.audio.text_files import read_table
from dld_brain.audio.utterances import (
    by_length,
    read_references,
    readable,
    writable,
)
from dld_brain.files.whole import whole_file
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.preprocess import AudioNormalizer
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.utils.distributed import run_on_main


def merged_csv(
    csv_folder: str, splits: Union[str, Sequence[str]], save_folder: str
) -> str:
    """Gives one CSV file of a split, or of several."""
    splits = [splits] if isinstance(splits, str) else list(splits)
    files = [csv_file(csv_folder, split) for split in splits]
    if len(files) == 1:
        return str(files[0])
    target = Path(save_folder, "+".join(splits) + ".csv")
    run_on_main(_merge, args=[files, target])
    return str(target)


def _merge(files: list[Path], target: Path) -> None:
    """Writes the rows of several CSV files below the columns of all."""
    tables = [read_table(path) for path in files]
    columns = list(dict.fromkeys(c for t in tables for c in t.columns if c))
    rows = [columns]
    for table in tables:
        for row in table.rows:
            try:
                cells = table.cells_of(row)
            except ValueError as error:
                raise ValueError(
                    f"{table.path}:{row.number}: {error}"
                ) from None
            rows.append([cells.get(column, "") for column in columns])
    with whole_file(target) as unfinished:
        write_rows(unfinished, rows)


def make_dataset(
    csv: str,
    data_root: str,
    task: References,
    sample_rate: int,
    max_seconds: float = float("inf"),
    max_unspellable: float = 0.1,
    only_readable: bool = False,
    needs_text: bool = True,
    max_tokens: Optional[int] = None,
) -> SpeechDataset:
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
    max_unspellable : float
        Share of the words that the vocabulary may be unable to spell.
    only_readable : bool
        Whether all audio is read first, and what cannot be is left out.
    needs_text : bool
        Whether an utterance without a reference is a problem.
    max_tokens : int, optional
        Utterances whose reference has more target ids are left out, and
        named in the log.

    Returns
    -------
    SpeechDataset
        Items: id, sig [S], reference, targets [U].

    Raises
    ------
    ValueError
        If the file has a problem (named by line and id), no utterance is
        left, or the vocabulary does not fit.
    """
    found = read_references(
        Path(csv), data_root, task, max_unspellable, needs_text
    )
    items = by_length(found, max_seconds)
    if max_tokens is not None:
        items = writable(found._replace(items=items), task, max_tokens)
    if only_readable:
        items = readable(found._replace(items=items))
    if not items:
        raise ValueError(f"{csv} must hold an utterance, but has none left")
    dataset = SpeechDataset(items, csv)
    add_pipelines(dataset, task, sample_rate)
    dataset.set_output_keys(["id", "sig", "reference", "targets"])
    return dataset


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

    @sb.utils.data_pipeline.takes("wav", *SEGMENT)
    @sb.utils.data_pipeline.provides("sig")
    def audio_pipeline(
        wav: str, start: int, stop: Optional[int]
    ) -> torch.Tensor:
        """Reads a file, or its segment, as mono at the model's rate, [S]."""
        return normalize_audio(*read_file(wav, start, stop))

    @sb.utils.data_pipeline.takes(task.column)
    @sb.utils.data_pipeline.provides("reference", "targets")
    def reference_pipeline(reference: str) -> Iterator[Any]:
        """The reference in the task's form, and as ids, [U]."""
        text = task.text(reference)
        yield text
        yield task.encode(text)

    dataset.add_dynamic_item(audio_pipeline)
    dataset.add_dynamic_item(reference_pipeline)


def train_loader_options(
    dataset: SpeechDataset,
    batch_size: int,
    max_batch_seconds: float,
    num_buckets: int,
    num_workers: int,
    seed: int,
) -> dict[str, Any]:
    """Options of the training loader: whole batches, or batches by seconds.

    From now on the dataset leaves out what cannot be read.

    Arguments
    ---------
    max_batch_seconds : float
        Seconds of a batch, padding included; 0 for batches of
        `batch_size` utterances whatever their length.
    num_buckets : int
        Buckets of similar length, for batches by seconds.
    """
    dataset.leaves_out = True
    options = {
        "num_workers": num_workers,
        "collate_fn": dataset.collate,
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
