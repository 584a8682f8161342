"""The table of what `long.py` measured."""

from typing import Any

from dld_brain.evaluation.tables import markdown_table

Spec = dict[str, Any]
HEAD = ["n", "audio, s", "windows", "WER %", "utterances alone, %", "RTF"]
HEAD += ["to that of 60 s", "peak MiB", "of 60 s"]


def by_length(spec: Spec, found: Spec) -> str:
    """A line a depth and a length: words, time, memory."""
    return markdown_table(HEAD, [_cells(row) for row in found["rows"]])


def _cells(row: Spec) -> list[str]:
    """The cells of a row."""
    depth, length = row["input"].split(", ")
    mib = ["" if row[k] is None else f"{row[k]:.0f}" for k in ("mib", "mib_60")]
    return [
        depth.removeprefix("n="),
        length.removesuffix(" s"),
        str(row["windows"]),
        *(f"{row[key]:.1f}" for key in ("wer", "wer_alone")),
        f"{row['rtf']:.4f}",
        f"{row['rtf'] / row['rtf_60']:.2f}",
        *mib,
    ]


LONG_KINDS = {"by_length": by_length}
