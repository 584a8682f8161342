"""What the paper reports, and how a table shows it beside what is ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import yaml

from dld_brain.evaluation.tables import mean_and_deviation

DATA = Path(__file__).with_name("paper.yaml")
#: What a cell says where the paper has the method, but not this value.
UNKNOWN = "not published"
#: What marks a value that follows from others that the paper prints.
DERIVED = "~"
FOOTNOTE = (
    f'"{UNKNOWN}": the paper gives no number in a form that could be read. '
    f'"{DERIVED}": derived from differences that its text gives; '
    'dld_brain/paper/paper.yaml has the arithmetic. "ours": the paper has '
    "no such row."
)


def read_paper() -> dict[str, Any]:
    """What paper.yaml holds, by the name of a table or figure."""
    return yaml.safe_load(DATA.read_text(encoding="utf-8"))


class Published(NamedTuple):
    """The paper's values for a test set.

    Arguments
    ---------
    printed, derived : mapping of str to mapping of int to float
        By method and depth, %.
    """

    printed: Mapping[str, Mapping[int, float]]
    derived: Mapping[str, Mapping[int, float]]

    @classmethod
    def of(cls, part: Mapping[str, Any]) -> "Published":
        """Those of a part of paper.yaml."""
        return cls(part["paper"], part.get("derived", {}))

    def knows(self, method: str) -> bool:
        """Whether the paper has a row of this name."""
        return method in self.printed

    def points(self, method: str) -> dict[int, float]:
        """All values of a method, printed and derived, by depth."""
        derived = self.derived.get(method, {})
        return dict(sorted({**derived, **self.printed[method]}.items()))

    def text(self, method: str, n_layers: int) -> str:
        """A value as a cell shows it.

        Example
        -------
        >>> paper = Published({"DLD": {12: 4.57}}, {"DLD": {3: 23.25}})
        >>> [paper.text("DLD", n) for n in (2, 3, 12)]
        ['not published', '~23.25', '4.57']
        """
        if n_layers in self.printed[method]:
            return f"{self.printed[method][n_layers]:.2f}"
        value = self.derived.get(method, {}).get(n_layers)
        return UNKNOWN if value is None else f"{DERIVED}{value:.2f}"

    def cell(
        self, method: str, n_layers: int, ours: Optional[list[float]]
    ) -> str:
        """Ours, and behind it the paper's in parentheses.

        Example
        -------
        >>> paper = Published({"DLD": {6: 7.32}}, {})
        >>> paper.cell("DLD", 6, [7.0, 8.0]), paper.cell("DLD", 6, None)
        ('7.50 ± 0.71 (7.32)', '- (7.32)')
        >>> paper.cell("DLD plus", 6, [7.0])
        '7.00'
        """
        text = mean_and_deviation(ours, decimals=2) if ours else "-"
        if not self.knows(method):
            return text
        return f"{text} ({self.text(method, n_layers)})"
