"""What takes whose place: a stronger value over a weaker one."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from dld_brain.run.blocks import BLOCKS
from dld_brain.run.checks import shown
from dld_brain.run.settings import KINDS
from dld_brain.run.tree import tag

#: Tags of what an hparams file makes.
OBJECTS = ("!new:", "!apply:", "!name:")
#: Objects that a run can do without.
MAY_BE_NONE = ("wav_augment", "fea_augment")


def override(
    tree: dict[str, Any], layers: Iterable[Mapping[str, Any]]
) -> set[str]:
    """Puts values into a tree, the weakest layer first.

    Arguments
    ---------
    tree : dict
        Keys and nodes; changed in place.

    Returns
    -------
    set of str
        Keys that a layer sets.

    Raises
    ------
    ValueError
        If the tree has no such key, or an object there.

    Example
    -------
    >>> tree = {"lr": 0.1, "seed": 1}
    >>> override(tree, [{"lr": 0.2}, {"lr": 0.3}]), tree
    ({'lr'}, {'lr': 0.3, 'seed': 1})
    """
    changed: set[str] = set()
    for layer in layers:
        for key, value in layer.items():
            if key not in tree:
                raise unknown_key(key, tree)
            check_object(key, tree[key], value)
            tree[key] = merged(key, tree[key], value)
            changed.add(key)
    return changed


def merged(key: str, weak: Any, strong: Any) -> Any:
    """A value over another: mappings are joined, a block is by its choice."""
    if key in BLOCKS:
        return BLOCKS[key].merged(weak, strong)
    both = isinstance(weak, dict) and isinstance(strong, dict)
    if not both or tag(weak) or tag(strong):
        return strong
    return {
        **weak,
        **{
            name: merged("", weak[name], value) if name in weak else value
            for name, value in strong.items()
        },
    }


def unknown_key(key: str, known: Any) -> ValueError:
    """The error for a key that is defined nowhere.

    Example
    -------
    >>> unknown_key("task_wieght", {"task_weight"})
    ValueError('no hyperparameter is called `task_wieght`: try `task_weight`')
    """
    key = str(key)[:100]
    within = [
        f"{name}.{key}"
        for name, block in BLOCKS.items()
        if name in known and any(key in block.options(w) for w in block.makers)
    ]
    near = within[:3] or difflib.get_close_matches(key, sorted(known), n=3)
    hint = f": try `{'`, `'.join(near)}`" if near else ""
    return ValueError(f"no hyperparameter is called `{key}`{hint}")


def is_setting(key: str, tree: Mapping[str, Any]) -> bool:
    """Whether a key has a value, and no object that is made of others.

    Example
    -------
    >>> is_setting("lr", {"lr": 0.1}), is_setting("modules", {"modules": {}})
    (True, False)
    """
    if key not in tree:
        return False
    node = tree[key]
    is_inner = key not in KINDS and isinstance(node, dict) and not tag(node)
    return not is_inner and not tag(node).startswith(("!new:", "!apply:"))


def check_object(key: str, node: Any, value: Any) -> None:
    """Raises where a value would take the place of an object.

    Example
    -------
    >>> check_object("lr", 0.1, 0.2)
    """
    if value is None and key in MAY_BE_NONE:
        return
    is_object = tag(node).startswith(OBJECTS)
    is_inner = key not in KINDS and isinstance(node, dict)
    if (is_object and not tag(value).startswith(OBJECTS)) or (
        is_inner and not isinstance(value, dict)
    ):
        raise ValueError(
            f"`{key}` must be an object of the hparams file ({tag(node)}...), "
            f"no setting, but is {shown(value)}"
        )
