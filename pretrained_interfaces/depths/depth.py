"""How deep an utterance runs: a number, a budget, a doubt, or a router.

Whatever is given as `depth` is one of these, and says itself which layers
run; what does not go together cannot be written.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, Optional

import torch

from dld_brain.depth_table import DepthTable
from dld_brain.encoder.deepen import Step, deepen, default_ladder
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.routers.of_input import InputRouter
from dld_brain.gates.gates import (
    Gates,
    Routed as RoutedRun,
)
from dld_brain.tasks.confidence import mean_confidence, mean_entropy

if TYPE_CHECKING:
    from pretrained_interfaces.depths.calibrated import Calibrated


#: Features [1, T, F] and lengths [1] -> the answer, whose `n_computed` counts
#: all layers that were computed on the way.
Plan = Callable[[torch.Tensor, torch.Tensor], Step]


class Depth(ABC):
    """Decides which layers of a model run."""

    @abstractmethod
    def check(self, model: "Calibrated") -> None:
        """Raises unless the model can do so; before a file is read."""

    @abstractmethod
    def plan(self, model: "Calibrated", seconds: float) -> Plan:
        """What answers an audio of that length, s; made before time counts."""


@dataclass(frozen=True)
class Fixed(Depth):
    """So many layers, those that the depth table has for it.

    Arguments
    ---------
    n_layers : int, optional
        All if not given.
    """

    n_layers: Optional[int] = None

    def check(self, model: "Calibrated") -> None:
        """See `Depth.check`."""
        model.gates(self.n_layers)

    def plan(self, model: "Calibrated", seconds: float) -> Plan:
        """See `Depth.plan`."""
        rungs = [model.gates(self.n_layers)]
        return partial(_climb, model.mods.model, rungs, lambda step: True)


@dataclass(frozen=True)
class Budget(Depth):
    """The deepest depth that is fast enough on this machine.

    A model that was not calibrated here is calibrated first.

    Arguments
    ---------
    max_rtf : float, optional
        Highest real-time factor, seconds for a second of audio.
    max_latency : float, optional
        Longest time from file to text, s.
    best_effort : bool
        Whether the fastest depth is taken where none fits.

    Example
    -------
    >>> Budget(max_rtf=0.5, max_latency=3.0).seconds(audio_seconds=10.0)
    3.0
    >>> Budget(max_rtf=0)
    Traceback (most recent call last):
    ...
    ValueError: `max_rtf` must be more than 0, but is 0
    """

    max_rtf: Optional[float] = None
    max_latency: Optional[float] = None
    best_effort: bool = False

    def __post_init__(self) -> None:
        if self.max_rtf is None and self.max_latency is None:
            raise ValueError(
                "a budget must have `max_rtf` or `max_latency`, but has neither"
            )
        for name in ("max_rtf", "max_latency"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                raise ValueError(
                    f"`{name}` must be more than 0, but is {value!r}"
                )

    def seconds(self, audio_seconds: float) -> float:
        """The time there is for an audio, s."""
        limits = []
        if self.max_rtf is not None:
            limits.append(self.max_rtf * audio_seconds)
        if self.max_latency is not None:
            limits.append(self.max_latency)
        return min(limits)

    def check(self, model: "Calibrated") -> None:
        """See `Depth.check`."""

    def plan(self, model: "Calibrated", seconds: float) -> Plan:
        """See `Depth.plan`."""
        return Fixed(model.depth_for(seconds, self)).plan(model, seconds)


@dataclass(frozen=True)
class Escalate(Depth):
    """Starts shallow and goes deeper where the answer is unsure.

    What two depths compute alike is taken over, which is exact.

    Arguments
    ---------
    max_entropy : float, optional
        An answer is sure enough if the mean entropy of its posterior is no
        higher, nats per frame.
    min_confidence : float, optional
        Or if its confidence is no lower, in (0, 1); see `Transcription`.
    start : int, optional
        The first depth; a third of the layers if not given.
    ladder : sequence of int, optional
        Depths that are tried, rising; by default `start`, one half way, and
        the deepest.
    """

    max_entropy: Optional[float] = None
    start: Optional[int] = None
    ladder: Optional[Sequence[int]] = None
    min_confidence: Optional[float] = None

    def __post_init__(self) -> None:
        if (self.max_entropy is None) == (self.min_confidence is None):
            raise ValueError(
                "give either `max_entropy` or `min_confidence`, which say "
                "when an answer is sure enough"
            )
        entropy, confidence = self.max_entropy, self.min_confidence
        if entropy is not None and not (_is_number(entropy) and entropy >= 0):
            raise ValueError(
                f"`max_entropy` must be at least 0 (nats per frame), but is "
                f"{entropy!r}"
            )
        if confidence is not None and not (
            _is_number(confidence) and 0 < confidence < 1
        ):
            raise ValueError(
                f"`min_confidence` must be between 0 and 1, but is "
                f"{confidence!r}"
            )
        if self.start is not None and self.ladder is not None:
            raise ValueError(
                "give `ladder` or `start`, which is its first depth, not both"
            )

    def rungs(self, model: "Calibrated") -> list[Gates]:
        """What is tried in turn."""
        depths = self.ladder
        if depths is None:
            shallow = [n for n in model.depths if n <= model.n_total // 3]
            start = self.start
            if start is None:
                start = max(shallow, default=model.depths[0])
            model.gates(start)
            depths = default_ladder(start, model.depths)
        rungs = [model.gates(depth) for depth in depths]
        found = [gates.depth for gates in rungs]
        if not found or found != sorted(set(found)):
            raise ValueError(
                f"`ladder` must be depths that rise, but is {list(depths)}"
            )
        return rungs

    def check(self, model: "Calibrated") -> None:
        """See `Depth.check`."""
        rungs = self.rungs(model)
        if self.min_confidence is not None:
            of_layers = {tuple(row.layers): row for row in model.table.rows}
            for gates in rungs:
                row = of_layers.get(gates.layers)
                if row is None or row.confidence_slope is None:
                    raise ValueError(
                        f"`min_confidence` needs a confidence that was fitted, "
                        f"but depth {gates.depth} has none: evaluate the "
                        f"model (train.py --test_only), or give `max_entropy`"
                    )

    def plan(self, model: "Calibrated", seconds: float) -> Plan:
        """See `Depth.plan`."""
        is_sure = partial(self._is_sure, model.table)
        return partial(_climb, model.mods.model, self.rungs(model), is_sure)

    def _is_sure(self, table: DepthTable, step: Step) -> bool:
        """Whether an answer is sure enough."""
        if self.max_entropy is not None:
            return float(mean_entropy(step.out)) <= self.max_entropy
        probability = float(mean_confidence(step.out))
        found = table.confidence(step.gates.layers, probability)
        return found >= self.min_confidence


@dataclass(frozen=True)
class Routed(Depth):
    """The model's router looks at the input and decides.

    Arguments
    ---------
    threshold : float
        Layers run whose probability is higher, in [0, 1).
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not (_is_number(self.threshold) and 0 <= self.threshold < 1):
            raise ValueError(
                f"`threshold` must be at least 0 and less than 1, but is "
                f"{self.threshold!r}"
            )

    def check(self, model: "Calibrated") -> None:
        """See `Depth.check`."""
        if not isinstance(model.mods.model.router, InputRouter):
            raise ValueError(
                "depth=Routed() needs a model whose router looks at the "
                "input: train one with hparams/baselines/conformer_i3d.yaml"
            )

    def plan(self, model: "Calibrated", seconds: float) -> Plan:
        """See `Depth.plan`."""
        return partial(_route, model.mods.model, self.threshold)


def _is_number(value: Any) -> bool:
    """Whether it is a number of any library, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _climb(
    model: DynamicEncoder,
    rungs: Sequence[Gates],
    is_sure: Callable[[Step], bool],
    feats: torch.Tensor,
    lengths: torch.Tensor,
) -> Step:
    """Goes deeper until an answer is sure enough."""
    n_computed = 0
    x, lengths = model.stem(feats, lengths)
    for step in deepen(model, x, lengths, rungs):
        n_computed += step.n_computed
        if step.gates == rungs[-1] or is_sure(step):
            break
    return step._replace(n_computed=n_computed)


def _route(
    model: DynamicEncoder,
    threshold: float,
    feats: torch.Tensor,
    lengths: torch.Tensor,
) -> Step:
    """Runs the layers that the router opens."""
    (out,) = model(feats, lengths, [RoutedRun(threshold=threshold)])
    layers = out.routing.gate[:, 0].nonzero()[:, 0].tolist()
    gates = Gates.of(layers, model.n_total)
    return Step(gates, out, gates.depth)
