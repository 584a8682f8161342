"""What a model's hyperparams.yaml has for a pretrainer."""

from pathlib import Path
from typing import Any, Optional

from dld_brain.depth_table import (
    FILE as TABLE,
    DepthTable,
)
from dld_brain.encoder.encoder import DynamicEncoder
from dld_brain.encoder.part import count_layers
from dld_brain.model_folder.statistics import load_normalizer
from dld_brain.model_folder.weights import MODEL, NORMALIZE, Weights, load_part
from dld_brain.tasks import Task, find_task
from speechbrain.dataio.preprocess import AudioNormalizer
from speechbrain.processing.features import InputNormalization


class ModelLoader:
    """Reads the files of a model folder, once they were checked.

    SpeechBrain's interfaces call `collect_files`, which says who is to be
    asked in their place: they do not know of depths, and check no file.

    Arguments
    ---------
    task : str
        What the model was trained for.
    sample_rate : int
        Rate of the audio, Hz.
    text_case : str
        How its references are written; see `normalise`.
    """

    def __init__(
        self,
        model: DynamicEncoder,
        normalize: InputNormalization,
        task: str,
        sample_rate: int,
        text_case: str = "keep",
    ) -> None:
        self.model = model
        self.normalize = normalize
        self.kind: type[Task] = find_task(task)
        self.sample_rate = sample_rate
        self.text_case = text_case

    def load(
        self,
        folder: Path,
        table: DepthTable,
        n_features: int,
        n_layers: Optional[int] = None,
    ) -> Task:
        """Loads weights, feature statistics and vocabulary.

        Arguments
        ---------
        n_features : int
            Features of a frame, F.
        n_layers : int, optional
            The model has the layers of this depth alone; all if not given.

        Raises
        ------
        ValueError
            If a file does not fit the model.
        """
        weights = Weights(folder / MODEL)
        n_total, gates = count_layers(weights), None
        table.check_depths(n_total, str(folder / TABLE))
        if n_layers is not None:
            gates = table.gates(n_layers, n_total)
        load_part(self.model, weights, folder / MODEL, gates)
        load_normalizer(self.normalize, folder / NORMALIZE, n_features)
        path = folder / self.kind.file
        if not path.is_file():
            raise ValueError(
                f"{folder}: `task` of {FILES[0]} is {self.kind.name}, whose "
                f"vocabulary is {path.name}, but there is no such file"
            )
        task = self.kind.load(path).with_text_case(self.text_case)
        task.check_size(self.model.head.out_features, str(path))
        return task

    def hparams(self, task: Task, table: DepthTable) -> dict[str, Any]:
        """What SpeechBrain's interfaces look for beside the modules."""
        return {
            "depth_table": table,
            "audio_normalizer": AudioNormalizer(sample_rate=self.sample_rate),
            task.key: task.vocabulary,
        }

    def set_collect_in(self, path: Any) -> None:
        """Nothing is collected: files are read where they are."""

    def collect_files(self, default_source: Any = None, **_: Any) -> None:
        """Says which interface loads the model.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(
            f"{default_source} is a model whose depth is chosen at each call: "
            f"load it with pretrained_interfaces."
            f"{INTERFACES[self.kind.name]}, or export one depth of it (python -m "
            f"dld_brain.export submodel)"
        )


#: What loads a model, by its task.
INTERFACES = {
    "transcription": "DynamicEncoderASR",
    "classification": "DynamicEncoderClassifier",
    "seq2seq": "DynamicWhisperASR",
}
#: Files that every model folder has, beside its vocabulary.
FILES = ("hyperparams.yaml", MODEL, NORMALIZE, TABLE)
