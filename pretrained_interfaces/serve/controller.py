"""How deep the next batch runs: from what waits, what depths cost, the target.

Pure logic: the time is an argument, and nothing here sleeps, reads a clock or
knows a model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Optional, Union

from pretrained_interfaces.serve.costs import Cost, LearnedCosts

#: What a batch is planned to take of the time that it has: the rest is for
#: what is not planned, such as a batch that took longer.
PLANNED = 0.9
#: A deeper depth than the last must fit into this share of that time.
DEEPER = 0.85
#: Requests of which the cost of each is found where many more are expected: a
#: batch of more is rare, and the loop waits while they are summed up.
MOST_ALIKE = 64
#: Depths whose costs differ by less cost the same: then the deeper one runs.
SAME = 1.05


@dataclass(frozen=True)
class Load:
    """Work that waits or runs, the next batch included.

    Arguments
    ---------
    n_requests : int
        Those that wait and leave their depth to the controller.
    audio_seconds : float
        Their audio, s.
    fixed_seconds : float
        Computation of those that wait and named their depth, s.
    running_seconds : float
        Computation that is still to do of what runs, s.
    rate : float
        Requests that arrive in a second.
    """

    n_requests: int = 0
    audio_seconds: float = 0.0
    fixed_seconds: float = 0.0
    running_seconds: float = 0.0
    rate: float = 0.0


class DepthController:
    """Chooses the deepest depth at which nobody is answered too late.

    A depth fits if the batch, and what waits behind it at the same depth, end
    in time, and so do those that arrive meanwhile, at the fastest depth. It
    gets shallower at once. It gets deeper one depth at a time,
    where the next fits with room to spare, and not more often than each
    `hold`: load that goes up and down does not make the depth flap. Where no
    depth fits, it is the fastest, which need not be the shallowest: a Whisper
    that hears worse may say more, and its decoder take longer.

    Arguments
    ---------
    depths : sequence of int
        That the model has.
    cost : callable
        Measured cost; see `Cost`.
    target : float
        What 95 % of the requests are to be answered in, s.
    n_workers : int
        Batches that run at the same time.
    floor : int, optional
        The shallowest depth that is chosen; the model's if not given.
    hold : float
        Time between two deeper choices, s.

    Example
    -------
    >>> cost = lambda n_layers, seconds: 0.02 * n_layers
    >>> controller = DepthController([2, 6, 12], cost, target=0.5)
    >>> controller.choose(now=0.0, load=Load(1, 5.0), batch=[5.0], slack=0.5)
    12
    >>> controller.choose(now=0.1, load=Load(9, 45.0), batch=[5.0], slack=0.4)
    2
    """

    def __init__(
        self,
        depths: Sequence[int],
        cost: Cost,
        target: float,
        n_workers: int = 1,
        floor: Optional[int] = None,
        hold: float = 0.1,
    ) -> None:
        if not 0 < target < inf:
            raise ValueError(
                f"`target_p95` must be more than 0 (s), but is {target!r}"
            )
        floor = min(depths) if floor is None else floor
        if floor not in depths:
            known = ", ".join(map(str, sorted(depths)))
            raise ValueError(
                f"`floor` must be a depth of the model ({known}), but is "
                f"{floor!r}"
            )
        self.depths = sorted(n for n in depths if n >= floor)
        self.target, self.n_workers, self.hold = target, n_workers, hold
        #: Depth of the last batch whose depth was chosen.
        self.current = self.depths[-1]
        self._costs = LearnedCosts(cost)
        self._deeper_at = -inf

    @property
    def floor(self) -> int:
        """The shallowest depth that is chosen."""
        return self.depths[0]

    def cost(self, n_layers: int, batch: Sequence[float]) -> float:
        """What a batch of audio of these lengths takes, s."""
        return self._costs.cost(n_layers, batch)

    def fastest(self, batch: Sequence[float]) -> int:
        """The deepest of the depths at which a batch takes the least."""
        costs = {n: self.cost(n, batch) for n in self.depths}
        return max(n for n in costs if costs[n] <= SAME * min(costs.values()))

    def choose(
        self,
        now: float,
        load: Union[Load, Mapping[float, Load]],
        batch: Sequence[float],
        slack: float,
    ) -> int:
        """The depth of the next batch.

        Arguments
        ---------
        now : float
            Any clock that does not go back, s.
        load : Load or {float: Load}
            With this batch; or, by the time within which it should end (s),
            what is due until then, the most urgent first.
        batch : sequence of float
            Lengths of its audio, s.
        slack : float
            Time until the first of its requests should be answered, s.
        """
        loads = {self.target: load} if isinstance(load, Load) else load
        spare = self._share_of_time(loads, batch, slack)
        fitting = [n for n in self.depths if spare(n) <= PLANNED]
        wanted = max(fitting) if fitting else self.fastest(batch)
        if wanted > self.current:
            wanted = self._deeper(now, spare, batch)
        self.current = wanted
        return wanted

    def _deeper(
        self,
        now: float,
        spare: Callable[[int], float],
        batch: Sequence[float],
    ) -> int:
        """The next deeper depth, if it may be.

        It must fit with room to spare, or cost no more than the last.
        """
        following = next(n for n in self.depths if n > self.current)
        costs = [self.cost(n, batch) for n in (self.current, following)]
        is_dearer = costs[1] > SAME * costs[0]
        is_early = now - self._deeper_at < self.hold
        if is_early or is_dearer and spare(following) > PLANNED * DEEPER:
            return self.current
        self._deeper_at = now
        return following

    def _share_of_time(
        self, loads: Mapping[float, Load], batch: Sequence[float], slack: float
    ) -> Callable[[int], float]:
        """By depth, how much of the time there is the work would take."""
        urgent = next(iter(loads.values()))

        def share(n_layers: int) -> float:
            """Of the batch, or of all that waits or comes; what is most."""
            own = self.cost(n_layers, batch)
            shares = [
                max(own, self.backlog(n_layers, load)) / within
                for within, load in loads.items()
            ]
            shares.append(self._end_of_next(own, urgent, batch) / self.target)
            return max(own / slack if slack > 0 else inf, *shares)

        return share

    def _end_of_next(
        self, own: float, load: Load, batch: Sequence[float]
    ) -> float:
        """When those that arrive while a batch runs would be answered, s.

        Arrivals are Poisson's: as many as their mean and a standard deviation
        are to be in time. They are of the batch's mean length, and run with
        what waits at the fastest depth.
        """
        busy = own + load.running_seconds + load.fixed_seconds
        arriving = load.rate * busy / self.n_workers
        n_behind = max(0, load.n_requests - len(batch))
        n_behind += arriving + arriving**0.5
        n_like = min(MOST_ALIKE, max(1, round(n_behind)))
        like = [sum(batch) / len(batch)] * n_like
        each = self.cost(self.fastest(like), like) / len(like)
        return (busy + n_behind * each) / self.n_workers

    def backlog(self, n_layers: int, load: Load) -> float:
        """When a request behind all of a load would begin, s."""
        waiting = 0.0
        if load.n_requests:
            mean = load.audio_seconds / load.n_requests
            waiting = self.cost(n_layers, [mean] * load.n_requests)
        busy = waiting + load.fixed_seconds + load.running_seconds
        return busy / self.n_workers

    def refusal(
        self, load: Load, own_seconds: float, target: Optional[float] = None
    ) -> Optional[int]:
        """Whether a request comes too late even at the fastest depth.

        Arguments
        ---------
        load : Load
            Without the request.
        own_seconds : float
            What the request takes itself at that depth, s. One that fills
            the target by itself is refused where it would wait for as long
            as that.
        target : float, optional
            When it is to be answered, s; the controller's if not given.

        Returns
        -------
        int
            Whole seconds after which it can be tried again; None if it is
            taken.
        """
        mean = load.audio_seconds / max(load.n_requests, 1)
        depth = self.fastest([mean] * max(load.n_requests, 1))
        wait = self.backlog(depth, load)
        target = self.target if target is None else target
        own = 0.0 if own_seconds > PLANNED * target else own_seconds
        if wait + own <= PLANNED * target:
            return None
        return max(1, ceil(wait + own - target))

    def observe(
        self, n_layers: int, batch: Sequence[float], seconds: float
    ) -> None:
        """Learns from what a batch took."""
        self._costs.observe(n_layers, batch, seconds)
