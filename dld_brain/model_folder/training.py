"""What a model folder says of the speech it was trained on."""

import math
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

from dld_brain.files.manifest import read_json
from dld_brain.model_folder.save import TRAINING


class Trained(NamedTuple):
    """The speech of a model's training; None where training.json is silent.

    Arguments
    ---------
    longest_utterance : float, optional
        Its length, s.
    in_chunks : bool, optional
        Whether training has seen chunks (docs/streaming.md).
    """

    longest_utterance: Optional[float] = None
    in_chunks: Optional[bool] = None


def trained_on(folder: Union[str, Path]) -> Trained:
    """Reads training.json, where there is one."""
    path = Path(folder, TRAINING)
    told = read_json(path) if path.is_file() else {}
    told = told if isinstance(told, dict) else {}
    in_chunks = told.get("in_chunks")
    return Trained(
        _positive(told.get("longest_utterance")),
        in_chunks if isinstance(in_chunks, bool) else None,
    )


def _positive(found: Any) -> Optional[float]:
    """A finite number above 0, or None."""
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return float(found) if is_number and 0 < found < math.inf else None
