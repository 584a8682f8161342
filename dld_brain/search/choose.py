"""Chooses the layers of each depth on development speech.

Candidates are found by their loss on a part of the speech; the best of
them, and evenly spread layers, are compared by the metric of the run (WER,
CER or accuracy) on all of it.
"""

from collections.abc import Mapping
from typing import Any, Optional

import torch

from dld_brain.depth_table import DepthRow, DepthTable
from dld_brain.encoder.costs import executed_params, macs_at, macs_by_part
from dld_brain.evaluation.evaluate import DepthEvaluation
from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import evenly_spread
from dld_brain.search.layer_losses import LayerScores
from dld_brain.search.strategies import (
    Candidates,
    check_strategy,
    find_candidates,
)
from dld_brain.tasks import Task
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import (
    DynamicItemDataset,
    FilteredSortedDynamicItemDataset,
)

#: Candidates of a depth that are compared by the task's metric.
FINALISTS = 3


def check_splits(search: list[str], test: list[str]) -> None:
    """Raises where layers would be chosen on what they are scored on.

    Example
    -------
    >>> check_splits(["test"], ["test"])
    Traceback (most recent call last):
    ...
    ValueError: layers must not be chosen on test speech, but ...
    """
    both = sorted(set(search) & set(test))
    if both:
        raise ValueError(
            f"layers must not be chosen on test speech, but `search_splits` "
            f"and `test_splits` both have {', '.join(both)}"
        )


def some_of(dataset: DynamicItemDataset, n: int) -> DynamicItemDataset:
    """Takes n utterances, evenly spread over the set.

    Arguments
    ---------
    n : int
        How many; all if it has no more.
    """
    ids = dataset.data_ids
    step = max(1, len(ids) / n)
    chosen = [ids[int(i * step)] for i in range(min(n, len(ids)))]
    return FilteredSortedDynamicItemDataset(dataset, chosen)


