"""A dataset of utterances, which may go on without what cannot be read."""

from typing import Any, Optional

import torch

from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: Letters of a message: a path may be long.
LONGEST = 400
#: Utterances that are tried in the place of a batch that none is left of.
N_TRIED = 20


class SpeechDataset(DynamicItemDataset):
    """Utterances, of which those that cannot be read may be left out.

    Arguments
    ---------
    source : str
        Where they are from, for messages.
    """

    def __init__(self, data: dict[str, dict[str, Any]], source: str) -> None:
        super().__init__(data)
        self.source = source
        self.leaves_out = False
        # One for all processes that load.
        left_out = torch.zeros(len(data), dtype=torch.bool)
        self._is_left_out = left_out.share_memory_()

    def __getitem__(self, index: int) -> Optional[dict[str, Any]]:
        """An utterance; None where it cannot be read and is left out."""
        try:
            return super().__getitem__(index)
        except (ValueError, OSError) as error:
            if not self.leaves_out:
                name = f"{self.source}: {self.data_ids[index]}"
                raise ValueError(f"{name}: {error}"[:LONGEST]) from error
            self._leave_out(index, error)
            return None

    @property
    def n_left_out(self) -> int:
        """How many utterances could not be read so far."""
        return int(self._is_left_out.sum())

    def collate(self, items: list[Optional[dict[str, Any]]]) -> PaddedBatch:
        """A batch of those that could be read, or of one in their place."""
        found = [item for item in items if item is not None]
        return PaddedBatch(found or [self._another()])

    def _leave_out(self, index: int, error: Exception) -> None:
        """Names an utterance and counts it, once."""
        if self._is_left_out[index]:
            return
        self._is_left_out[index] = True
        logger.warning(
            "%s: %s is left out (%d of %d cannot be read so far): %s",
            self.source,
            self.data_ids[index],
            self.n_left_out,
            len(self),
            error,
        )

    def _another(self) -> dict[str, Any]:
        """A short utterance that can be read."""
        last = len(self) - 1
        for index in range(last, max(-1, last - N_TRIED), -1):
            item = self[index]
            if item is not None:
                return item
        raise ValueError(
            f"{self.source} must hold audio that can be read, but "
            f"{self.n_left_out} of {len(self)} utterances cannot; the log "
            f"names them"
        )
