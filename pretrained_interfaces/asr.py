"""Speech recognition at the depth that one asks for.

Authors
 * The dld_brain authors 2026
"""

import functools
from pathlib import Path
from typing import Any, Optional, Union

import torch
from speechbrain.inference.ASR import EncoderASR

from dld_brain.decode import relative
from dld_brain.encoders.gated import EncoderOutput
from dld_brain.features import extract, min_samples
from dld_brain.gates import evenly_spread, gates_from_layers
from pretrained_interfaces.inputs import (
    check_batch,
    check_source,
    is_remote,
    read_audio,
)


class DynamicEncoderASR(EncoderASR):
    """A CTC recogniser that runs as many layers as the caller says.

    An `EncoderASR`: `from_hparams`, `transcribe_file`, `transcribe_batch`
    and `encode_batch` work as there, and take `n_layers` as well. The
    depth is an argument of each call: threads that share a model do not
    meet.

    Arguments
    ---------
    *args : tuple
    **kwargs : dict
        Forwarded to `EncoderASR`.

    Example
    -------
    >>> asr = DynamicEncoderASR.from_hparams(
    ...     source="results/quickstart/dld/1986/pretrained"
    ... )  # doctest: +SKIP
    >>> asr.transcribe_file("a.wav", n_layers=6)  # doctest: +SKIP
    'TURN ON THE KITCHEN LIGHT'
    """

    HPARAMS_NEEDED = ["tokenizer", "decoding_function", "sample_rate"]
    MODULES_NEEDED = ["compute_features", "normalize", "model"]

    @classmethod
    def from_hparams(
        cls,
        source: Union[str, Path],
        hparams_file: str = "hyperparams.yaml",
        **kwargs: Any,
    ) -> "DynamicEncoderASR":
        """Loads a model, strictly.

        Arguments
        ---------
        source : str or Path
            The folder `pretrained` of a run, or a Hugging Face id.
        hparams_file : str
            Name of the hyperparameter file there.
        **kwargs : dict
            Forwarded to SpeechBrain's `from_hparams`.

        Returns
        -------
        DynamicEncoderASR

        Raises
        ------
        FileNotFoundError
            If the folder, or a file in it, does not exist.
        ValueError
            If a weight is missing, surplus or of another shape.
        """
        source = check_source(source)
        file = Path(source, hparams_file)
        if Path(source).is_dir() and not file.is_file():
            raise FileNotFoundError(
                f"{source} must hold {hparams_file}, but does not: give the "
                f"folder `pretrained` of a finished run"
            )
        return super().from_hparams(source, hparams_file, **kwargs)

    @property
    def n_total(self) -> int:
        """Layers of the model, L."""
        return self.mods.model.n_total

    @property
    def depths(self) -> tuple[int, ...]:
        """What `n_layers` can be: 1 to L."""
        return tuple(range(1, self.n_total + 1))

    def layers(self, n_layers: Optional[int] = None) -> tuple[int, ...]:
        """Layers that run at a depth: evenly spread, first and last.

        Arguments
        ---------
        n_layers : int, optional
            The depth; all layers if not given.

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError
            If `n_layers` is no depth of the model.
        """
        if n_layers is None:
            return tuple(range(self.n_total))
        return evenly_spread(n_layers, self.n_total)

    def transcribe_file(
        self,
        path: Union[str, Path],
        n_layers: Optional[int] = None,
        **kwargs: Any,
    ) -> str:
        """Transcribes an audio file.

        Arguments
        ---------
        path : str or Path
            A file of any rate and number of channels, a URL, or a file of
            a hub repository.
        n_layers : int, optional
            Layers that run; all if not given.
        **kwargs : dict
            Forwarded to `load_audio`.

        Returns
        -------
        str
            What was said.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If `n_layers` is no depth of the model, or the file is no
            audio, too short, or has samples that are no numbers.
        """
        layers = self.layers(n_layers)  # before the file is read
        waveform = self.load_audio(path, **kwargs)
        words, _ = self.transcribe_batch(
            waveform.unsqueeze(0), torch.ones(1), len(layers)
        )
        return words[0]

    def load_audio(
        self, path: Union[str, Path], savedir: Optional[str] = None
    ) -> torch.Tensor:
        """Reads audio at the model's rate, as mono.

        Arguments
        ---------
        path : str or Path
            As in `transcribe_file`.
        savedir : str, optional
            Where to keep what is fetched.

        Returns
        -------
        torch.Tensor
            Samples, [S].
        """
        if is_remote(path):
            return super().load_audio(path, savedir)
        samples, rate = read_audio(path)
        return self.audio_normalizer(samples.to(self.device), rate)

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
            the hypotheses of a beam search.

        Raises
        ------
        TypeError
            If an input is no tensor.
        ValueError
            If an input or `n_layers` is not what it must be.
        """
        out = self.encode(wavs, wav_lens, n_layers)
        found = self.decoding_function(out.log_probs.float(), relative(out))
        if isinstance(self.hparams.decoding_function, functools.partial):
            return [self.tokenizer.decode_ids(ids) for ids in found], found
        return [nbest[0].text.strip() for nbest in found], found

    def encode(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor,
        n_layers: Optional[int] = None,
    ) -> EncoderOutput:
        """Computes log-probabilities and their valid frames.

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
        EncoderOutput
            Log-probabilities [B, T', V] and lengths [B].
        """
        gates = gates_from_layers(self.layers(n_layers), self.n_total)
        shortest = min_samples(self.mods)
        check_batch(wavs, wav_lens, shortest, self.hparams.sample_rate)
        wavs, wav_lens = wavs.to(self.device), wav_lens.to(self.device)
        with self.inference_ctx:
            feats, lengths = extract(self.mods, wavs, wav_lens)
            return self.mods.model(feats, lengths, gates)

    def encode_batch(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor,
        n_layers: Optional[int] = None,
    ) -> torch.Tensor:
        """Computes log-probabilities.

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
        torch.Tensor
            [B, T', V].
        """
        return self.encode(wavs, wav_lens, n_layers).log_probs

    def forward(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor,
        n_layers: Optional[int] = None,
    ) -> torch.Tensor:
        """The same as `encode_batch`.

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
        torch.Tensor
            [B, T', V].
        """
        return self.encode_batch(wavs, wav_lens, n_layers)

    def to(self, device: Union[str, torch.device]) -> "DynamicEncoderASR":
        """Moves the model, and where its inputs go.

        Arguments
        ---------
        device : str or torch.device
            Where to.

        Returns
        -------
        DynamicEncoderASR
        """
        for module in self.mods.values():
            module.to(device)  # InputNormalization moves only when asked
        self.device = str(device)
        return self
