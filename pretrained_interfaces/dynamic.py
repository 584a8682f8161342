"""What all models have that run at the depth that one asks for."""

from pathlib import Path
from typing import Any, Optional, Union

import torch
from speechbrain.inference.interfaces import Pretrained

from dld_brain.audio.features import extract, min_samples
from dld_brain.depth_table import FILE, DepthTable
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.gates.layer_sets import check_n_layers, gates_from_layers
from pretrained_interfaces.inputs import (
    check_batch,
    check_source,
    is_remote,
    read_audio,
)


def check_folder(source: str, hparams_file: str) -> None:
    """Raises unless a folder can hold a model."""
    for name in (hparams_file, FILE):
        if not Path(source, name).is_file():
            raise FileNotFoundError(
                f"{source} must hold {name}, but does not: give the folder "
                f"`pretrained` of a finished run"
            )


class DynamicDepth(Pretrained):
    """A pretrained model whose depth is an argument of each call.

    Threads that share a model and ask for different depths do not meet.
    """

    HPARAMS_NEEDED = ["depth_table", "n_layers", "sample_rate"]
    MODULES_NEEDED = ["compute_features", "normalize", "model"]

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        #: The depth table of the layers that are loaded.
        self.table: DepthTable = self.hparams.depth_table
        if self.hparams.n_layers is not None:
            self.table = self.table.within(self.hparams.n_layers)
        #: Folder that the model was loaded from, or None.
        self.folder: Optional[str] = None

    @classmethod
    def from_hparams(
        cls,
        source: Union[str, Path],
        hparams_file: str = "hyperparams.yaml",
        n_layers: Optional[int] = None,
        overrides: Optional[dict[str, Any]] = None,
        **kwargs: Any,
    ) -> "DynamicDepth":
        """Loads a model, strictly.

        Arguments
        ---------
        source : str or Path
            The folder `pretrained` of a run, or a Hugging Face id.
        n_layers : int, optional
            Load only the layers that run at this depth; all if not given.
            The depths whose layers are among them remain.

        Raises
        ------
        FileNotFoundError
            If the folder, or a file in it, does not exist.
        ValueError
            If a weight is missing, surplus or of another shape, the depth
            table is of another model, or `n_layers` is no depth of it.
        """
        source = check_source(source)
        is_folder = Path(source).is_dir()
        if is_folder:
            check_folder(source, hparams_file)
        overrides = dict(overrides or {})
        if n_layers is not None:
            if is_folder:  # before anything is built
                table = DepthTable()
                table.read(Path(source, FILE))
                table.layers(n_layers)
            overrides |= {"n_total": n_layers, "n_layers": n_layers}
            overrides["router"] = "none"
        found = super().from_hparams(
            source, hparams_file, overrides=overrides, **kwargs
        )
        if found is not None and is_folder:
            found.folder = source
        return found

    @property
    def n_total(self) -> int:
        """Layers that are loaded, L."""
        return self.mods.model.n_total

    @property
    def depths(self) -> tuple[int, ...]:
        """What `n_layers` can be."""
        return self.table.depths

    def layers(self, n_layers: Optional[int] = None) -> tuple[int, ...]:
        """Layers that run at a depth, by the depth table.

        Arguments
        ---------
        n_layers : int, optional
            The depth; all layers if not given.

        Raises
        ------
        ValueError
            If `n_layers` is no depth of the model.
        """
        if n_layers is None:
            return tuple(range(self.n_total))
        check_n_layers(n_layers, self.n_total)
        return self.table.layers(n_layers)

    def load_audio(
        self, path: Union[str, Path], savedir: Optional[str] = None
    ) -> torch.Tensor:
        """Reads audio at the model's rate, as mono.

        Returns
        -------
        torch.Tensor
            Samples, [S].
        """
        if is_remote(path):
            return super().load_audio(path, savedir)
        samples, rate = read_audio(path)
        return self.audio_normalizer(samples.to(self.device), rate)

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
        feats, lengths = self.features(wavs, wav_lens)
        with self.inference_ctx:
            return self.mods.model(feats, lengths, gates)

    def features(
        self, wavs: torch.Tensor, wav_lens: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Checks waveforms and computes their features.

        Arguments
        ---------
        wavs : torch.Tensor
            Waveforms, [B, S].
        wav_lens : torch.Tensor
            Lengths relative to S, [B], in (0, 1].

        Returns
        -------
        tuple of torch.Tensor
            Features [B, T, F] and valid frames [B].
        """
        shortest = min_samples(self.mods)
        check_batch(wavs, wav_lens, shortest, self.hparams.sample_rate)
        wavs, wav_lens = wavs.to(self.device), wav_lens.to(self.device)
        with self.inference_ctx:
            return extract(self.mods, wavs, wav_lens)

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

    def to(self, device: Union[str, torch.device]) -> "DynamicDepth":
        """Moves the model, and where its inputs go."""
        for module in self.mods.values():
            module.to(device)  # InputNormalization moves only when asked
        self.device = str(device)
        return self
