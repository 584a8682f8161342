"""Transcription: a posterior for each frame, CTC, word error rate."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import torch
from sentencepiece import SentencePieceProcessor

from dld_brain import losses
from dld_brain.audio.csv_files import read_column
from dld_brain.audio.text import normalise
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.losses import BLANK_ID
from dld_brain.tasks.alignment import WordSpan, align_tokens, words_of
from dld_brain.tasks.decode import Decoder, greedy, make_decoder
from dld_brain.tasks.tokenizer import load_tokenizer, train_tokenizer
from dld_brain.tasks.words import WordsTask


class TranscriptionTask(WordsTask):
    """Speech to words, by CTC.

    Arguments
    ---------
    vocabulary : SentencePieceProcessor
        The tokenizer; its id 0 is the blank.
    decoder : callable, optional
        EncoderOutput -> transcripts; greedy if not given.
    text_case : str
        How transcripts are written: keep, lower or upper.

    Example
    -------
    >>> task = TranscriptionTask(SentencePieceProcessor())
    >>> task.rates(["A B"], ["A"])
    {'WER': 50.0, 'CER': 66.66666666666666}
    """

    name = "transcription"
    loss_name = "ctc"
    file = "tokenizer.model"

    def __init__(
        self,
        vocabulary: SentencePieceProcessor,
        decoder: Optional[Decoder] = None,
        text_case: str = "keep",
    ) -> None:
        super().__init__(vocabulary, text_case)
        self.decoder = decoder or make_decoder("greedy", vocabulary)

    @classmethod
    def make(
        cls,
        folder: str,
        csv: str,
        token_type: str,
        vocab_size: int,
        text_case: str = "keep",
    ) -> "TranscriptionTask":
        """Trains the tokenizer.

        Arguments
        ---------
        folder : str
            Where it is kept.
        csv : str
            CSV file whose `wrd` it is trained on.
        token_type : str
            unigram, bpe or char.
        vocab_size : int
            Tokens, the blank included; of no effect on char, which has as
            many as there are characters.

        Raises
        ------
        ValueError
            If the text does not give that many tokens.
        """
        path = Path(folder, f"new_{cls.file}")
        texts = [
            normalise(text, text_case)
            for text in read_column(Path(csv), cls.column)
        ]
        size = {} if token_type == "char" else {"vocab_size": vocab_size}
        try:
            train_tokenizer(path, texts, token_type, **size)
        except RuntimeError as error:  # SentencePiece's own, with its reason
            raise ValueError(
                f"no {token_type} tokenizer of `vocab_size` {vocab_size} can be "
                f"trained on {csv}: {error}"
            ) from error
        task = cls.load(path)
        task.text_case = text_case
        return task

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

    def text(self, reference: str) -> str:
        """A transcript in the form that targets and answers have.

        The vocabulary's own normalisation is part of it: a tokenizer from
        elsewhere writes `½` as `1⁄2`, where SentencePiece does so by
        default; those trained here change nothing.
        """
        text = super().text(reference)
        if len(self.vocabulary) == 0:  # which has no normalisation yet
            return text
        return super().text(self.vocabulary.normalize(text))

    def unspelled(self, word: str) -> str:
        """Characters of a word that the vocabulary cannot spell."""
        if len(self.vocabulary) == 0:
            return ""
        ids, none = self.vocabulary.encode(word), self._not_targets
        if none[0] not in ids and none[1] not in ids:
            return ""
        pieces = self.vocabulary.encode(word, out_type=str)
        return "".join(p for i, p in zip(ids, pieces) if i in none)

    @property
    def _not_targets(self) -> tuple[int, int]:
        """Ids that stand for no character: the blank, and the unknown."""
        return BLANK_ID, self.vocabulary.unk_id()

    def encode(self, reference: str) -> torch.Tensor:
        """Token ids of a transcript, [U]; the blank is no target.

        Returns
        -------
        torch.Tensor
            [U].
        """
        ids, none = (
            self.vocabulary.encode(self.text(reference)),
            self._not_targets,
        )
        return torch.LongTensor([i for i in ids if i not in none])

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
        task = copy.copy(self)
        task.decoder = make_decoder(decoding, self.vocabulary, options)
        return task

    def decode(self, out: EncoderOutput) -> list[str]:
        """Transcripts.

        Arguments
        ---------
        out : EncoderOutput
            Log-probabilities, [B, T', V].
        """
        return self.decoder(out)[0]

    def words(
        self, out: EncoderOutput, answers: Sequence[str]
    ) -> Optional[list[list[WordSpan]]]:
        """When the words of answers were said, by forced alignment.

        Of the tokens that greedy decoding finds, where they spell the
        answer; else of those that the vocabulary spells it with.

        Returns
        -------
        list of list of WordSpan
            Of each utterance; None with a vocabulary that has no tokens.
        """
        if len(self.vocabulary) == 0:
            return None
        found = []
        sizes = out.lengths.tolist()
        guesses = zip(*greedy(out, self.vocabulary))
        for x, n, guess, answer in zip(out.log_probs, sizes, guesses, answers):
            text, ids = guess
            if text != answer:
                ids = self.encode(answer).tolist()
            spans = align_tokens(x[: int(n)], ids)
            found.append(words_of(spans, self.vocabulary))
        return found

    def spell(self, text: str) -> list[int]:
        """Token ids of a text, as it is, or in the case that can be spelled.

        Raises
        ------
        ValueError
            If the text has no word, or one with characters that no token
            stands for.
        """
        forms = [self.text(f) for f in (text, text.upper(), text.lower())]
        if not forms[0]:
            raise ValueError(f"`text` must have a word, but is {text!r}")
        missing = [
            sorted({c for word in form.split() for c in self.unspelled(word)})
            for form in forms
        ]
        fewest = min(missing, key=len)
        if fewest:
            raise ValueError(
                f"`text` must be what the model's vocabulary can spell, but "
                f"has {' '.join(map(repr, fewest))}: leave it out, or write it "
                f"in words"
            )
        return self.encode(forms[missing.index([])]).tolist()
