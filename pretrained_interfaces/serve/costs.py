"""What batches cost: the calibration, and what was measured since."""

from collections.abc import Callable, Sequence

#: Least weight of a new batch in the mean of measured / calibrated.
NEWEST = 0.1
#: What that mean stays between: one stalled batch says little.
SCALES = (0.1, 10.0)

#: (n_layers, seconds of audio) -> seconds of computation of one request.
Cost = Callable[[int, float], float]
#: By depth, measured / calibrated, and of how many batches.
Scales = dict[int, tuple[float, int]]


class LearnedCosts:
    """Costs of batches, by depth and size, that follow what is measured.

    Batches of each size (1, 2 to 3, 4 to 7, ...) have scales of their own: a
    batch of many costs less than as many alone. So have depths: speech costs
    them other than noise, which they were calibrated on.

    Example
    -------
    >>> costs = LearnedCosts(lambda n_layers, seconds: 0.1 * n_layers)
    >>> costs.cost(2, [1.0, 1.0])
    0.4
    >>> for _ in range(50):
    ...     costs.observe(2, [1.0, 1.0], 0.3)
    >>> round(costs.cost(2, [1.0, 1.0]), 2), costs.cost(2, [1.0])
    (0.3, 0.2)
    """

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._scales: dict[int, Scales] = {}

    def cost(self, n_layers: int, batch: Sequence[float]) -> float:
        """What a batch of audio of these lengths takes, s.

        At a depth between two that were run: as far between their costs as it
        was calibrated.
        """
        scales = self._of_size(len(batch))
        planned = self._sum(n_layers, batch)
        below = max((n for n in scales if n <= n_layers), default=None)
        above = min((n for n in scales if n >= n_layers), default=None)
        if below is None or above is None or below == above:
            nearest = above if below is None else below
            return planned * scales.get(nearest, (1.0, 0))[0]
        first, last = (self._sum(n, batch) for n in (below, above))
        low, high = scales[below][0] * first, scales[above][0] * last
        share = (planned - first) / (last - first or 1.0)
        return low + min(1.0, max(0.0, share)) * (high - low)

    def observe(
        self, n_layers: int, batch: Sequence[float], seconds: float
    ) -> None:
        """Learns from what a batch took."""
        planned = self._sum(n_layers, batch)
        if not batch or planned <= 0:
            return
        low, high = SCALES
        found = min(high, max(low, seconds / planned))
        old = self.cost(n_layers, batch) / planned
        known = self._of_size(len(batch))
        scales = self._scales.setdefault(
            len(batch).bit_length(), {n: (s, 0) for n, (s, _) in known.items()}
        )
        n_seen = scales.get(n_layers, (old, 0))[1]
        new = old + max(NEWEST, 1 / (n_seen + 2)) * (found - old)
        for n, (scale, count) in scales.items():
            if count == 0:  # what a size saves, it saves at any depth
                scales[n] = (scale * new / old, 0)
        scales[n_layers] = (new, n_seen + 1)

    def _sum(self, n_layers: int, batch: Sequence[float]) -> float:
        """What as many requests take by the calibration, s."""
        return sum(self._cost(n_layers, seconds) for seconds in batch)

    def _of_size(self, size: int) -> Scales:
        """Scales of a size, or of the nearest smaller size known."""
        known = [s for s in self._scales if s <= size.bit_length()]
        return self._scales[max(known)] if known else {}
