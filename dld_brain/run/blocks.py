"""The choices of an hparams file: which block names what."""

from typing import Any

from dld_brain.encoder.routers.make import ROUTERS
from dld_brain.gates.make import SAMPLERS
from dld_brain.gates.of_decoder import DECODER_SAMPLERS
from dld_brain.losses import DIVERGENCES
from dld_brain.run.checks import Weight, plain
from dld_brain.run.choices import Choice
from dld_brain.run.loggers import LOGGERS
from dld_brain.search.strategies import STRATEGIES
from dld_brain.training.chunks import ChunkSampler
from dld_brain.training.schedules import SCHEDULES
from speechbrain.decoders.ctc import CTCBeamSearcher

GATES = Choice(
    "gates", "sampler", SAMPLERS, ("n_total", "seed"), paths=("table",)
)
DECODER_GATES = Choice(
    "decoder_gates",
    "sampler",
    DECODER_SAMPLERS,
    ("n_total", "seed"),
    common={"with_full": bool},
    noun="decoder gates",
)
DISTILLATION = Choice(
    "distillation",
    "divergence",
    DIVERGENCES,
    common={
        "weight": Weight,
        "in_place_weight": Weight,
        "states_weight": Weight,
        "keep_answers": bool,
    },
    noun="divergences",
)
SCHEDULE = Choice("schedule", "kind", SCHEDULES, ("lr",), noun="schedules")
ROUTER = Choice(
    "router", "kind", ROUTERS, ("n_total", "d_model"), noun="routers"
)
SELECTION = Choice(
    "selection",
    "strategy",
    STRATEGIES,
    ("n_total", "scorer", "seed"),
    noun="selections",
)
DECODING = Choice(
    "decoding",
    "search",
    {"greedy": None, "beam": CTCBeamSearcher},
    ("blank_index", "vocab_list"),
    noun="searches",
    paths=("kenlm_model_path",),
)
STREAMING = Choice(
    "streaming", "kind", {"none": None, "chunks": ChunkSampler}, ("seed",)
)
LOGGER = Choice("logger", "kind", LOGGERS, ("folder",), noun="loggers")
#: By their key in an hparams file.
BLOCKS: dict[str, Choice] = {
    choice.key: choice
    for choice in (
        GATES,
        DECODER_GATES,
        DISTILLATION,
        SCHEDULE,
        ROUTER,
        SELECTION,
        DECODING,
        STREAMING,
        LOGGER,
    )
}


def with_blocks(overrides: dict[str, Any]) -> dict[str, Any]:
    """Overrides whose dotted keys stand in their blocks.

    Example
    -------
    >>> with_blocks({"gates": "uniform", "gates.min_layers": 2})
    {'gates': {'sampler': 'uniform', 'min_layers': 2}}
    """
    found: dict[str, Any] = {}
    for key, value in overrides.items():
        name, dot, option = str(key).partition(".")
        if name in BLOCKS:
            part = {option: value} if dot else BLOCKS[name].as_mapping(value)
        elif dot:
            part = {option: value}
        elif isinstance(value, dict) and name in found:
            part = value
        else:
            found[name] = value
            continue
        before = found.get(name) or {}
        if not isinstance(before, dict):
            raise ValueError(
                f"`{name}` must be a mapping, as `{key}` says, but is "
                f"{plain(before)!r}"
            )
        found[name] = {**before, **part}
    return found
