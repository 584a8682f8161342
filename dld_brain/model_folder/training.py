"""What a model folder says of the speech it was trained on."""

import math
from pathlib import Path
from typing import Any, Optional, Union

from dld_brain.files.manifest import read_json
from dld_brain.model_folder.save import TRAINING


def longest_utterance(folder: Union[str, Path]) -> Optional[float]:
    """Length of the longest utterance of a model's training, s.

    Returns
    -------
    float
        None where training.json does not say.
    """
    found = _told(folder).get("longest_utterance")
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return float(found) if is_number and 0 < found < math.inf else None


def trained_in_chunks(folder: Union[str, Path]) -> Optional[bool]:
    """Whether a model's training has seen chunks (docs/streaming.md).

    Returns
    -------
    bool
        None where training.json does not say.
    """
    found = _told(folder).get("in_chunks")
    return found if isinstance(found, bool) else None


def _told(folder: Union[str, Path]) -> dict[str, Any]:
    """What training.json says, where there is one."""
    path = Path(folder, TRAINING)
    told = read_json(path) if path.is_file() else {}
    return told if isinstance(told, dict) else {}
