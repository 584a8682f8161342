"""Many files beyond one machine: a pipeline of Ray Data.

Actors hold the model. Ray restarts one that dies and gives its work to
another; what actors die of again and again is tried file by file, and then
is a row with `error`.
"""

import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pretrained_interfaces.inputs import local_path
from pretrained_interfaces.many.item import Item, is_remote
from pretrained_interfaces.many.told import record
from pretrained_interfaces.many.transcriber import How, Transcriber, in_groups

if TYPE_CHECKING:  # of the extra `ray`
    import pyarrow as pa
    import ray

#: How often work is given to another actor, or to a restarted one.
RETRIES = 2
#: Tasks of an actor, at least: what is lost with one that dies is short.
TASKS = 16
#: Items with their places in the manifest.
Group = list[tuple[int, Item]]


def schema() -> "pa.Schema":
    """Columns of the results; `error` is null where there is a transcript."""
    import pyarrow as pa

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    times = {"text": text, "start": real, "end": real}
    word = pa.struct({**times, "confidence": real})
    segment = pa.struct({**times, "words": pa.list_(word)})
    return pa.schema(
        {
            "place": whole,
            "file": text,
            "id": text,
            "offset": real,
            "duration": real,
            "text": text,
            "n_layers": whole,
            "layers": pa.list_(whole),
            "audio_seconds": real,
            "compute_seconds": real,
            "confidence": real,
            "entropy": real,
            "layers_computed": whole,
            "n_windows": whole,
            "segments": pa.list_(segment),
            "rtf": real,
            "error": text,
        }
    )


def table(rows: list[dict[str, Any]]) -> "pa.Table":
    """Rows of results, as a table of `schema`."""
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=schema())


@dataclass(frozen=True)
class Workers:
    """What actors there are.

    Arguments
    ---------
    number : int
        Each has the model.
    cpus, gpus : float
        Of each; parts of a GPU are allowed.
    """

    number: int = 1
    cpus: float = 1.0
    gpus: float = 0.0


class Actor:
    """Transcribes groups of items; Ray keeps one in a process.

    Arguments
    ---------
    threads : int
        Of torch.
    """

    def __init__(self, how: How, threads: int) -> None:
        torch.set_num_threads(threads)
        self.transcriber = Transcriber(how)

    def __call__(self, batch: "pa.Table") -> "pa.Table":
        """Answers the groups of a batch, as rows of `schema`."""
        rows = []
        for group in batch.to_pylist():
            items = [Item(**item) for item in group["items"]]
            answers = self.transcriber.answer(items)
            for place, answer in zip(group["places"], answers):
                rows.append({"place": place, **record(answer)})
        return table(rows)


def transcribe(
    items: Sequence[Item], how: How, workers: Workers, batch_size: int
) -> "ray.data.Dataset":
    """Transcribes items on a cluster that is there (`ray.init`).

    Returns
    -------
    ray.data.Dataset
        Rows of `schema`, one an item, in their order.
    """
    import ray

    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1  # what is lost so is tried again, below
    context.enable_progress_bars = sys.stderr.isatty()
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    groups = list(in_groups(items, batch_size))
    found = _run(groups, how, workers, TASKS * workers.number)
    lost = _lost(items, found)
    if lost:
        again = _run([[pair] for pair in lost], how, workers, len(lost))
        found = found.union(again)
        lost = _lost(items, found)
    if lost:
        found = found.union(ray.data.from_arrow(_errors(lost)))
    return found.sort("place")


def _run(
    groups: Sequence[Group], how: How, workers: Workers, n_tasks: int
) -> "ray.data.Dataset":
    """Answers groups."""
    import ray

    rows = [
        {
            "places": [place for place, _ in group],
            "items": [asdict(item) for _, item in group],
        }
        for group in groups
    ]
    n_blocks = min(len(rows), n_tasks)
    return (
        ray.data.from_items(rows, override_num_blocks=n_blocks)
        .map_batches(
            Actor,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_args=(how, max(1, int(workers.cpus))),
            compute=ray.data.ActorPoolStrategy(
                size=min(workers.number, n_blocks)
            ),
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
        .materialize()
    )


def _lost(items: Sequence[Item], found: "ray.data.Dataset") -> Group:
    """The items that have no row."""
    there: set[int] = set()
    for part in found.iter_batches(batch_size=None, batch_format="pyarrow"):
        there.update(part["place"].to_pylist())
    return [(i, item) for i, item in enumerate(items) if i not in there]


def _errors(lost: Iterable[tuple[int, Item]]) -> "pa.Table":
    """Rows of items that actors died of."""
    rows = [
        {
            "place": place,
            "file": item.file,
            "id": item.id,
            "offset": item.offset,
            "duration": item.duration,
            "error": f"{item.file}: the processes that transcribed it died, "
            f"probably for want of memory",
        }
        for place, item in lost
    ]
    return table(rows)


def everywhere(item: Item) -> Item:
    """An item that other machines find, if they have the folder.

    Example
    -------
    >>> everywhere(Item("/data/a.wav")).file
    '/data/a.wav'
    """
    if item.error or is_remote(item.file):
        return item
    return replace(item, file=str(Path(local_path(item.file)).absolute()))
