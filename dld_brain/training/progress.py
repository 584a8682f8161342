"""One bar over a whole run, the training that it waits for included."""

from dataclasses import dataclass
from typing import Optional

from tqdm import tqdm

from speechbrain.utils.distributed import if_main_process

FORMAT = "{desc}: {percentage:3.0f} %|{bar:30}| {elapsed}, {remaining} left"


@dataclass
class Progress:
    """How far a run is, and how long it has to go.

    Work is counted in layer passes: a student's step that runs many depths
    takes longer than its teacher's, and time left is that of both.

    Arguments
    ---------
    title : str
        What is trained.
    n_epochs : int
        Its epochs.
    passes : float
        Layer passes of a batch; see `layer_passes`.
    before, later : float
        Layer passes, of each batch of an epoch, that other trainings of the
        same run took or will take.
    is_shown : bool
        Whether there is a bar, or the lines of the epochs alone.
    """

    title: str
    n_epochs: int
    passes: float
    before: float = 0.0
    later: float = 0.0
    is_shown: bool = True
    bar: Optional[tqdm] = None

    @property
    def own(self) -> float:
        """Layer passes of its own, of each batch of an epoch."""
        return self.n_epochs * self.passes

    def start_epoch(self, epoch: int, n_batches: int) -> None:
        """Begins an epoch, from 1."""
        if self.bar is None:
            self.bar = tqdm(
                desc=self.title,
                bar_format=FORMAT,
                disable=not (self.is_shown and if_main_process()),
                initial=int(self._done(epoch) * n_batches),
            )
        self.bar.total = (self.before + self.own + self.later) * n_batches
        self.bar.n = self._done(epoch) * n_batches

    def batch(self) -> None:
        """Counts a batch."""
        if self.bar is not None:
            self.bar.update(self.passes)

    def end_epoch(self, epoch: int, text: str) -> None:
        """Says what an epoch reached, on a line that stays."""
        if if_main_process():
            line = f"{self.title}, epoch {epoch} of {self.n_epochs}: {text}"
            tqdm.write(line)

    def close(self) -> None:
        """Ends the bar."""
        if self.bar is not None:
            self.bar.close()

    def _done(self, epoch: int) -> float:
        """Layer passes of each batch before an epoch."""
        return self.before + (epoch - 1) * self.passes
