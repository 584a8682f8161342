"""The second knob of a Whisper that keeps its decoder: the decoder's depth."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from dld_brain.depth_table import DepthTable
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.evaluation.decoder_grid import grid, grid_selections
from dld_brain.evaluation.scores import DepthScore
from dld_brain.gates.of_decoder import BothGates, decoder_seed
from dld_brain.gates.sampler import GateSampler
from dld_brain.run.encoder_sizes import WholeWhisperSizes
from dld_brain.run.settings import Settings

if TYPE_CHECKING:
    from dld_brain.run.scoring import Scoring


def decoder_depths(settings: Settings) -> tuple[int, ...]:
    """Depths of the decoder that test sets are scored at; none without one."""
    sizes = settings.encoder
    is_whole = isinstance(sizes, WholeWhisperSizes)
    return sizes.test_decoder_depths if is_whole else ()


def with_decoder_gates(
    sampler: GateSampler, settings: Settings, model: DynamicEncoder
) -> GateSampler:
    """The sampler of a run, with gates of the decoder where they are asked.

    Raises
    ------
    ValueError
        If a depth is none of the decoder's, or a decoder is to have gates
        that does not learn.
    """
    sizes = settings.encoder
    if not isinstance(sizes, WholeWhisperSizes):
        return sampler
    n_total = model.head.n_total
    for depth in decoder_depths(settings):
        if depth > n_total:
            raise ValueError(
                f"`test_decoder_depths` must be between 1 and {n_total}, the "
                f"layers of the decoder, but has {depth}"
            )
    drawn = sizes.decoder_gates.make(
        n_total=n_total, seed=decoder_seed(settings.start.seed)
    )
    if drawn is None:
        return sampler
    if not settings.optimisation.head_lr_factor:
        raise ValueError(
            f"`head_lr_factor` must be above 0 with `decoder_gates` "
            f"{sizes.decoder_gates.name}, or the decoder does not learn, but is "
            f"0: give --head_lr_factor=1.0"
        )
    with_full = sizes.decoder_gates.get("with_full")
    return BothGates(sampler, drawn, with_full is not False)


def score_decoder(
    scoring: "Scoring",
    loaders: Mapping[str, Any],
    whole: Mapping[str, Sequence[DepthScore]],
    table: DepthTable,
) -> Optional[dict[str, list[DepthScore]]]:
    """Scores every depth at depths of the decoder, where some are asked.

    Arguments
    ---------
    scoring : Scoring
        Of the run.
    loaders : mapping of str to DataLoader
        Of the test sets.
    whole : mapping of str to sequence of DepthScore
        By test set, what the whole decoder gives.

    Returns
    -------
    dict of str to list of DepthScore
        By test set; see `Report`.
    """
    depths = decoder_depths(scoring.settings)
    if not depths:
        return None
    model = scoring.brain.plain_modules()["model"]
    n_decoder = model.head.n_total
    scored = [row for rows in whole.values() for row in rows]
    gates = {
        row.n_layers: table.gates(row.n_layers, model.n_total)
        for row in scored
        if row.selection == table.strategy
    }
    chosen = grid_selections(gates, depths, n_decoder)
    found = {}
    for name, loader in loaders.items():
        rows = []
        if chosen:
            evaluation = scoring.make_evaluation(chosen)
            answers = evaluation.answer(loader, f"{name}, decoder")
            rows = evaluation.scores(answers)
        found[name] = grid(whole[name], rows, table.strategy, n_decoder)
    return found
