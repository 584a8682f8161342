"""Each epoch is in the log once, whenever the process dies."""

import pytest
from common import start, tiny_brain

import speechbrain as sb
from dld_brain.training.checkpoints import AtomicCheckpointer
from dld_brain.training.stage_log import StageLog
from speechbrain.utils.train_logger import FileTrainLogger


class Killed(BaseException):
    """Stands for the death of the process."""


@pytest.mark.parametrize("n_logged", [0, 1, 2])
def test_a_kill_round_the_log_neither_loses_nor_doubles_a_line(
    tmp_path, n_logged
):
    path = tmp_path / "log.txt"

    def brain():
        brain = tiny_brain(checkpointer=AtomicCheckpointer(tmp_path))
        brain.log = StageLog([FileTrainLogger(str(path))])
        start(brain)
        brain.train_stats = {"loss": 2.0}
        brain.stats.summary = lambda loss: {"loss": loss, "WER": 50.0}
        return brain

    def die(entry):
        raise Killed

    first = brain()
    for epoch in range(1, n_logged + 1):
        first.optimizer_step = epoch
        first.on_stage_end(sb.Stage.VALID, 1.0, epoch)
    first.log.write, first.optimizer_step = die, 9
    with pytest.raises(Killed):
        first.on_stage_end(sb.Stage.VALID, 1.0, n_logged + 1)
    for _ in range(2):  # the second start finds it there
        brain()
    lines = path.read_text().splitlines()
    assert [x.split(",")[0] for x in lines] == [
        f"epoch: {i + 1}" for i in range(n_logged + 1)
    ]
    assert lines[-1].startswith(f"epoch: {n_logged + 1}, steps: 9, ")
    assert "train loss: 2.00" in lines[-1] and "valid WER: 50.00" in lines[-1]
