"""Transcription: a posterior for each frame, CTC, word error rate."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import torch
from sentencepiece import SentencePieceProcessor

from dld_brain import losses
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.losses import BLANK_ID
from dld_brain.tasks.base import Rates, Task
from dld_brain.tasks.decode import Decoder, make_decoder


class TranscriptionTask(Task):
    """Speech to words, by CTC.

    Arguments
    ---------
    vocabulary : SentencePieceProcessor
        The tokenizer; its id 0 is the blank.
    decoder : callable, optional
        EncoderOutput -> transcripts; greedy if not given.

    Example
    -------
    >>> task = TranscriptionTask(SentencePieceProcessor())
    >>> task.rates(["A B"], ["A"])
    {'WER': 50.0, 'CER': 66.66666666666666}
    """

    column = "wrd"
    metric = "WER"
    higher_is_better = False
    name = "transcription"
    has_silence = True
    loss_name = "ctc"
    file = "tokenizer.model"
    symbol = "token"
    key = "tokenizer"

    def __init__(
        self,
        vocabulary: SentencePieceProcessor,
        decoder: Optional[Decoder] = None,
    ) -> None:
        super().__init__(vocabulary)
        self.decoder = decoder or make_decoder("greedy", vocabulary)

    @classmethod
    def make(
        cls, folder: str, csv: str, token_type: str, vocab_size: int
    ) -> "TranscriptionTask":
        """Trains the tokenizer, or loads the one that is in the folder.

        Arguments
        ---------
        csv : str
            CSV file whose `wrd` it is trained on.
        token_type : str
            unigram, bpe or char.
        vocab_size : int
            Tokens, the blank included.

        Raises
        ------
        ValueError
            If the text does not give that many tokens.
        """
        from speechbrain.tokenizers.SentencePiece import SentencePiece

        try:
            with _stderr_in(Path(folder).parent / "log.txt"):
                tokenizer = SentencePiece(
                    model_dir=folder,
                    vocab_size=vocab_size,
                    annotation_train=csv,
                    annotation_read=cls.column,
                    model_type=token_type,
                ).sp
        except RuntimeError as error:  # SentencePiece's own, with its reason
            raise ValueError(
                f"no {token_type} tokenizer of `vocab_size` {vocab_size} can be "
                f"trained on {csv}: {error}"
            ) from error
        return cls(tokenizer)

    @classmethod
    def load(cls, path: Any) -> "TranscriptionTask":
        """Reads a tokenizer."""
        tokenizer = SentencePieceProcessor()
        load_tokenizer(tokenizer, path)
        return cls(tokenizer)

    def save(self, path: Any) -> None:
        """Writes the tokenizer."""
        Path(path).write_bytes(self.vocabulary.serialized_model_proto())

    @property
    def symbols(self) -> list[str]:
        """The tokens, in the order of their ids."""
        size = len(self.vocabulary)
        return [self.vocabulary.id_to_piece(i) for i in range(size)]

    def encode(self, reference: str) -> torch.Tensor:
        """Token ids of a transcript, [U]; the blank is no target.

        Returns
        -------
        torch.Tensor
            [U].
        """
        ids = self.vocabulary.encode_as_ids(reference)
        return torch.LongTensor([i for i in ids if i != BLANK_ID])

    def unknown(self, references: Sequence[str]) -> dict[str, int]:
        """None: a word that was never seen is wrong, or spelled right."""
        return {}

    def loss(
        self,
        out: EncoderOutput,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """CTC; see `losses.ctc`.

        Arguments
        ---------
        out : EncoderOutput
            Log-probabilities, [B, T', V].
        targets : torch.Tensor
            Token ids, [B, U].
        target_lengths : torch.Tensor
            Tokens, [B].

        Returns
        -------
        torch.Tensor
            Nats, [B].
        """
        return losses.ctc(
            out.log_probs, out.lengths, targets, target_lengths, BLANK_ID
        )

    def n_impossible(
        self,
        out: EncoderOutput,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
    ) -> int:
        """Transcripts with more tokens than CTC can emit in their frames.

        Arguments
        ---------
        out : EncoderOutput
            Log-probabilities, [B, T', V].
        targets : torch.Tensor
            Token ids, [B, U].
        target_lengths : torch.Tensor
            Tokens, [B].
        """
        needed = losses.ctc_frames_needed(targets, target_lengths)
        return int((needed > out.lengths).sum())

    def with_decoding(
        self, decoding: str, options: Optional[dict[str, Any]] = None
    ) -> "TranscriptionTask":
        """The same task, decoded in another way."""
        decoder = make_decoder(decoding, self.vocabulary, options)
        return type(self)(self.vocabulary, decoder)

    def decode(self, out: EncoderOutput) -> list[str]:
        """Transcripts.

        Arguments
        ---------
        out : EncoderOutput
            Log-probabilities, [B, T', V].
        """
        return self.decoder(out)[0]

    def rates(self, references: list[str], answers: list[str]) -> Rates:
        """WER and CER by jiwer, %."""
        import jiwer  # which inference has no need of

        return {
            "WER": 100 * jiwer.wer(references, answers),
            "CER": 100 * jiwer.cer(references, answers),
        }

    def write_details(
        self,
        path: Path,
        ids: list[str],
        references: list[str],
        answers: list[str],
    ) -> None:
        """Writes SpeechBrain's alignments."""
        from speechbrain.utils.metric_stats import ErrorRateStats

        stats = ErrorRateStats()
        stats.append(
            ids, [t.split() for t in answers], [t.split() for t in references]
        )
        with open(path, "w", encoding="utf-8") as file:
            stats.write_stats(file)


@contextmanager
def _stderr_in(path: Path) -> Iterator[None]:
    """Adds to a file what native code writes to stderr: SentencePiece's dump."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(path, "ab") as log:
            os.dup2(log.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def load_tokenizer(tokenizer: SentencePieceProcessor, path: Any) -> None:
    """Loads a tokenizer."""
    try:
        tokenizer.LoadFromFile(str(path))
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{path} is no SentencePiece model: {error}") from None
