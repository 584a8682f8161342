"""What all models have that run at the depth that one asks for."""

from pathlib import Path
from typing import Any, Optional, TypeVar, Union

import torch

from dld_brain.audio.checks import LONGEST
from dld_brain.audio.features import extract, min_samples, samples_per_frame
from dld_brain.audio.reader import Audio, read_audio
from dld_brain.audio.window_limits import Limits, limits
from dld_brain.depth_table import DepthTable
from dld_brain.encoder.encoder import EncoderOutput
from dld_brain.gates.gates import Gates
from dld_brain.model_folder.loader import INTERFACES
from dld_brain.model_folder.read import HPARAMS, load_pretrained
from dld_brain.model_folder.training import trained_on
from pretrained_interfaces.heap import Trimmer
from pretrained_interfaces.inputs import check_batch, check_features, find_audio
from pretrained_interfaces.sources import find_folder, run_options
from speechbrain.inference.interfaces import Pretrained
from speechbrain.utils.fetching import FetchConfig, LocalStrategy

#: The class that loads, or one of its own for the task.
Model = TypeVar("Model", bound="DynamicDepth")


class DynamicDepth(Pretrained):
    """A pretrained model whose depth is an argument of each call.

    Threads that share a model and ask for different depths do not meet.
    """

    HPARAMS_NEEDED = ["depth_table", "sample_rate"]
    MODULES_NEEDED = ["compute_features", "normalize", "model"]

    #: Name of the task that its models are for.
    TASK = ""

    @classmethod
    def for_task(cls, task: str) -> Optional[type["DynamicDepth"]]:
        """The class that loads a model of a task; None if it is none of ours."""
        return cls if task == cls.TASK else None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: The depth table of the layers that are loaded.
        self.table: DepthTable = self.hparams.depth_table
        #: Folder that the model was loaded from, or None.
        self.folder: Optional[str] = None
        #: Longest utterance of its training, s, if that is known.
        self.longest_utterance: Optional[float] = None
        #: Whether training has seen chunks, if that is known.
        self.trained_in_chunks: Optional[bool] = None
        #: Looks at this process's memory after each batch of windows.
        self.trimmer = Trimmer()

    @classmethod
    def from_hparams(
        cls: type[Model],
        source: Union[str, Path, None] = None,
        hparams_file: str = HPARAMS,
        n_layers: Optional[int] = None,
        overrides: Optional[dict[str, Any]] = None,
        *,
        device: Optional[str] = None,
        trust_code: bool = False,
        overrides_must_match: bool = True,
        savedir: Union[str, Path, None] = None,
        download_only: bool = False,
        local_strategy: LocalStrategy = LocalStrategy.SYMLINK,
        fetch_config: Optional[FetchConfig] = None,
        **kwargs: Any,
    ) -> Optional[Model]:
        """Loads a model, strictly; runs no code that its folder names.

        Arguments
        ---------
        source : str or Path, optional
            The folder `pretrained` of a run; or, as a string of which
            neither that folder nor `owner` is there, `owner/name` on the
            Hugging Face Hub; the model that ships with this package if not
            given.
        n_layers : int, optional
            Load only the layers that run at this depth; all if not given.
            The depths whose layers are among them remain.
        overrides : dict, optional
            What the caller changes in hyperparams.yaml; trusted.
        device : str, optional
            auto, cpu, cuda or cuda:<n>; SpeechBrain's `run_opts` if not
            given.
        trust_code : bool
            Whether hyperparams.yaml may name any code, which then runs.
        savedir : str or Path, optional
            Where what is fetched goes; the Hub's cache if not given.

        Raises
        ------
        FileNotFoundError
            If the folder, or a file in it, does not exist; of `owner/name`,
            if the Hub gives no such model either, or not within 3 s.
        ValueError
            If a file was changed or added, names code, does not fit the
            others or is of a model for another task, `n_layers` is no depth
            of it, or there is no such device.
        """
        kwargs |= run_options(kwargs.get("run_opts"), device)
        source, folder = find_folder(
            source, savedir, local_strategy, fetch_config or FetchConfig()
        )
        if download_only:
            return None
        model = load_pretrained(
            folder,
            n_layers,
            hparams_file=hparams_file,
            overrides=overrides,
            overrides_must_match=overrides_must_match,
            trust_code=trust_code,
            is_alone=folder == source,
        )
        kind = cls.for_task(model.task.name)
        if kind is None:
            raise ValueError(
                f"{cls.__name__} must have a model for its task, but {source} "
                f"holds one of {model.task.name}: use "
                f"{INTERFACES[model.task.name]}"
            )
        hparams = {**model.hparams, "savedir": savedir}
        found = kind(modules=model.modules, hparams=hparams, **kwargs)
        found.folder = source if folder == source else None
        found.longest_utterance, found.trained_in_chunks = trained_on(folder)
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
        return self.gates(n_layers).layers

    def gates(self, n_layers: Optional[int] = None) -> Gates:
        """Gates of a depth; see `layers`."""
        if n_layers is None:
            return Gates.full(self.n_total)
        return self.table.gates(n_layers, self.n_total)

    def load_audio(
        self,
        path: Audio,
        savedir: Optional[str] = None,
        sampling_rate: Optional[int] = None,
        max_audio_seconds: float = LONGEST,
    ) -> torch.Tensor:
        """Reads audio at the model's rate, as mono, and checks it.

        Arguments
        ---------
        path : str, Path, file object, array, tensor or mapping
            See `read_audio`; or a URL, or hub:owner/name/file.
        savedir : str, optional
            Cache of what is fetched from the Hub.

        Returns
        -------
        torch.Tensor
            Samples, [S].
        """
        samples, _ = read_audio(
            find_audio(path, savedir),
            sampling_rate,
            max_seconds=max_audio_seconds,
            to_rate=self.hparams.sample_rate,
        )
        # SpeechBrain's normaliser would copy what is mono and at this rate.
        return samples.squeeze(1).to(self.device)

    @property
    def window_limits(self) -> Limits:
        """How long audio is that the model encodes at once."""
        return self.limits()

    def limits(
        self,
        window_seconds: Optional[float] = None,
        overlap_seconds: Optional[float] = None,
    ) -> Limits:
        """The same, where a caller chooses windows; see `limits`."""
        return limits(
            self.longest_utterance,
            self.hparams.sample_rate,
            min_samples(self.mods),
            samples_per_frame(self.mods),
            window_seconds,
            overlap_seconds,
        )

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
        gates = self.gates(n_layers)
        feats, lengths = self.features(wavs, wav_lens)
        with self.inference_ctx:
            (out,) = self.mods.model(feats, lengths, [gates])
        return out

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
            feats, lengths = extract(self.mods, wavs, wav_lens)
        check_features(feats, wavs)
        return feats, lengths

    def encode_batch(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor,
        n_layers: Optional[int] = None,
    ) -> torch.Tensor:
        """The log-probabilities of `encode`, [B, T', V]."""
        return self.encode(wavs, wav_lens, n_layers).log_probs

    def forward(
        self,
        wavs: torch.Tensor,
        wav_lens: torch.Tensor,
        n_layers: Optional[int] = None,
    ) -> torch.Tensor:
        """The same as `encode_batch`, [B, T', V]."""
        return self.encode_batch(wavs, wav_lens, n_layers)

    def to(self, device: Union[str, torch.device]) -> "DynamicDepth":
        """Moves the model, and where its inputs go."""
        for module in self.mods.values():
            module.to(device)  # InputNormalization moves only when asked
        self.device = str(device)
        return self
