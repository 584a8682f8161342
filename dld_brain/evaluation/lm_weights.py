"""What a language model weighs beside the encoder, on development speech."""

from collections.abc import Callable, Iterable
from typing import Any, Optional

import torch

from dld_brain.audio.features import extract
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.evaluation.evaluate import DepthEvaluation
from dld_brain.tasks import Task
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: Tried one after another: alphas with the first beta, betas with the best
#: alpha. In between the error hardly moves.
ALPHAS = (0.25, 0.5, 1.0, 1.5)
BETAS = (1.5, 0.0, 0.75, 3.0)


def choose_weights(
    evaluation: DepthEvaluation,
    loader: Iterable[Any],
    task_with: Callable[[dict[str, float]], Task],
    alpha: Optional[float] = None,
    beta: Optional[float] = None,
) -> dict[str, float]:
    """The weights of least error over all depths of an evaluation.

    Arguments
    ---------
    task_with : callable
        {"alpha": ..., "beta": ...} -> the task that decodes with them.
    alpha, beta : float, optional
        Those that are given are not looked for.
    """
    alphas = ALPHAS if alpha is None else (alpha,)
    betas = BETAS if beta is None else (beta,)
    best = {"alpha": alphas[0], "beta": betas[0]}
    if alpha is not None and beta is not None:
        return best
    outputs, references = _outputs(evaluation, loader)
    errors: dict[tuple[float, float], float] = {}
    for key, values in (("alpha", alphas), ("beta", betas)):
        for value in values:
            tried = {**best, key: value}
            pair = tried["alpha"], tried["beta"]
            if pair not in errors:
                task = task_with(tried)
                answers = [text for out in outputs for text in task.decode(out)]
                rate = task.rates(references, answers)[task.metric]
                errors[pair] = task.error(rate)
        pair = min(errors, key=errors.__getitem__)
        best = dict(zip(("alpha", "beta"), pair))
    logger.info(
        "language model: alpha %g, beta %g on development speech (%s)",
        *pair,
        ", ".join(f"{a:g}/{b:g}: {e:.1f} %" for (a, b), e in errors.items()),
    )
    return best


@torch.no_grad()
def _outputs(
    evaluation: DepthEvaluation, loader: Iterable[Any]
) -> tuple[list[EncoderOutput], list[str]]:
    """What all depths give of a set, and the references of each."""
    outputs, references = [], []
    for batch in loader:
        batch = batch.to(evaluation.device)
        feats, lengths = extract(evaluation.modules, *batch.sig)
        x, lengths = evaluation.model.stem(feats, lengths)
        for gates in evaluation.all_gates:
            y = evaluation.model.run_layers(x, lengths, gates)
            outputs.append(evaluation.model.run_head(y, lengths, gates))
            references += batch.reference
    return outputs, references
