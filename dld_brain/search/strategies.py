"""Which layer sets are tried for each depth: the search strategies.

A strategy asks for the losses of sets and returns, for each depth, its
candidates from best to worst. It knows nothing of models.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import prefix

Scorer = Callable[[Iterable[Gates]], dict[Gates, float]]

#: Most sets that "exhaustive" scores: all of 12 layers are 4095.
EXHAUSTIVE_LIMIT = 5000


@dataclass
class Candidates:
    """What a strategy found for a depth.

    Arguments
    ---------
    mean : float, optional
        Mean loss of the sets drawn, nats per utterance.
    """

    sets: list[Gates]
    mean: Optional[float] = None
    std: Optional[float] = None


def find_candidates(
    strategy: str,
    n_total: int,
    scorer: Scorer,
    *,
    seed: int = 0,
    **options: Any,
) -> dict[int, Candidates]:
    """Runs a strategy for every depth from 1 to L.

    Arguments
    ---------
    strategy : str
        One of `STRATEGIES` that need speech.
    **options : dict
        Those that its function has.

    Raises
    ------
    ValueError
        If there is no such strategy, or it cannot do what is asked.

    Example
    -------
    >>> def scorer(sets):  # the later the layers, the better
    ...     return {s: -float(sum(s.layers)) for s in sets}
    >>> found = find_candidates("greedy", 3, scorer)
    >>> [found[n].sets[0].layers for n in (1, 2, 3)]
    [(2,), (1, 2), (0, 1, 2)]
    """
    check_strategy(strategy, n_total)
    if strategy == "random":
        options = {**options, "seed": seed}
    return STRATEGIES[strategy](n_total, scorer, **options)


def check_strategy(strategy: str, n_total: int) -> None:
    """Raises unless the strategy can be run, before anything is computed.

    Example
    -------
    >>> check_strategy("exhaustive", 24)
    Traceback (most recent call last):
    ...
    ValueError: `exhaustive` tries at most 5000 sets, but 24 layers have ...
    """
    if strategy not in STRATEGIES:
        raise ValueError(
            f"`strategy` must be one of {', '.join(STRATEGIES)}, but is "
            f"{strategy!r}"
        )
    n_sets = 2**n_total - 1
    if strategy == "exhaustive" and n_sets > EXHAUSTIVE_LIMIT:
        raise ValueError(
            f"`exhaustive` tries at most {EXHAUSTIVE_LIMIT} sets, but "
            f"{n_total} layers have {n_sets}: use beam"
        )


def first_layers(n_total: int, scorer: Scorer) -> dict[int, Candidates]:
    """The first n layers of every depth."""
    depths = range(1, n_total + 1)
    return {n: Candidates([prefix(n, n_total)]) for n in depths}


def greedy(
    n_total: int, scorer: Scorer, is_nested: bool = False
) -> dict[int, Candidates]:
    """Greedy removal: the best set of each depth alone is kept."""
    return removal(n_total, scorer, 1, is_nested)


def beam(
    n_total: int, scorer: Scorer, is_nested: bool = False, width: int = 4
) -> dict[int, Candidates]:
    """A beam search: the `width` best sets of each depth are kept."""
    if width < 1:
        raise ValueError(f"`width` must be at least 1, but is {width}")
    return removal(n_total, scorer, width, is_nested)


def ranked(scores: dict[Gates, float]) -> list[Gates]:
    """Layer sets from the lowest loss up, equals by their layers."""
    return sorted(scores, key=lambda gates: (scores[gates], gates))


def drawn(
    n_total: int, scorer: Scorer, seed: int = 0, draws: int = 10
) -> dict[int, Candidates]:
    """Sets drawn at random, each once.

    Arguments
    ---------
    draws : int
        Sets for a depth, or all there are.
    """
    found = {}
    for n in tqdm(range(1, n_total + 1), desc="random layers, depths"):
        rng = np.random.default_rng([seed, n])
        sets: set[Gates] = set()
        while len(sets) < min(draws, math.comb(n_total, n)):
            layers = rng.choice(n_total, n, replace=False)
            sets.add(Gates.of(layers.tolist(), n_total))
        scores = scorer(sorted(sets))
        found[n] = Candidates(
            ranked(scores),
            statistics.mean(scores.values()),
            statistics.pstdev(scores.values()),
        )
    return found


def every_set(n_total: int, scorer: Scorer) -> dict[int, Candidates]:
    """All sets of every depth."""
    found = {}
    for n in tqdm(range(1, n_total + 1), desc="all layer sets, depths"):
        sets = itertools.combinations(range(n_total), n)
        found[n] = Candidates(ranked(scorer(Gates(s, n_total) for s in sets)))
    return found


def removal(
    n_total: int, scorer: Scorer, width: int, is_nested: bool
) -> dict[int, Candidates]:
    """Takes out one layer after another, keeping the best few sets.

    With one set kept, greedy removal; with more, a beam search.

    Arguments
    ---------
    width : int
        Sets that are kept of a depth.
    is_nested : bool
        Whether to return one line of descent alone.
    """
    level = [Gates.full(n_total)]
    found = {n_total: Candidates(level)}
    parents: dict[Gates, Gates] = {}
    for n in tqdm(range(n_total - 1, 0, -1), desc="removing layers, depths"):
        for whole in level:  # the best parent first
            for layer in whole.layers:
                parents.setdefault(whole.without(layer), whole)
        children = [gates for gates in parents if gates.depth == n]
        level = ranked(scorer(children))[:width]
        found[n] = Candidates(level)
    if is_nested:
        gates = found[1].sets[0]
        for n in range(1, n_total + 1):
            found[n] = Candidates([gates])
            gates = parents.get(gates, gates)
    return found


#: By name; None where each depth has its layers, and no speech is needed.
#: What a function takes beside `n_total`, `scorer` and `seed` are its options.
STRATEGIES: dict[str, Optional[Callable[..., dict[int, Candidates]]]] = {
    "even": None,
    "trained": None,
    "prefix": first_layers,
    "random": drawn,
    "exhaustive": every_set,
    "greedy": greedy,
    "beam": beam,
}
