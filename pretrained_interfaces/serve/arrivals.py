"""How often requests arrive."""

from typing import Optional

#: Weight of the newest gap in the mean: some 20 requests are remembered.
NEWEST = 0.05
#: A gap counts as at most so many of the mean, which it then about doubles: an
#: hour of silence says that nobody came, and not how often they come behind it.
LONGEST = 1 / NEWEST
#: What the mean counts as at least for that, s: of a burst it is 0.
SHORTEST = 1e-3


class ArrivalRate:
    """The mean of the last gaps between requests, as a rate.

    Example
    -------
    >>> arrivals = ArrivalRate()
    >>> arrivals.at(1.0)
    0.0
    >>> for i in range(4):
    ...     arrivals.add(0.25 * i)
    >>> arrivals.at(0.8), arrivals.at(5.0)  # nobody came for 4.25 s
    (4.0, 0.23529411764705882)
    """

    def __init__(self) -> None:
        self._last: Optional[float] = None
        self._gap, self._n_gaps = 0.0, 0

    def add(self, now: float) -> None:
        """A request has arrived.

        Arguments
        ---------
        now : float
            Any clock that does not go back, s.
        """
        if self._last is not None:
            gap = now - self._last
            if self._n_gaps:
                gap = min(gap, LONGEST * max(self._gap, SHORTEST))
            # The second takes the place of the first, which nothing bounds.
            weight = 1.0 if self._n_gaps < 2 else NEWEST
            self._gap += weight * (gap - self._gap)
            self._n_gaps += 1
        self._last = now

    def at(self, now: float) -> float:
        """Requests a second; of one request there is no rate: 0."""
        if self._last is None or self._n_gaps == 0:
            return 0.0
        return 1 / max(self._gap, now - self._last, 1e-6)
