"""What a frozen Whisper says to speech, kept on disk.

It says the same in every epoch and to every student, and hears 30 s each time:
recipes/MiniLibriSpeech has what an epoch takes with it and without.
"""

import hashlib
import logging
from pathlib import Path
from typing import NamedTuple, Optional

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.encoder.whisper.whole import DynamicWhisper, with_silence
from dld_brain.files.whole import UNFINISHED, whole_file

logger = logging.getLogger(__name__)

#: Bytes that are kept at most: 70 hours of tiny.en's.
MOST_BYTES = 10 * 2**30


class Answer(NamedTuple):
    """What it says to an utterance.

    Arguments
    ---------
    states : torch.Tensor
        Output of its encoder, [T', D]; in float16 on disk.
    read : torch.Tensor
        Of its decoder's layers, for each token and the end, [U + 1, D].
    """

    states: torch.Tensor
    read: torch.Tensor


class KeptAnswers(nn.Module):
    """A teacher that is asked once for an utterance.

    An answer is found by the weights, and by the features and tokens that it
    was given for, so that nothing else has to be compared: other speech under
    the same name is another file.

    Arguments
    ---------
    weights : str
        A fingerprint of the teacher's.
    folder : Path
        Made with the first answer. Runs and teachers may share it.
    most_bytes : int
        That may be in it; what is over it is asked each time.
    """

    def __init__(
        self,
        teacher: DynamicWhisper,
        weights: str,
        folder: Path,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        super().__init__()
        self.teacher = teacher
        self.folder = folder
        self.key = f"{weights}{teacher.head.config.prompt}"
        self.left = most_bytes - sum(
            path.stat().st_size
            for path in folder.glob("*.safetensors")
            if not path.name.startswith(UNFINISHED)  # may go meanwhile
        )

    @property
    def n_total(self) -> int:
        """Layers of the teacher."""
        return self.teacher.n_total

    @torch.no_grad()
    def teach(
        self,
        feats: torch.Tensor,
        lengths: torch.Tensor,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
        is_answered: bool = False,
    ) -> EncoderOutput:
        """As `DynamicWhisper.teach`; tokens beside the targets are not said.

        Arguments
        ---------
        feats : torch.Tensor
            Features, [B, T, F].
        lengths : torch.Tensor
            Valid frames, [B].
        targets : torch.Tensor
            Token ids, [B, U].
        target_lengths : torch.Tensor
            Tokens, [B].
        """
        asked = [feats, lengths, targets, target_lengths]
        paths = [
            self.folder / f"{_name(self.key, x[:n], y[:u])}.safetensors"
            for x, n, y, u in zip(*asked)
        ]
        found = {i: _load(path, feats.device) for i, path in enumerate(paths)}
        new = [i for i, answer in found.items() if answer is None]
        for i, answer in zip(new, self._ask(*(part[new] for part in asked))):
            self._keep(paths[i], answer)
            found[i] = answer
        answers = [*found.values()]
        states = pad_sequence([a.states for a in answers], True)
        read = pad_sequence([a.read for a in answers], True)
        return EncoderOutput(
            self.teacher.head.log_probs(read), target_lengths + 1, states=states
        )

    def _ask(
        self,
        feats: torch.Tensor,
        lengths: torch.Tensor,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
    ) -> list[Answer]:
        """Asks the teacher itself."""
        if not len(feats):
            return []
        states, read = self.teacher.heard(
            *with_silence(feats, lengths), targets
        )
        n_frames = self.teacher.stem.out_lengths(lengths)
        return [
            Answer(x[:n], y[: u + 1])
            for x, n, y, u in zip(states, n_frames, read, target_lengths)
        ]

    def _keep(self, path: Path, answer: Answer) -> None:
        """Writes an answer, as long as there is room for it."""
        if self.left <= 0:
            return
        content = safetensors.torch.save(
            {
                "states": answer.states.half().contiguous(),
                "read": answer.read.contiguous(),
            }
        )
        with whole_file(path) as unfinished:
            unfinished.write_bytes(content)
        self.left -= len(content)
        if self.left <= 0:
            logger.warning(
                "%s is full: the teacher is asked anew for all further speech",
                self.folder,
            )


def _name(key: str, feats: torch.Tensor, targets: torch.Tensor) -> str:
    """What an answer is found by."""
    found = hashlib.blake2b(key.encode(), digest_size=20)
    for part in (feats, targets):
        found.update(part.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _load(path: Path, device: torch.device) -> Optional[Answer]:
    """Reads an answer; None if it is not there, or not one."""
    if not path.is_file():
        return None
    try:
        found = safetensors.torch.load_file(path, device=str(device))
        return Answer(found["states"].float(), found["read"])
    except (SafetensorError, KeyError) as error:
        logger.warning("%s is made anew: it is no answer (%s)", path, error)
        return None