class LayerChooser:
    """Chooses layers by a strategy.

    Arguments
    ---------
    modules : mapping of str to torch.nn.Module
        `compute_features`, `normalize` and `model`, in eval mode.
    sample_rate : int
        Rate of the audio, Hz.
    n_utterances : int
        Utterances that candidates are compared on by their loss.
    trained : mapping of int to Gates, optional
        Those that training had for each depth; evenly spread layers if not
        given.
    """

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        model_hash: str,
        task: Task,
        dataset: DynamicItemDataset,
        sample_rate: int,
        n_utterances: int = 100,
        batch_size: int = 8,
        seed: int = 0,
        path: Optional[str] = None,
        trained: Optional[Mapping[int, Gates]] = None,
    ) -> None:
        self.modules = modules
        self.model_hash = model_hash
        self.n_total = modules["model"].n_total
        self.task = task
        self.dataset = dataset
        self.sample_rate = sample_rate
        self.n_utterances = n_utterances
        self.batch_size = batch_size
        self.seed = seed
        self.path = path
        self.even = even_gates(self.n_total)
        self.fixed = {"even": self.even, "trained": trained or self.even}

    def choose(self, strategy: str, **options: Any) -> DepthTable:
        """Runs a strategy with its options.

        Raises
        ------
        ValueError
            If the strategy cannot do what is asked.
        """
        check_strategy(strategy, self.n_total)
        if strategy in self.fixed:
            return self._table(strategy, self.fixed[strategy])
        scorer = self._scorer()
        found = find_candidates(
            strategy, self.n_total, scorer, seed=self.seed, **options
        )
        finalists = {n: self._finalists(strategy, c) for n, c in found.items()}
        rates = self.rates(
            {s for sets in finalists.values() for s in sets}, self.dataset
        )
        chosen = {
            n: min(sets, key=lambda s: self.task.error(rates[s]))
            for n, sets in finalists.items()
        }
        dev_losses = scorer(chosen.values())
        measured = {
            n: {
                "dev_loss": dev_losses[gates],
                "dev_loss_mean": found[n].mean,
                "dev_loss_std": found[n].std,
                "dev_rate": rates[gates],
            }
            for n, gates in chosen.items()
        }
        nested = ", nested" if options.get("is_nested") else ""
        return self._table(f"{strategy}{nested}", chosen, measured)

    def _scorer(self) -> LayerScores:
        """What scores layers on some of the development speech."""
        loader = self._loader(some_of(self.dataset, self.n_utterances))
        return LayerScores(
            self.modules, self.task, loader, self.path, self.model_hash
        )

    def _table(
        self,
        name: str,
        chosen: Mapping[int, Gates],
        measured: Optional[Mapping[int, Mapping[str, Any]]] = None,
    ) -> DepthTable:
        """The table of this model."""
        return make_table(
            self.modules,
            self.model_hash,
            self.sample_rate,
            name,
            chosen,
            measured,
        )

    def _finalists(self, strategy: str, candidates: Candidates) -> list[Gates]:
        """What is compared by metric; evenly spread layers where one may."""
        sets = candidates.sets[:FINALISTS]
        if strategy == "random" or len(sets) == 1:
            return sets[:1]
        even = self.even[sets[0].depth]
        return list(dict.fromkeys([*sets, even]))

    def importance(self) -> list[float]:
        """The task's metric on the part of the speech, one layer closed.

        Returns
        -------
        list of float
            By the layer that is closed, %; behind them, with none.
        """
        full = Gates.full(self.n_total)
        sets = [*(full.without(i) for i in full.layers), full]
        part = some_of(self.dataset, self.n_utterances)
        rates = self.rates(set(sets), part)
        return [rates[gates] for gates in sets]

    def rates(
        self, sets: set[Gates], dataset: DynamicItemDataset
    ) -> dict[Gates, float]:
        """The task's metric with each layer set."""
        named = dict(enumerate(sorted(sets)))
        evaluation = DepthEvaluation(
            self.modules,
            self.task,
            self.sample_rate,
            {"development": named},
        )
        result = evaluation.answer(self._loader(dataset), "development")
        return {
            gates: self.task.rates(result.references, answers)[self.task.metric]
            for gates, answers in result.answers.items()
        }

    def _loader(self, dataset: DynamicItemDataset) -> Any:
        """Batches of a set."""
        return make_dataloader(dataset, batch_size=self.batch_size)


def make_table(
    modules: Mapping[str, torch.nn.Module],
    model_hash: str,
    sample_rate: int,
    strategy: str,
    chosen: Mapping[int, Gates],
    measured: Optional[Mapping[int, Mapping[str, Any]]] = None,
) -> DepthTable:
    """Makes the table of a model.

    Arguments
    ---------
    modules : mapping of str to torch.nn.Module
        `compute_features`, `normalize` and `model`, in eval mode.
    sample_rate : int
        Rate of the audio, Hz.
    """
    model = modules["model"]
    macs = macs_by_part(modules, sample_rate)
    width = next(model.parameters()).element_size()
    rows = []
    for n_layers, gates in sorted(chosen.items()):
        params = executed_params(model, gates)
        cost = macs_at(macs, n_layers, model.n_total)
        rows.append(
            DepthRow(
                n_layers=n_layers,
                layers=list(gates.layers),
                params=params,
                macs_per_second=sum(cost.values()),
                weight_bytes=params * width,
                **(measured or {}).get(n_layers, {}),
            )
        )
    return DepthTable(model_hash, strategy, rows)


def even_gates(n_total: int) -> dict[int, Gates]:
    """Evenly spread layers for every depth.

    Example
    -------
    >>> [gates.layers for gates in even_gates(3).values()]
    [(0,), (0, 2), (0, 1, 2)]
    """
    return {n: evenly_spread(n, n_total) for n in range(1, n_total + 1)}
