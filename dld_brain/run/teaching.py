"""The teacher of a run, as its Brain gets it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from dld_brain.model_folder import PretrainedModel, weights_hash
from dld_brain.run.settings import Settings
from dld_brain.training.kept_answers import KeptAnswers

logger = logging.getLogger(__name__)

#: Settings of data that make what a teacher hears another in each epoch.
CHANGES_SPEECH = (
    "speed_perturb",
    "feature_drops",
    "no_speech",
    "no_speech_around",
)


def teaching(
    settings: Settings, teacher: Optional[PretrainedModel], folder: str
) -> Optional[Mapping[str, Any]]:
    """Modules of the teacher, as the brain gets them.

    Arguments
    ---------
    folder : str
        The teacher's, beside which its answers are kept if they are to be.
    """
    if teacher is None:
        return None
    modules = teacher.modules
    if not settings.losses.distillation["keep_answers"]:
        return modules
    changes = [key for key in CHANGES_SPEECH if getattr(settings.data, key)]
    if changes:
        logger.info(
            "the teacher's answers are not kept (`keep_answers`): with `%s` "
            "each epoch has other speech",
            changes[0],
        )
        return modules
    answers = Path(folder).resolve().with_name("answers")
    whisper = modules["model"]
    kept = KeptAnswers(whisper, weights_hash(whisper), answers)
    return {**modules, "model": kept}
