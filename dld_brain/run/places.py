"""Where hparams/ and recipes/ lie: the one place that knows."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
#: Beside the package in a clone, inside it where a wheel was installed.
IS_CLONE = (PACKAGE.parent / "recipes/__init__.py").is_file()
ROOT = PACKAGE.parent if IS_CLONE else PACKAGE
RECIPES = ROOT / "recipes"
HPARAMS = ROOT / "hparams"
SHARED = HPARAMS / "shared"


def corpora() -> list[str]:
    """Names of the folders of recipes/ that describe a corpus."""
    return sorted(path.parent.name for path in RECIPES.glob("*/corpus.yml"))


def find_preparation(corpus: str, name: str) -> Callable[..., None]:
    """The function of a corpus that writes its CSV files.

    Arguments
    ---------
    name : str
        Module beside the corpus's corpus.yml, and function in it.

    Example
    -------
    >>> find_preparation("AN4", "an4_prepare.prepare_an4").__name__
    'prepare_an4'
    """
    package = _recipes_package()
    module, _, function = name.partition(".")
    found = importlib.import_module(f"{package}.{corpus}.{module}")
    return getattr(found, function)


def _recipes_package() -> str:
    """Imports recipes/ by its path, wherever it lies, and names it."""
    name = f"{PACKAGE.name}_recipes"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name,
            RECIPES / "__init__.py",
            submodule_search_locations=[str(RECIPES)],
        )
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return name
