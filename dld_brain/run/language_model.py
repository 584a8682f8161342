"""A language model beside the encoder: where a run names one."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from dld_brain.evaluation.lm_weights import choose_weights
from dld_brain.gates.gates import Gates
from dld_brain.run.sections import Evaluation
from dld_brain.search.choose import LayerChooser, some_of
from dld_brain.tasks import Task
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.utils.distributed import run_on_main

if TYPE_CHECKING:
    from dld_brain.run.scoring import Scoring

#: Of development speech, for the weights: a beam search each.
LM_UTTERANCES = 50


def with_language_model(
    told: Evaluation, task: Task, weights: Optional[Mapping[str, Any]] = None
) -> Optional[Task]:
    """The task in a beam search under the language model; None without one.

    Arguments
    ---------
    weights : mapping, optional
        `alpha` and `beta`.
    """
    if told.lm is None:
        return None
    is_beam = told.decoding.name == "beam"
    options = dict(told.decoding.options) if is_beam else {}
    options |= {k: v for k, v in (weights or {}).items() if k != "file"}
    return task.with_decoding("beam", {**options, "kenlm_model_path": told.lm})


def weigh_language_model(
    scoring: "Scoring", chooser: LayerChooser, gates: Mapping[int, Gates]
) -> Optional[dict[str, Any]]:
    """The language model of a run with its weights; None without one.

    Arguments
    ---------
    chooser : LayerChooser
        Has the development speech.
    gates : mapping of int to Gates
        Of the depth table, by depth.

    Returns
    -------
    dict
        See `Report`.
    """
    told = scoring.settings.evaluation
    if told.lm is None:
        return None
    depths = sorted(gates)
    few = {depths[0], depths[len(depths) // 2], depths[-1]}
    loader = make_dataloader(
        some_of(chooser.dataset, LM_UTTERANCES),
        batch_size=told.test_batch_size,
    )
    evaluation = scoring.make_evaluation({"lm": {n: gates[n] for n in few}})
    task_with = partial(with_language_model, told, scoring.task)
    weights = run_on_main(
        choose_weights,
        [evaluation, loader, task_with, told.lm_alpha, told.lm_beta],
    )
    return {"file": Path(told.lm).name, **weights}
