"""The depth that the arguments of a call stand for."""

from typing import Optional, Union

from pretrained_interfaces.depths.depth import Budget, Depth, Fixed


def choose_depth(
    depth: Union[int, Depth, None] = None,
    n_layers: Optional[int] = None,
    max_rtf: Optional[float] = None,
    max_latency: Optional[float] = None,
    best_effort: bool = False,
) -> Depth:
    """The depth that the arguments of a call stand for.

    Arguments
    ---------
    n_layers, max_rtf, max_latency, best_effort
        The short way for `Fixed` and `Budget`.

    Raises
    ------
    ValueError
        If more than one is given.

    Example
    -------
    >>> choose_depth(4), choose_depth(max_latency=0.3)
    (Fixed(n_layers=4), Budget(max_rtf=None, max_latency=0.3, ...))
    >>> choose_depth(4, max_rtf=0.1)
    Traceback (most recent call last):
    ...
    ValueError: give `depth` or a budget (`max_rtf`), not both
    """
    budget = {"max_rtf": max_rtf, "max_latency": max_latency}
    budget = {name: v for name, v in budget.items() if v is not None}
    given = {"depth": depth, "n_layers": n_layers}
    given = {name: v for name, v in given.items() if v is not None}
    if len(given) == 2:
        raise ValueError("give `depth` or `n_layers`, not both")
    if given and budget:
        (name,) = given
        raise ValueError(
            f"give `{name}` or a budget (`{'`, `'.join(budget)}`), not both"
        )
    if best_effort and not budget:
        raise ValueError(
            "`best_effort` needs a budget: `max_rtf` or `max_latency`"
        )
    if budget:
        return Budget(**budget, best_effort=best_effort)
    value = next(iter(given.values()), None)
    return value if isinstance(value, Depth) else Fixed(value)
