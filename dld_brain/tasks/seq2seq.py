"""Transcription by an encoder-decoder: a posterior for each token."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import torch

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.encoder.whisper.decoder import WhisperDecoder
from dld_brain.encoder.whisper.looks import looks_at
from dld_brain.tasks.alignment import WordSpan
from dld_brain.tasks.spoken import spoken
from dld_brain.tasks.token_words import parts_of, words_of
from dld_brain.tasks.warping import first_frames
from dld_brain.tasks.words import WordsTask

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END = "<|endoftext|>"


class Seq2SeqTask(WordsTask):
    """Speech to text as it is written, with a Whisper's own tokens.

    Arguments
    ---------
    vocabulary : tokenizers.Tokenizer
        That of the model, of which none is trained here.
    text_case : str
        How transcripts are written: keep, lower or upper.
    """

    name = "seq2seq"
    loss_name = "ce"
    file = "tokenizer.json"

    def __init__(
        self, vocabulary: "Tokenizer", text_case: str = "keep"
    ) -> None:
        super().__init__(vocabulary, text_case)
        #: Decoder that times words by what it looks at; none are without it.
        self.times: Optional[WhisperDecoder] = None
        self.end = vocabulary.token_to_id(END)
        if self.end is None:
            raise ValueError(
                f"the tokenizer must be a Whisper's, but lacks {END}"
            )

    @classmethod
    def make(
        cls,
        folder: str,
        csv: str,
        token_type: str,
        vocab_size: int,
        text_case: str = "keep",
    ) -> "Seq2SeqTask":
        """None is made: raises.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(
            "`init_from` must be given with `task` seq2seq, whose tokens are "
            "those of a trained model"
        )

    @classmethod
    def load(cls, path: Any) -> "Seq2SeqTask":
        """Reads a tokenizer.json.

        Raises
        ------
        ValueError
            If it is none.
        """
        from tokenizers import Tokenizer  # which other models do without

        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # tokenizers raises nothing narrower
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} must be a tokenizer: {reason}") from None

    def save(self, path: Any) -> None:
        """Writes the tokenizer."""
        Path(path).write_text(self.vocabulary.to_str(), encoding="utf-8")

    @property
    def symbols(self) -> list[str]:
        """The tokens, in the order of their ids, timestamps not among them."""
        size = self.vocabulary.get_vocab_size()
        return [self.vocabulary.id_to_token(i) for i in range(size)]

    def check_size(self, size: int, source: str) -> None:
        """Raises unless the decoder has a posterior for each token."""
        if len(self.symbols) > size:
            raise ValueError(
                f"`vocab_size` must be at least {len(self.symbols)}, the "
                f"tokens of {source}, but is {size}"
            )

    def encode(self, reference: str) -> torch.Tensor:
        """Token ids of a transcript, [U], in front of each word its gap."""
        text = self.text(reference)
        if not text:
            return torch.zeros(0, dtype=torch.long)
        found = self.vocabulary.encode(f" {text}", add_special_tokens=False)
        return torch.tensor(found.ids)

    def spell(self, text: str) -> list[int]:
        """Token ids of a text.

        Raises
        ------
        ValueError
            If it has no word.
        """
        if not self.text(text):
            raise ValueError(f"`text` must have a word, but is {text!r}")
        return self.encode(text).tolist()

    def given(
        self,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
        is_answered: bool = False,
    ) -> dict[str, Any]:
        """The transcripts, which the decoder is told."""
        return {
            "targets": targets,
            "target_lengths": target_lengths,
            "is_answered": is_answered,
        }

    def loss(
        self,
        out: EncoderOutput,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Cross-entropy of the tokens and of the end behind them, [B], nats.

        Arguments
        ---------
        out : EncoderOutput
            Log-probabilities, [B, U + 1, V].
        targets : torch.Tensor
            Token ids, [B, U].
        target_lengths : torch.Tensor
            Tokens, [B].
        """
        labels = torch.cat((targets, torch.zeros_like(targets[:, :1])), dim=1)
        n_max, places = labels.shape[1], target_lengths.unsqueeze(1)
        labels = labels.scatter(1, places, self.end)
        found = out.log_probs.gather(2, labels.unsqueeze(2)).squeeze(2)
        padding = padding_mask(target_lengths + 1, n_max)
        return -found.masked_fill(padding, 0.0).sum(1)

    def n_impossible(
        self,
        out: EncoderOutput,
        targets: torch.Tensor,
        target_lengths: torch.Tensor,
    ) -> int:
        """None: what is too long for the decoder raises there."""
        return 0

    def with_decoding(
        self, decoding: str, options: Optional[dict[str, Any]] = None
    ) -> "Seq2SeqTask":
        """The same task: its model decodes greedily.

        Raises
        ------
        ValueError
            If another decoding is asked for.
        """
        if decoding != "greedy":
            raise ValueError(
                f"`decoding` of a {self.name} must be greedy, but is "
                f"{decoding!r}: a part that is exported as a Whisper of "
                f"Hugging Face takes all that `generate` knows"
            )
        return self

    def decoder(self, out: EncoderOutput) -> tuple[list[str], list[list[int]]]:
        """Transcripts, and the tokens that they were made of.

        Arguments
        ---------
        out : EncoderOutput
            `tokens`, [B, U], or else log-probabilities, [B, U, V].
        """
        tokens = out.tokens
        if tokens is None:
            padding = padding_mask(out.lengths, out.log_probs.shape[1])
            tokens = out.log_probs.argmax(-1).masked_fill(padding, self.end)
        rows = [[i for i in row if i < self.end] for row in tokens.tolist()]
        return [self.vocabulary.decode(row).strip() for row in rows], rows

    def decode(self, out: EncoderOutput) -> list[str]:
        """Transcripts; see `decoder`."""
        return self.decoder(out)[0]

    def timed_by(self, decoder: WhisperDecoder) -> "Seq2SeqTask":
        """The same task, with times of words, of what this decoder wrote."""
        task = copy.copy(self)
        task.times = decoder
        return task

    def words(
        self, out: EncoderOutput, answers: Sequence[str]
    ) -> Optional[list[list[WordSpan]]]:
        """When words were said, by what the decoder looked at; see `warping`.

        Of the tokens that `decoder` gives.

        Returns
        -------
        list of list of WordSpan
            Of each utterance; None if no decoder or no states are known.
        """
        if self.times is None or out.states is None:
            return None
        gates = None if out.gates is None else out.gates.decoder
        found = []
        for x, n, row in zip(out.states, out.frames, self.decoder(out)[1]):
            tokens = torch.tensor(row, dtype=torch.long)
            looks = looks_at(self.times, x[None, : int(n)], tokens, gates)
            first = first_frames(looks.weights, looks.n_prompt)
            parts = parts_of(row, self.vocabulary.decode)
            found.append(words_of(parts, first, looks.probabilities))
        return found

    def scored(self, text: str) -> str:
        """What is said, not how it is written."""
        return spoken(text)

    def write_details(
        self,
        path: Path,
        ids: list[str],
        references: list[str],
        answers: list[str],
    ) -> None:
        """Writes SpeechBrain's alignments of what is said."""
        pair = [[*map(spoken, texts)] for texts in (references, answers)]
        super().write_details(path, ids, *pair)
