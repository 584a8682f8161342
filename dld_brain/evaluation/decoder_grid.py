"""Scores over both depths of an encoder-decoder: a grid.

Each cell is decoded token by token, once an utterance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dld_brain.evaluation.scores import DepthScore
from dld_brain.evaluation.tables import markdown_table
from dld_brain.gates.gates import Gates
from dld_brain.gates.layer_sets import decoder_gates


def grid_selections(
    chosen: Mapping[int, Gates], depths: Sequence[int], n_decoder: int
) -> dict[str, dict[int, Gates]]:
    """What is to be scored beside the whole decoder, by name and depth.

    Arguments
    ---------
    chosen : mapping of int to Gates
        Of the encoder, by depth.
    depths : sequence of int
        Of the decoder.
    n_decoder : int
        Layers of the decoder.

    Example
    -------
    >>> found = grid_selections({2: Gates((0, 2), 3)}, [2, 1], 2)
    >>> list(found), found["decoder 1"][2].decoder
    (['decoder 1'], Gates(layers=(0,), n_total=2))
    """
    return {
        f"decoder {depth}": {
            n: gates.with_decoder(decoder_gates(depth, n_decoder))
            for n, gates in chosen.items()
        }
        for depth in sorted(depths)
        if depth < n_decoder
    }


def grid(
    whole: Sequence[DepthScore],
    others: Sequence[DepthScore],
    strategy: str,
    n_decoder: int,
) -> list[DepthScore]:
    """All cells, by the decoder's depth and then by the encoder's.

    Arguments
    ---------
    whole : sequence of DepthScore
        Of the whole decoder; those of the strategy are cells.
    others : sequence of DepthScore
        Of `grid_selections`.
    strategy : str
        How the encoder's layers were chosen.
    """
    layers = list(range(n_decoder))
    last = [
        replace(row, n_decoder_layers=n_decoder, decoder_layers=layers)
        for row in whole
        if row.selection == strategy
    ]
    return [replace(row, selection=strategy) for row in others] + last


def grid_table(rows: Sequence[DepthScore]) -> str:
    """Shows what both depths give: the encoder's down, the decoder's across.

    Example
    -------
    >>> row = DepthScore(3, [0, 1, 2], "even", 9, 3e9, {"WER": 7.0})
    >>> row.n_decoder_layers = 2
    >>> print(grid_table([row]))
    | n | WER %, decoder 2 |
    |---|---|
    | 3 | 7.00 |
    """
    metric = next(iter(rows[0].rates))
    across = list(dict.fromkeys(row.n_decoder_layers for row in rows))
    cells = {(row.n_layers, row.n_decoder_layers): row.rate for row in rows}
    down = list(dict.fromkeys(row.n_layers for row in rows))
    return markdown_table(
        ["n", *(f"{metric} %, decoder {depth}" for depth in across)],
        [[str(n), *(f"{cells[n, m]:.2f}" for m in across)] for n in down],
    )


def grid_costs_table(rows: Sequence[DepthScore]) -> str:
    """Shows what both depths cost.

    Example
    -------
    >>> row = DepthScore(3, [0, 1, 2], "even", 9_000_000, 3e9, {"WER": 7.0})
    >>> row.n_decoder_layers, row.decoder_layers, row.rtf = 2, [0, 3], 0.05
    >>> print(grid_costs_table([row]).splitlines()[-1])
    | 3 | 2 | 0, 3 | 9.00 M | 3.00 G | 0.0500 |
    """
    head = ["n", "decoder", "its layers", "parameters", "MACs/s of audio"]
    lines = []
    for row in rows:
        layers = ", ".join(map(str, row.decoder_layers or ()))
        size = f"{row.params / 1e6:.2f} M"
        macs = f"{row.macs_per_second / 1e9:.2f} G"
        rtf = "" if row.rtf is None else f"{row.rtf:.4f}"
        depths = [str(row.n_layers), str(row.n_decoder_layers)]
        lines.append([*depths, layers, size, macs, rtf])
    return markdown_table([*head, "RTF"], lines)
