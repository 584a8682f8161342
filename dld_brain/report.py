"""The report of an evaluation over depth: JSON, table, plot, alignments.

Authors
 * The dld_brain authors 2026
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from speechbrain.utils.metric_stats import ErrorRateStats

from dld_brain.scores import DepthScore, Transcripts

HEADER = (
    "| n | layers | parameters | MACs/s of audio | WER % | CER % | RTF |\n"
    "|---|---|---|---|---|---|---|"
)


def table(rows: list[DepthScore]) -> str:
    """Formats the scores of a set as Markdown.

    Arguments
    ---------
    rows : list of DepthScore
        The scores.

    Returns
    -------
    str

    Example
    -------
    >>> row = DepthScore(2, [0, 11], "even", 5471488, 1.5e8, 31.0, 12.5)
    >>> row.rtf = 0.01
    >>> print(table([row]).splitlines()[-1])
    | 2 | 0, 11 | 5.47 M | 0.15 G | 31.00 | 12.50 | 0.0100 |
    """
    lines = [HEADER]
    for row in rows:
        layers = f"random, {row.draws} draws"
        if row.layers is not None:
            layers = ", ".join(map(str, row.layers))
        deviation = "" if row.wer_std is None else f" ± {row.wer_std:.2f}"
        rtf = "" if row.rtf is None else f"{row.rtf:.4f}"
        lines.append(
            f"| {row.n_layers} | {layers} | {row.params / 1e6:.2f} M "
            f"| {row.macs_per_second / 1e9:.2f} G "
            f"| {row.wer:.2f}{deviation} | {row.cer:.2f} | {rtf} |"
        )
    return "\n".join(lines)


def parts_table(rows: list[DepthScore]) -> str:
    """Shows where the time goes: a stem does not shrink with depth.

    Arguments
    ---------
    rows : list of DepthScore
        The scores; those of drawn layers are left out.

    Returns
    -------
    str

    Example
    -------
    >>> parts = {"stem": 0.02, "layers": 0.01, "head": 0.0}
    >>> macs = {"stem": 2e9, "layers": 1e9, "head": 1e6}
    >>> row = DepthScore(2, [0, 11], "even", 9, 3e9, 3.0, 1.0, macs, 0.03)
    >>> row.rtf_parts = parts
    >>> print(parts_table([row]).splitlines()[-1])
    | 2 | 2.000 | 1.000 | 0.001 | 67 % | 33 % | 0 % |
    """
    parts = ("stem", "layers", "head")
    lines = [
        "| n | G MACs/s: stem | layers | head | time: stem | layers | head |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.rtf_parts is not None:
            macs = [f"{row.macs_parts[part] / 1e9:.3f}" for part in parts]
            shares = [f"{row.rtf_parts[p] / row.rtf:.0%}" for p in parts]
            shares = [share.replace("%", " %") for share in shares]
            cells = [str(row.n_layers), *macs, *shares]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_report(
    folder: str,
    experiment: str,
    seed: int,
    sets: dict[str, list[DepthScore]],
) -> str:
    """Writes depth_report.json, depth_report.md and wer_vs_depth.png.

    Arguments
    ---------
    folder : str
        Where to.
    experiment : str
        Name of the experiment.
    seed : int
        Its seed.
    sets : dict of str to list of DepthScore
        Scores by test set.

    Returns
    -------
    str
        The Markdown.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    rows = {
        name: [drop_none(asdict(row)) for row in scores]
        for name, scores in sets.items()
    }
    report = {"experiment": experiment, "seed": seed, "sets": rows}
    (path / "depth_report.json").write_text(json.dumps(report, indent=2) + "\n")
    markdown = f"# {experiment}, seed {seed}\n" + "".join(
        f"\n## {name}\n\n{table(scores)}\n\nWhere the work is: the features "
        f"count as stem, decoding as head.\n\n{parts_table(scores)}\n"
        for name, scores in sets.items()
    )
    (path / "depth_report.md").write_text(markdown)
    plot(sets, path / "wer_vs_depth.png", f"{experiment}, seed {seed}")
    return markdown


def drop_none(row: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what a row does not have; `layers` stays.

    Arguments
    ---------
    row : dict
        A row.

    Returns
    -------
    dict

    Example
    -------
    >>> drop_none({"layers": None, "rtf": None, "wer": 1.0})
    {'layers': None, 'wer': 1.0}
    """
    return {k: v for k, v in row.items() if v is not None or k == "layers"}


def plot(sets: dict[str, list[DepthScore]], path: Path, title: str) -> None:
    """Draws WER against depth, a line a test set.

    Arguments
    ---------
    sets : dict of str to list of DepthScore
        Scores by test set.
    path : Path
        PNG file to write.
    title : str
        Title of the figure.
    """
    from matplotlib.figure import Figure  # slow to import, and not elsewhere

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for i, (name, scores) in enumerate(sets.items()):
        for selection, style in (("even", "o-"), ("random", "x:")):
            rows = [row for row in scores if row.selection == selection]
            if rows:
                axes.errorbar(
                    [row.n_layers for row in rows],
                    [row.wer for row in rows],
                    yerr=[row.wer_std or 0.0 for row in rows],
                    fmt=style,
                    color=f"C{i}",
                    label=f"{name}, {selection} layers",
                )
    axes.set(xlabel="layers that run, n", ylabel="WER, %", title=title)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def write_alignments(
    folder: str, name: str, depths: list[int], result: Transcripts
) -> None:
    """Writes wer_<set>_n<k>.txt: SpeechBrain's alignments at each depth.

    Arguments
    ---------
    folder : str
        Where to.
    name : str
        Name of the set.
    depths : list of int
        The depths.
    result : Transcripts
        The transcripts.
    """
    references = [text.split() for text in result.references]
    for n_layers in depths:
        stats = ErrorRateStats()
        hypotheses = [t.split() for t in result.hypotheses[n_layers]]
        stats.append(result.ids, hypotheses, references)
        path = Path(folder, f"wer_{name}_n{n_layers}.txt")
        with open(path, "w", encoding="utf-8") as file:
            stats.write_stats(file)
