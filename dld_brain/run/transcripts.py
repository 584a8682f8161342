"""The teacher's own transcripts, in the place of a corpus's.

Distil-Whisper (https://arxiv.org/abs/2311.00430) learns from nothing else:
they are as the model writes, with case and punctuation.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dld_brain.audio import dataset as data
from dld_brain.audio.csv_files import csv_file, read_column
from dld_brain.audio.features import extract
from dld_brain.audio.preparation import write_rows
from dld_brain.audio.text_files import Table, read_table
from dld_brain.files.fingerprint import digest
from dld_brain.files.whole import whole_file
from dld_brain.model_folder import PretrainedModel, weights_hash
from dld_brain.model_folder.read import for_inference
from speechbrain.dataio.dataloader import make_dataloader

logger = logging.getLogger(__name__)

#: Of the output folder: where the CSV files with its transcripts are.
FOLDER = "transcribed"
#: WER of a transcript above which it is not learnt from, where the corpus
#: has one, %: loops and other languages, not slips of a few words.
MOST_WRONG = 50.0
#: Each is 30 s for the teacher.
BATCH_SIZE = 8


def transcribe_splits(
    teacher: PretrainedModel,
    csv_folder: str,
    data_root: str,
    splits: Mapping[str, bool],
    target: Path,
    max_seconds: float = inf,
) -> None:
    """Writes CSV files with the teacher's transcripts; goes on where it was.

    Arguments
    ---------
    data_root : str
        What `$data_root` in a path stands for.
    splits : mapping of str to bool
        Whether a split is trained on; others keep the transcripts that they
        have.
    target : Path
        The folder that they go to.
    max_seconds : float
        Longer utterances are not trained on, s.
    """
    target.mkdir(parents=True, exist_ok=True)
    for split, is_trained in splits.items():
        source = csv_file(csv_folder, split)
        write_transcribed(
            teacher,
            source,
            data_root,
            target,
            max_seconds if is_trained else inf,
            keeps_references=not is_trained,
        )


def write_transcribed(
    teacher: PretrainedModel,
    source: Path,
    data_root: str,
    target: Path,
    max_seconds: float = inf,
    keeps_references: bool = False,
) -> None:
    """Writes one CSV file with the transcripts of a teacher.

    Arguments
    ---------
    keeps_references : bool
        Whether transcripts that are there stay.
    """
    model = for_inference(teacher)
    key = digest(weights_hash(model.modules["model"]), source.read_bytes())
    kept = target / f"{source.stem}.jsonl"
    dataset = data.make_unlabelled(
        source, data_root, model.task, model.sample_rate, max_seconds
    )
    wanted = dataset.data_ids
    if keeps_references:
        column = model.task.column
        wanted = [i for i in wanted if not dataset.data[i][column]]
    found = _read_kept(kept, key) if wanted else {}
    left = [i for i, name in enumerate(dataset.data_ids) if name in wanted]
    left = [i for i in left if dataset.data_ids[i] not in found]
    if left:
        with open(kept, "a", encoding="utf-8") as file:
            if not found:
                file.write(json.dumps({"key": key}) + "\n")
            for name, text in _transcribed(model, dataset, left):
                file.write(json.dumps([name, text]) + "\n")
                file.flush()
                found[name] = text
    table = read_table(source)
    with whole_file(target / source.name) as unfinished:
        write_rows(
            unfinished,
            _rows(table, found, model, source.stem, keeps_references),
        )


@torch.no_grad()
def _transcribed(
    model: PretrainedModel, dataset: Any, left: list[int]
) -> Iterator[tuple[str, str]]:
    """Transcribes some utterances, a bar over them."""
    part = torch.utils.data.Subset(dataset, left)
    batches = make_dataloader(
        part, batch_size=BATCH_SIZE, collate_fn=dataset.collate
    )
    with tqdm(total=len(left), desc="the teacher transcribes") as bar:
        for batch in batches:
            feats, lengths = extract(model.modules, *batch.sig)
            out = model.modules["model"].teach(feats, lengths)
            yield from zip(batch.id, model.task.decode(out))
            bar.update(len(batch.id))


def _read_kept(path: Path, key: str) -> dict[str, str]:
    """Transcripts of an interrupted run; none if they are of other speech.

    A last line that was cut is cut off, so that others can follow.
    """
    if not path.is_file():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        first, *rows = [json.loads(line) for line in whole.splitlines()]
        if first["key"] == key:
            if len(whole) < len(content):
                os.truncate(path, len(whole))
            return dict(rows)
    except (ValueError, KeyError, TypeError):
        pass
    logger.warning("%s is made anew: of other speech or not whole", path)
    path.unlink()
    return {}


def _rows(
    table: Table,
    found: Mapping[str, str],
    model: PretrainedModel,
    name: str,
    keeps_references: bool,
) -> list[list[str]]:
    """The rows of a CSV file, those left out that cannot be learnt from."""
    column = model.task.column
    columns = list(table.columns)
    columns += [column] * (column not in columns)
    rows, left_out = [columns], 0
    for row in table.rows:
        cells = table.cells_of(row)
        text = found.get(cells["ID"], "")
        if keeps_references and cells.get(column):
            text = cells[column]
        elif not _is_learnt(text, cells.get(column, ""), model):
            left_out += 1
            continue
        cells[column] = text
        rows.append([cells.get(c, "") for c in columns])
    if found:
        logger.info(
            "%s: the teacher's transcripts of %d utterances; %d are left out, "
            "in which it says nothing, more than it can be told, or has %g %% "
            "of the words wrong",
            name,
            len(found),
            left_out,
            MOST_WRONG,
        )
    return rows


def _is_learnt(text: str, reference: str, model: PretrainedModel) -> bool:
    """Whether a transcript of the teacher is one to learn from."""
    decoder = model.modules["model"].head.config
    room = decoder.max_target_positions - len(decoder.prompt)
    if not text or len(model.task.encode(text)) > room:
        return False
    if not reference:
        return True
    return model.task.rates([reference], [text])["WER"] <= MOST_WRONG


def n_without_reference(path: Path, column: str) -> int:
    """Utterances of a CSV file that nobody has transcribed.

    Arguments
    ---------
    path : Path
        As it was before the teacher's transcripts.
    """
    table = read_table(path)
    if column not in table.columns:
        return len(list(table.rows))
    return sum(not cell for cell in read_column(path, column))
