"""How deep the next chunk of a stream runs, so that it does not lag behind.

Decisions alone: no clock is read and nothing is computed here.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

#: Beside its layers a chunk costs features, stem and head: as much as this
#: many layers, assumed. Too low, a depth is expected to cost too little.
OVERHEAD = 1.0
#: Chunks whose dearest says what a layer costs now. Other work stalls a chunk in
#: fifteen or so: with 4 of them, a stall was forgotten before the next.
N_REMEMBERED = 9
#: Of its length, what a chunk may take for good: the rest is for the unforeseen.
SUSTAINED = 0.8
#: How much slower a deeper chunk may be than expected, before it is tried.
MARGIN = 1.25


@dataclass(frozen=True)
class Governor:
    """Holds the lag of a stream by the depth of its chunks.

    The deepest depth is chosen that keeps the bound, and that the machine
    keeps up with; where none does, the floor. It goes down at once, and up
    by one depth after `patience` chunks in which that would have done.

    Arguments
    ---------
    max_lag : float
        From the arrival of a chunk's last sample to its text, s.
    floor : int, optional
        The shallowest depth; that of the model if not given.
    patience : int
        Chunks, from 1 on.

    Raises
    ------
    ValueError
        If one is not what it must be.

    Example
    -------
    >>> governing = Governor(max_lag=0.3).start([2, 6, 12], chunk=0.64)
    >>> governing.choose(waiting=0.0)
    2
    >>> Governor(max_lag=0)
    Traceback (most recent call last):
    ...
    ValueError: `max_lag` must be more than 0 s, but is 0
    """

    max_lag: float = 0.3
    floor: Optional[int] = None
    patience: int = 4

    def __post_init__(self) -> None:
        if not self.max_lag > 0:
            raise ValueError(
                f"`max_lag` must be more than 0 s, but is {self.max_lag}"
            )
        if not self.patience >= 1:
            raise ValueError(
                f"`patience` must be 1 chunk or more, but is {self.patience}"
            )

    def start(self, depths: Sequence[int], chunk: float) -> "Governing":
        """Begins a stream.

        Arguments
        ---------
        depths : sequence of int
            Those that the model has, rising.
        chunk : float
            Length of a chunk, s.

        Raises
        ------
        ValueError
            If the floor is none of the depths.
        """
        if self.floor is not None and self.floor not in depths:
            raise ValueError(
                f"`floor` must be one of the depths "
                f"{', '.join(map(str, depths))}, but is {self.floor}"
            )
        floor = depths[0] if self.floor is None else self.floor
        return Governing(self, [n for n in depths if n >= floor], chunk)


class Governing:
    """The governor of one stream; begins at the floor.

    Arguments
    ---------
    depths : sequence of int
        From the floor on, rising.
    chunk : float
        Length of a chunk, s.
    """

    def __init__(
        self, governor: Governor, depths: Sequence[int], chunk: float
    ) -> None:
        self.governor = governor
        self.depths = list(depths)
        self.chunk = chunk
        self.rung = 0
        self.n_fitting = 0
        self.costs: deque[float] = deque(maxlen=N_REMEMBERED)
        #: Chunks that were chosen to run at each depth.
        self.chosen: Counter[int] = Counter()

    def note(self, n_layers: int, seconds: float) -> None:
        """Learns what a chunk took.

        Arguments
        ---------
        seconds : float
            From its first computation to its text.
        """
        self.costs.append(seconds / (n_layers + OVERHEAD))

    def expected(self, n_layers: int) -> float:
        """Seconds that a chunk will take at a depth; 0 before the first."""
        return max(self.costs, default=0.0) * (n_layers + OVERHEAD)

    def fits(self, rung: int, waiting: float, margin: float = 1.0) -> bool:
        """Whether a depth keeps the bound, and the machine keeps up.

        Arguments
        ---------
        rung : int
            Which of `depths`.
        margin : float
            Times what is expected.
        """
        seconds = margin * self.expected(self.depths[rung])
        keeps_up = seconds <= SUSTAINED * self.chunk
        return keeps_up and waiting + seconds <= self.governor.max_lag

    def choose(self, waiting: float) -> int:
        """The depth of the next chunk.

        Arguments
        ---------
        waiting : float
            How long its last sample has been there, s.
        """
        if not self.fits(self.rung, waiting):
            while self.rung and not self.fits(self.rung, waiting):
                self.rung -= 1
            self.n_fitting = 0
        elif self.costs and self.rung + 1 < len(self.depths):
            fits = self.fits(self.rung + 1, waiting, MARGIN)
            self.n_fitting = self.n_fitting + 1 if fits else 0
            if self.n_fitting >= self.governor.patience:
                self.rung += 1
                self.n_fitting = 0
        n_layers = self.depths[self.rung]
        self.chosen[n_layers] += 1
        return n_layers
