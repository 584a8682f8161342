"""Makes the tables and pictures of the READMEs and docs from what was measured.

> python benchmarks/publish.py            # writes them
> python benchmarks/publish.py --check    # exit status 1 where they differ
> python benchmarks/publish.py add --run results/AN4/conformer_dld/1986 \
>     --corpus AN4 --row dld --title "DLD, Bernoulli gates"

Tables stand between <!-- table: NAME --> and <!-- end -->; tables.yaml says
what NAME shows.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Optional

import yaml
from comparison import STYLES
from figures import ROOT, add_report, rates, read_row, row_path, write_row
from published_tables import Spec, make_table, rows_of
from serving_tables import draw_refusals
from streaming_tables import draw_lags

from dld_brain.evaluation.plots import DEPTHS, log_scale, picture
from dld_brain.files.whole import write_text

#: How a picture of a benchmark's rows is drawn, by its kind.
BENCHMARKS = {"lags": draw_lags, "refusals": draw_refusals}
MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def documents() -> list[Path]:
    """The files that may hold tables."""
    found = [ROOT / "README.md", ROOT / "benchmarks/README.md"]
    return [*found, *ROOT.glob("docs/*.md"), *ROOT.glob("recipes/*/README.md")]


def read_specs() -> dict[str, dict[str, Spec]]:
    """The tables and pictures of tables.yaml."""
    return yaml.safe_load((ROOT / "benchmarks/tables.yaml").read_text())


def published(text: str, specs: dict[str, Spec]) -> str:
    """A document with its tables made anew."""

    def table(match: re.Match[str]) -> str:
        """The marked table."""
        return f"{match[1]}{make_table(specs[match[2]])}\n{match[3]}"

    return MARKED.sub(table, text)


def scores_at(row: Spec, n: int) -> Spec:
    """What the first run of a row has at a depth."""
    return row["runs"][0]["by_depth"][str(n)]


def draw(spec: Spec, path: Path) -> None:
    """Draws rows against depth; the same rows give the same picture."""
    rows = rows_of(spec)
    x = spec.get("x")
    labels = {"xlabel": x or DEPTHS, "title": spec["title"]}
    log = spec.get("scale") == "log"
    scale = ", log scale" if log else ""
    with picture(
        path, ylabel=f"{rows[0]['metric']}, %{scale}", **labels
    ) as axes:
        for i, row in enumerate(rows):
            found = rates(row)
            middle, spread = zip(*found.values())
            style = {"fmt": STYLES[i % len(STYLES)], "color": f"C{i}"}
            label = row["title"]
            where = [scores_at(row, n)[x] for n in found] if x else found
            axes.errorbar(list(where), middle, spread, label=label, **style)
        if log:
            log_scale(axes)
        axes.legend(fontsize="x-small")


def publish(check: bool) -> list[Path]:
    """Writes what differs, or only says what does.

    Returns
    -------
    list of Path
        The documents whose tables were not those of the data.
    """
    specs = read_specs()
    changed = []
    for path in documents():
        text = path.read_text()
        new = published(text, specs["tables"])
        if new != text:
            changed.append(path.relative_to(ROOT))
            if not check:
                write_text(path, new)
    if not check:
        for name, spec in specs["pictures"].items():
            if "benchmark" in spec:
                source = ROOT / f"benchmarks/results/{spec['benchmark']}.json"
                BENCHMARKS[spec["kind"]](spec, source, ROOT / name)
            else:
                draw(spec, ROOT / name)
    return changed


def add(
    run: str,
    corpus: str,
    name: str,
    title: Optional[str] = None,
    selection: Optional[str] = None,
) -> None:
    """Publishes the report of a run as a row, or as a further seed of it.

    Raises
    ------
    ValueError
        If the report does not say where it comes from, or a new row has no
        title.
    """
    report = json.loads(Path(run, "depth_report.json").read_text())
    if row_path(corpus, name).is_file():
        row = read_row(corpus, name)
    else:
        if title is None:
            raise ValueError(f"{name} is a new row of {corpus}: give --title")
        row = {"row": name, "data": corpus, "runs": []}
    if title is not None:
        row = {**row, "title": title}
    write_row(corpus, add_report(row, report, selection))


def main(arguments: Optional[list[str]] = None) -> int:
    """Publishes, checks or adds; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    commands = parser.add_subparsers(dest="command")
    adding = commands.add_parser("add", help="publish the report of a run")
    adding.add_argument("--run", required=True, help="its output folder")
    adding.add_argument("--corpus", required=True)
    adding.add_argument("--row", required=True)
    adding.add_argument("--title", help="of a new row, or a new title")
    help_ = "how layers were chosen, of a report with several ways"
    adding.add_argument("--selection", help=help_)
    options = parser.parse_args(arguments)
    if options.command == "add":
        add(
            options.run,
            options.corpus,
            options.row,
            options.title,
            options.selection,
        )
        return 0
    changed = publish(options.check)
    for path in changed:
        print(f"{path}: {'differs' if options.check else 'written'}")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
