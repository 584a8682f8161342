"""An evaluation shared by the ranks of torchrun; what one process gives.

Every rank runs the same steps. Of a set each takes the batches that are its
own, unchanged, and gets what the others found in the order of the set: sums
have the same terms in the same order. Only the main process writes.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate, chain
from typing import Any, NamedTuple, TypeVar

import torch
from tqdm import tqdm

from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.utils.distributed import ddp_prevent_block, if_main_process

T = TypeVar("T")


class Batch(NamedTuple):
    """A batch of a set, and where it is in it.

    Arguments
    ---------
    number : int
        Of the batch, from 0.
    first : int
        Utterances of the set in front of it.
    """

    number: int
    first: int
    content: Any


def place() -> tuple[int, int]:
    """The rank of this process, and how many there are.

    Returns
    -------
    tuple of int
        (0, 1) in one process, and where only the main process is at work.
    """
    if ddp_prevent_block():
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def own_batches(loader: Iterable[Any], title: str) -> Iterator[Batch]:
    """The batches of a set that this rank answers, with a bar.

    Arguments
    ---------
    loader : iterable
        Batches; of a DataLoader those of others are not read.
    title : str
        Of the bar, which the main process has.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> loader = [SimpleNamespace(id=["a", "b"]), SimpleNamespace(id=["c"])]
    >>> [batch.first for batch in own_batches(loader, "set")]
    [0, 2]
    """
    rank, n_ranks = place()
    sampler = getattr(loader, "batch_sampler", None)
    if n_ranks > 1 and sampler is not None:
        found = _read(loader, list(sampler), rank, n_ranks)
        n_batches = len(range(rank, len(sampler), n_ranks))
    else:
        found = _counted(loader, rank, n_ranks)
        n_batches = len(loader) if n_ranks == 1 else None
    yield from tqdm(
        found, title, total=n_batches, disable=not if_main_process()
    )


def _read(
    loader: Any, batches: list[Any], rank: int, n_ranks: int
) -> Iterator[Batch]:
    """Reads every n-th batch."""
    firsts = [0, *accumulate(map(len, batches))]
    numbers = range(rank, len(batches), n_ranks)
    own = make_dataloader(
        loader.dataset,
        batch_sampler=[batches[number] for number in numbers],
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
    )
    for number, content in zip(numbers, own):
        yield Batch(number, firsts[number], content)


def _counted(loader: Iterable[Any], rank: int, n_ranks: int) -> Iterator[Batch]:
    """Takes every n-th batch of what is read."""
    first = 0
    for number, content in enumerate(loader):
        if number % n_ranks == rank:
            yield Batch(number, first, content)
        first += len(content.id)


def gathered(own: list[tuple[int, T]]) -> list[T]:
    """What all ranks found, by the numbers of the batches.

    Arguments
    ---------
    own : list of tuple
        Number of a batch and what was found, of this rank.

    Example
    -------
    >>> gathered([(2, "c"), (0, "a")])
    ['a', 'c']
    """
    _, n_ranks = place()
    parts: list[Any] = [own]
    if n_ranks > 1:
        parts = [None] * n_ranks
        torch.distributed.all_gather_object(parts, own)
    pairs = sorted(chain.from_iterable(parts), key=lambda pair: pair[0])
    return [found for _, found in pairs]
