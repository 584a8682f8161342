"""The teacher's own transcripts, in the place of a corpus's.

Distil-Whisper (https://arxiv.org/abs/2311.00430) learns from nothing else:
they are as the model writes, with case and punctuation.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dld_brain.audio import dataset as data
from dld_brain.audio.csv_files import csv_file, lacks_references
from dld_brain.audio.features import extract
from dld_brain.audio.preparation import write_rows
from dld_brain.audio.text_files import Table, read_table
from dld_brain.files.fingerprint import digest
from dld_brain.files.whole import whole_file, write_text
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
) -> None:
    """Writes CSV files with the teacher's transcripts; goes on where it was.

    Arguments
    ---------
    data_root : str
        What `$data_root` in a path stands for.
    splits : mapping of str to bool
        Whether a split is trained on; others keep the corpus's transcripts,
        where it has some.
    target : Path
        The folder that they go to.
    """
    target.mkdir(parents=True, exist_ok=True)
    for split, is_trained in splits.items():
        source = csv_file(csv_folder, split)
        if is_trained or lacks_references(source, teacher.task.column):
            write_transcribed(teacher, source, data_root, target)
        else:
            with whole_file(target / source.name) as unfinished:
                unfinished.write_bytes(source.read_bytes())


def write_transcribed(
    teacher: PretrainedModel, source: Path, data_root: str, target: Path
) -> None:
    """Writes one CSV file with the transcripts of a teacher."""
    model = for_inference(teacher)
    whisper = model.modules["model"]
    prompt = list(whisper.head.config.prompt)
    key = digest(weights_hash(whisper), prompt, source.read_bytes())
    kept = target / f"{source.stem}.jsonl"
    found = _read_kept(kept, key)
    dataset = data.make_dataset(
        str(source),
        data_root,
        model.task,
        model.sample_rate,
        needs_text=False,
    )
    dataset.set_output_keys(["id", "sig"])
    left = [i for i, name in enumerate(dataset.data_ids) if name not in found]
    if left:
        is_new = not kept.is_file()
        with open(kept, "a", encoding="utf-8") as file:
            if is_new:
                file.write(json.dumps({"key": key}) + "\n")
            for name, text in _transcribed(model, dataset, left):
                file.write(json.dumps([name, text]) + "\n")
                file.flush()
                found[name] = text
    table = read_table(source)
    with whole_file(target / source.name) as unfinished:
        write_rows(unfinished, _rows(table, found, model, source.stem))


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

    A last line that was cut is left out, of the file as well.
    """
    if not path.is_file():
        return {}
    try:
        lines = path.read_text("utf-8").split("\n")
        first, *rows = [json.loads(line) for line in lines[:-1]]
        if first["key"] == key:
            if lines[-1]:
                logger.warning("%s ends with a line that was cut", path)
                write_text(path, "\n".join([*lines[:-1], ""]))
            return dict(rows)
    except (ValueError, KeyError, TypeError):
        pass
    logger.warning("%s is made anew: of other speech or not whole", path)
    path.unlink()
    return {}


def _rows(
    table: Table, found: Mapping[str, str], model: PretrainedModel, name: str
) -> list[list[str]]:
    """The rows of a CSV file, those left out that are too wrong."""
    column, wrong = model.task.column, 0
    columns = list(dict.fromkeys([*table.columns, column]))
    rows = [columns]
    for row in table.rows:
        cells = table.cells_of(row)
        text = found.get(cells["ID"], "")
        is_wrong = not text or (
            cells.get(column)
            and model.task.rates([cells[column]], [text])["WER"] > MOST_WRONG
        )
        wrong += bool(is_wrong)
        if not is_wrong:
            cells[column] = text
            rows.append([cells.get(c, "") for c in columns])
    logger.info(
        "%s: the teacher's transcripts of %d utterances; %d are left out, in "
        "which it says nothing or has %g %% of the words wrong",
        name,
        len(rows) - 1,
        wrong,
        MOST_WRONG,
    )
    return rows
