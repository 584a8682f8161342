"""What a model folder says of its errors at each depth."""

import math
import re
from pathlib import Path
from typing import Any, Optional

import yaml

from dld_brain.files.manifest import read_json
from dld_brain.model_folder.card import CARD
from dld_brain.model_folder.save import REPORT, TRAINING

#: How a model card names a rate: "WER, 3 layers (trained)".
IN_CARD = re.compile(r"(\w+), (\d+) layers\b")


def known_errors(folder: Optional[str]) -> Optional[dict[str, Any]]:
    """Errors by depth: of its report, what training.json or its card says.

    Arguments
    ---------
    folder : str, optional
        A model folder, if that is known.

    Returns
    -------
    dict
        `metric`, `set`, and `points` of `n_layers` and `rate` (%), rising
        in layers; None if nothing is known.
    """
    if folder is None:
        return None
    path = Path(folder)
    return (
        _of_sets(_read(path / REPORT).get("sets"))
        or _of_sets(_read(path / TRAINING).get("report"))
        or _of_card(path / CARD)
    )


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is none."""
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def _of_sets(sets: Any) -> Optional[dict[str, Any]]:
    """Of a report's sets, the first test set; the first where none is."""
    if not isinstance(sets, dict):
        return None
    for name in sorted(sets, key=lambda name: "test" not in str(name)):
        rows = [
            (row.get("n_layers"), row.get("rates"))
            for row in sets[name] or ()
            if isinstance(row, dict) and isinstance(row.get("rates"), dict)
        ]
        metric = next((m for _, rates in rows for m in rates), "")
        found = [(n_layers, rates.get(metric)) for n_layers, rates in rows]
        curve = _curve(metric, name, found)
        if curve is not None:
            return curve
    return None


def _of_card(path: Path) -> Optional[dict[str, Any]]:
    """Of the head of a model card."""
    text = path.read_text("utf-8") if path.is_file() else ""
    head = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    try:
        card = yaml.safe_load(head[1]) if head else None
        (model,) = card["model-index"]
        first = model["results"][0]["dataset"]["split"]
        rows = [r for r in model["results"] if r["dataset"]["split"] == first]
        metrics = [m for row in rows for m in row["metrics"]]
        named = [(IN_CARD.match(m["name"]), m["value"]) for m in metrics]
    except (yaml.YAMLError, TypeError, KeyError, IndexError, ValueError):
        return None  # a card that others wrote
    found = [(int(name[2]), rate) for name, rate in named if name]
    metric = next((name[1] for name, _ in named if name), "")
    return _curve(metric, first, found)


def _curve(
    metric: str, name: Any, found: list[tuple[Any, Any]]
) -> Optional[dict[str, Any]]:
    """Points that are numbers, if there are two of them or more."""
    points = {n: rate for n, rate in found if _is_rate(n) and _is_rate(rate)}
    if len(points) < 2:
        return None
    return {
        "metric": metric,
        "set": str(name),
        "points": [
            {"n_layers": int(n), "rate": round(float(rate), 2)}
            for n, rate in sorted(points.items())
        ],
    }


def _is_rate(value: Any) -> bool:
    """Whether it is a number that is not below 0."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value < math.inf
