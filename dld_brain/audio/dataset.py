"""From CSV files to datasets and target ids."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import torch

import speechbrain as sb
from dld_brain.audio.csv_files import SEGMENT, Rows, csv_file, read_rows
from dld_brain.audio.preparation import find_clips, report_problems, write_rows
from dld_brain.audio.reader import read_file
from dld_brain.audio.references import References, check_references
from dld_brain.audio.speech_dataset import SpeechDataset
from dld_brain.audio.text_files import read_table
from dld_brain.files.whole import whole_file
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.preprocess import AudioNormalizer
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: Ids that a warning names.
SHOWN = 8


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
    items = _by_length(found, max_seconds)
    if max_tokens is not None:
        items = _writable(found._replace(items=items), task, max_tokens)
    if only_readable:
        items = _readable(found._replace(items=items))
    if not items:
        raise ValueError(f"{csv} must hold an utterance, but has none left")
    dataset = SpeechDataset(items, csv)
    add_pipelines(dataset, task, sample_rate)
    dataset.set_output_keys(["id", "sig", "reference", "targets"])
    return dataset


def read_references(
    path: Path,
    data_root: str,
    task: References,
    max_unspellable: float = 0.1,
    needs_text: bool = True,
) -> Rows:
    """Reads a CSV file whose references a task can meet; opens no audio.

    Arguments
    ---------
    needs_text : bool
        Whether an utterance without a reference is a problem.

    Raises
    ------
    ValueError
        If the file has a problem, or the vocabulary does not fit.
    """
    found = read_rows(path, str(data_root), task.column, needs_text)
    if found.problems:
        more = len(found.problems) - 1
        raise ValueError(
            found.problems[0] + f" (and {more} more problems)" * (more > 0)
        )
    references = {n: item[task.column] for n, item in found.items.items()}
    check_references(references, task, str(path), max_unspellable)
    return found


def _by_length(found: Rows, max_seconds: float) -> dict[str, dict[str, Any]]:
    """The utterances, the longest first, without those that are too long."""
    pairs = sorted(found.items.items(), key=lambda pair: -pair[1]["duration"])
    items = {n: item for n, item in pairs if item["duration"] <= max_seconds}
    if len(items) < len(pairs):
        logger.warning(
            "%s: %d of %d utterances are longer than %g s and left out",
            found.path,
            len(pairs) - len(items),
            len(pairs),
            max_seconds,
        )
    return items


def _writable(
    found: Rows, task: References, max_tokens: int
) -> dict[str, dict[str, Any]]:
    """The utterances whose reference is not too long for a decoder."""
    items, long = {}, []
    for name, item in found.items.items():
        text = task.text(item[task.column])
        # A token holds a byte at least: most need not be encoded.
        is_short = len(text.encode()) < max_tokens
        if is_short or len(task.encode(text)) <= max_tokens:
            items[name] = item
        else:
            long.append(name)
    if long:
        logger.warning(
            "%s: %d of %d transcripts have more than the %d tokens that the "
            "decoder has positions for, and are left out: %s",
            found.path,
            len(long),
            len(found.items),
            max_tokens,
            ", ".join(long[:SHOWN]) + ", ..." * (len(long) > SHOWN),
        )
    return items


def _readable(found: Rows) -> dict[str, dict[str, Any]]:
    """The utterances whose audio can be read to its end."""
    utterances = found.utterances()
    clips = find_clips(utterances, found.path.stem)
    problems = [clip for clip in clips if isinstance(clip, str)]
    report_problems(found.path.stem, problems, allow_problems=True)
    return {
        utterance.id: found.items[utterance.id]
        for utterance, clip in zip(utterances, clips)
        if not isinstance(clip, str)
    }


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
