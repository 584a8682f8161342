"""What a model folder says of the speech it was trained on."""

import math
from pathlib import Path
from typing import Optional, Union

from dld_brain.files.manifest import read_json
from dld_brain.model_folder.save import TRAINING


def longest_utterance(folder: Union[str, Path]) -> Optional[float]:
    """Length of the longest utterance of a model's training, s.

    Returns
    -------
    float
        None where training.json does not say.
    """
    path = Path(folder, TRAINING)
    told = read_json(path) if path.is_file() else {}
    found = told.get("longest_utterance") if isinstance(told, dict) else None
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    return float(found) if is_number and 0 < found < math.inf else None
