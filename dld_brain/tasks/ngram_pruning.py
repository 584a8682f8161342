"""An n-gram model with fewer n-grams, that still sums to one."""

from dataclasses import replace

import numpy as np

from dld_brain.tasks.sphinx_lm import Order, SphinxModel


def pruned(model: SphinxModel, most: int) -> SphinxModel:
    """Keeps the n-grams of each order above 1 that are missed most.

    What is lost without an n-gram is its probability times how far that is,
    in logarithms, from what backing off gives, p(h) taken as that of its
    first word (after Seymore and Rosenfeld, Scalable Backoff Language Models,
    1996). Back-offs are made anew of what is left.

    Arguments
    ---------
    most : int
        N-grams of an order.
    """
    kept = np.ones(len(model.orders[0].words), dtype=bool)
    orders = [model.orders[0]]
    for n, order in enumerate(model.orders[1:], 2):
        # without its first word, and without its last, it has to be there
        history = _places(model, model.rows(n)[:, :-1])
        is_there = kept[order.parents] & kept[history] & (history >= 0)
        if is_there.sum() > most:
            loss = _loss(model, n)
            loss[~is_there] = -np.inf
            is_there = np.zeros_like(is_there)
            is_there[np.argpartition(-loss, most)[:most]] = True
        places = np.cumsum(kept) - 1
        orders.append(
            Order(
                order.words[is_there],
                places[order.parents[is_there]],
                order.log_probs[is_there],
                None if order.back_offs is None else order.back_offs[is_there],
            )
        )
        kept = is_there
    found = SphinxModel(model.vocabulary, orders)
    for n in range(2, len(orders) + 1):
        orders[n - 2] = replace(orders[n - 2], back_offs=_back_offs(found, n))
    return found


def _loss(model: SphinxModel, n: int) -> np.ndarray:
    """What is lost without each n-gram of an order, [N]."""
    order = model.orders[n - 1]
    shorter = model.orders[n - 2]
    unigrams, rows = model.orders[0].log_probs, model.rows(n)
    history = np.zeros(len(rows))
    places = _places(model, rows[:, :-1])
    is_there = places >= 0
    history[is_there] = shorter.back_offs[places[is_there]]
    far = order.log_probs - shorter.log_probs[order.parents] - history
    heard = unigrams[rows[:, 0]] + order.log_probs
    return 10.0**heard * np.abs(far)


def _places(model: SphinxModel, rows: np.ndarray) -> np.ndarray:
    """Where n-grams are among those of their order, [N]; -1: nowhere."""
    n = rows.shape[1]
    if n == 1:
        return rows[:, 0]
    own = _keys(model, model.rows(n))
    order = np.argsort(own)
    wanted = _keys(model, rows)
    at = np.minimum(np.searchsorted(own[order], wanted), len(own) - 1)
    return np.where(own[order][at] == wanted, order[at], -1)


def _keys(model: SphinxModel, rows: np.ndarray) -> np.ndarray:
    """A number for each n-gram; of up to 3 words in 64 bits."""
    size = len(model.vocabulary)
    if size ** rows.shape[1] >= 2**63:
        raise ValueError(
            f"`most` must be left out for {rows.shape[1] + 1}-grams of {size} "
            f"words, which cannot be counted"
        )
    keys = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        keys = keys * size + column
    return keys


def _back_offs(model: SphinxModel, n: int) -> np.ndarray:
    """What each history of n - 1 words leaves for others, log10, [N]."""
    order, lower = model.orders[n - 1], model.orders[n - 2]
    places = _places(model, model.rows(n)[:, :-1])
    is_there = places >= 0
    said, shorter = (
        np.bincount(
            places[is_there], 10.0 ** p[is_there], minlength=len(lower.words)
        )
        for p in (order.log_probs, lower.log_probs[order.parents])
    )
    has_some = np.bincount(places[is_there], minlength=len(lower.words)) > 0
    left = np.clip(1 - said, 1e-9, None) / np.clip(1 - shorter, 1e-9, None)
    return np.where(has_some, np.log10(left), 0.0)
