"""One mechanism for all choices: a name, and options by signature.

A choice is a block of an hparams file: a word that names one of several
functions or classes, and options, the arguments of that one.

    gates: {sampler: bernoulli, p_open: 0.5}
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, get_type_hints

from dld_brain.run.checks import PathName, checked, shown


@dataclass(frozen=True)
class Choice:
    """What a block of an hparams file may say.

    Arguments
    ---------
    key : str
        The block's name.
    word : str
        Name of its entry that says which.
    makers : mapping of str to callable
        By the value of `word`, what is made.
    given : tuple of str
        Arguments that the run gives, which are no options.
    common : mapping of str to type
        Options that are there whatever is chosen.
    noun : str
        What all of them are, in messages: "gates".
    paths : tuple of str
        Options that are paths.
    """

    key: str
    word: str
    makers: Mapping[str, Optional[Callable[..., Any]]]
    given: tuple[str, ...] = ()
    common: Mapping[str, Any] = field(default_factory=dict)
    noun: str = ""
    paths: tuple[str, ...] = ()

    def options(self, name: str) -> dict[str, Any]:
        """Types of the options of one of them, by name."""
        maker = self.makers[name]
        found = dict(self.common)
        if maker is None:
            return found
        call = maker.__init__ if inspect.isclass(maker) else maker
        hints = get_type_hints(call, include_extras=True)
        for argument in inspect.signature(call).parameters:
            if argument not in (*self.given, "self"):
                found[argument] = hints[argument]
        return found

    def read(self, block: Any) -> "Block":
        """Reads a block, or the word alone.

        Raises
        ------
        ValueError
            If there is none of that name, it has no such option, or an
            option has another type.
        """
        block = self.as_mapping(block)
        name = block.get(self.word)
        if not isinstance(name, str) or name not in self.makers:
            raise ValueError(
                f"`{self.key}.{self.word}` must be one of "
                f"{', '.join(self.makers)}, but is {shown(name)}"
            )
        known = self.options(name)
        options = {k: v for k, v in block.items() if k != self.word}
        for option, value in options.items():
            if option not in known:
                raise ValueError(
                    f"`{self.key}.{str(option)[:60]}` is no option of {name} "
                    f"{self.noun or self.key}, which have "
                    f"{', '.join(known) or 'none'}"
                )
            kind = PathName if option in self.paths else known[option]
            options[option] = checked(f"{self.key}.{option}", value, kind)
        for option in self.required(name):
            if option not in options:
                raise ValueError(
                    f"`{self.key}.{option}` must be given with {name}"
                )
        return Block(self, str(name), options)

    def required(self, name: str) -> list[str]:
        """Options of one of them that have no value of their own."""
        maker = self.makers[name]
        found = inspect.signature(maker).parameters if maker else {}
        return [
            argument
            for argument, parameter in found.items()
            if argument not in self.given
            and parameter.default is inspect.Parameter.empty
        ]

    def as_mapping(self, block: Any) -> dict[str, Any]:
        """A block, of which the word alone may be given."""
        return dict(block) if isinstance(block, dict) else {self.word: block}

    def merged(self, weak: Any, strong: Any) -> dict[str, Any]:
        """A block under another: where the choice changes, with its options.

        Example
        -------
        >>> choice = Choice("gates", "sampler", {"full": None, "odd": None})
        >>> choice.merged({"sampler": "odd", "p": 1}, {"p": 2})
        {'sampler': 'odd', 'p': 2}
        >>> choice.merged({"sampler": "odd", "p": 1}, "full")
        {'sampler': 'full'}
        """
        weak, strong = self.as_mapping(weak), self.as_mapping(strong)
        if strong.get(self.word, weak[self.word]) != weak[self.word]:
            kept = (self.word, *self.common)
            weak = {key: weak[key] for key in kept if key in weak}
        return {**weak, **strong}


@dataclass(frozen=True)
class Block:
    """A choice that was made.

    Arguments
    ---------
    options : dict
        Those that the file or the command line gives; what it does not
        give is as the signature says.
    """

    choice: Choice
    name: str
    options: dict[str, Any]

    def __getitem__(self, option: str) -> Any:
        return self.options[option]

    def get(self, option: str) -> Any:
        """An option, where it is given."""
        return self.options.get(option)

    def make(self, **given: Any) -> Any:
        """Makes what was chosen; None where it is nothing."""
        maker = self.choice.makers[self.name]
        if maker is None:
            return None
        own = {
            k: v for k, v in self.options.items() if k not in self.choice.common
        }
        try:
            return maker(**{**own, **given})
        except ValueError as error:  # a range, said of the option alone
            raise ValueError(
                str(error).replace("`", f"`{self.choice.key}.", 1)
            ) from None
