"""The trained model that ships with this package."""

from importlib import resources
from pathlib import Path

#: Its folder, in `models/`: written by `python -m dld_brain.export compact`.
NAME = "whisper-tiny.en"


def models() -> Path:
    """The folder of the models that ship: in a clone, or where it is installed."""
    return Path(str(resources.files(__package__))) / "models"


def shipped_model() -> Path:
    """The folder of the model that is taken where none is named.

    Raises
    ------
    FileNotFoundError
        If this copy of the package has none.
    """
    path = models() / NAME
    if not path.is_dir():
        raise FileNotFoundError(
            f"`source` must be given, because this copy of the package has no "
            f"model of its own ({path} is not there): give the folder "
            f"`pretrained` of a run, or owner/name of the Hugging Face Hub"
        )
    return path
