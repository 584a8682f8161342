"""Transcription by an encoder-decoder: a posterior for each token."""

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import torch

from dld_brain.audio.lengths import padding_mask
from dld_brain.encoder.encoder import EncoderOutput
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


def spoken(text: str) -> str:
    """A text without case, punctuation and what stands in brackets.

    Whisper's basic normalisation (arXiv 2212.04356, appendix C: languages
    beside English), but that titles which English spells out are words:
    LibriSpeech has MISTER, a Whisper writes Mr.

    Example
    -------
    >>> spoken("Mr. Brown's here -- he's [coughs] well-known!")
    'mister brown s here he s well known'
    """
    text = re.sub(r"[<\[][^>\]]*[>\]]|\([^)]*\)", "", text.lower())
    for short, word in TITLES.items():
        text = re.sub(rf"\b{short}\b\.?", word, text)
    letters = (
        " " if unicodedata.category(c)[0] in "MSP" else c
        for c in unicodedata.normalize("NFKC", text)
    )
    return " ".join("".join(letters).split())


#: As in Whisper's normalisation of English.
TITLES = {"mr": "mister", "mrs": "missus", "dr": "doctor"}
