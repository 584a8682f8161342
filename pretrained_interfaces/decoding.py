"""How a recogniser decodes: greedily, or under a language model."""

from pathlib import Path
from typing import Any, Optional, TypeVar, Union

import torch

from dld_brain.audio.lengths import absolute_lengths
from dld_brain.audio.vad import find_speech
from dld_brain.tasks.language_model import LanguageModel, check_use
from pretrained_interfaces.dynamic import DynamicDepth, Model

#: The class that decodes in another way.
Recogniser = TypeVar("Recogniser", bound="Decoding")


class Decoding(DynamicDepth):
    """What a recogniser has that turns a model's outputs to text."""

    task: Any

    @classmethod
    def from_hparams(
        cls: type[Model],
        source: Union[str, Path, None] = None,
        *args: Any,
        lm: Union[str, Path, None] = None,
        lm_options: Optional[dict[str, Any]] = None,
        n_decoder_layers: Optional[int] = None,
        **kwargs: Any,
    ) -> Optional[Model]:
        """Loads a model; see `DynamicDepth.from_hparams`.

        Arguments
        ---------
        lm : str or Path, optional
            An ARPA file of words, to decode with; greedy if not given.
        lm_options : dict, optional
            alpha and beta, its weights, and other options of SpeechBrain's
            `CTCBeamSearcher`.
        n_decoder_layers : int, optional
            Layers of a Whisper's decoder that run; all if not given.
        """
        if lm is not None:  # before the model, which takes seconds
            LanguageModel.read(lm)
        found = super().from_hparams(source, *args, **kwargs)
        if lm is not None and found is not None:
            check_use(lm, found.task.name)
            options = {"kenlm_model_path": str(lm), **(lm_options or {})}
            found.decode_with("beam", **options)
        if n_decoder_layers is not None and found is not None:
            return found.with_decoder_layers(n_decoder_layers)
        return found

    def with_decoder_layers(self, n_layers: Optional[int]) -> Any:
        """The same model; a `DynamicWhisperASR` has a decoder.

        Raises
        ------
        ValueError
            If a depth of the decoder is given, which there is none of.
        """
        if n_layers is not None:
            raise ValueError(
                f"`n_decoder_layers` must not be given for a model without a "
                f"decoder, but is {n_layers}: this one has a head for CTC"
            )
        return self

    def decode_with(
        self: Recogniser, decoding: str, **options: Any
    ) -> Recogniser:
        """Decodes in another way from now on.

        Arguments
        ---------
        decoding : str
            "greedy", as it is at first, or "beam".
        **options
            Of SpeechBrain's `CTCBeamSearcher`; its kenlm_model_path is an
            ARPA file of words.
        """
        self.task = self.task.with_decoding(decoding, options)
        return self

    @torch.no_grad()
    def transcribe_batch(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor,
        n_layers: Optional[int] = None,
    ) -> tuple[list[str], list[Any]]:
        """Transcribes a batch of waveforms at the model's rate.

        Arguments
        ---------
        wavs : torch.Tensor
            Waveforms, [B, S].
        wav_lens : torch.Tensor
            Lengths relative to S, [B], in (0, 1].
        n_layers : int, optional
            Layers that run; all if not given.

        Returns
        -------
        tuple
            Transcripts, and what the decoder gave for each: token ids, or
            the hypotheses of a beam search. Both are empty without speech.

        Raises
        ------
        ValueError
            If an input or `n_layers` is not what it must be.
        """
        texts, found = self.task.decoder(self.encode(wavs, wav_lens, n_layers))
        rate = self.hparams.sample_rate
        lengths = absolute_lengths(wav_lens, wavs.shape[1]).tolist()
        for i, length in enumerate(lengths):
            if not find_speech(wavs[i, :length].cpu().numpy(), rate):
                texts[i], found[i] = "", []
        return texts, found
