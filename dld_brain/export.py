"""Takes a model out of here: to stock SpeechBrain, to ONNX.

> python -m dld_brain.export submodel --source DIR --n_layers 6 --output OUT
> python -m dld_brain.export onnx --source DIR --n_layers 2 6 --output OUT

Either ends with parity.json: how far the exported model is from the dynamic
one, on noise of several lengths and on audio files that are given.

Authors
 * The dld_brain authors 2026
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import torch
from speechbrain.dataio import audio_io
from speechbrain.inference.ASR import EncoderASR
from tqdm import tqdm

from dld_brain import submodel
from dld_brain.data import BLANK_ID
from dld_brain.decode import make_decoder
from dld_brain.depth import Layers
from dld_brain.encoders.gated import EncoderOutput
from dld_brain.features import extract, min_samples
from dld_brain.gates import gates_from_layers
from dld_brain.pretrained import PretrainedModel, load_pretrained

#: Seconds of noise that exported models are compared on.
PARITY_SECONDS = (0.3, 4.0, 10.0)

#: A model as the comparison sees it: waveform [1, S] -> log-probs [1, T', V].
Runner = Callable[[torch.Tensor], torch.Tensor]


def load_for_inference(source: str) -> PretrainedModel:
    """Reads a model and puts it in eval mode.

    Arguments
    ---------
    source : str
        Folder `pretrained` of a run.

    Returns
    -------
    PretrainedModel
    """
    model = load_pretrained(source)
    for module in model.modules.values():
        module.eval()
    return model


def ours(model: PretrainedModel, layers: Layers) -> Runner:
    """The dynamic model at a depth.

    Arguments
    ---------
    model : PretrainedModel
        The model.
    layers : tuple of int
        Layers that run.

    Returns
    -------
    callable
    """
    encoder = model.modules["model"]
    gates = gates_from_layers(layers, encoder.n_total)

    @torch.no_grad()
    def run(wavs: torch.Tensor) -> torch.Tensor:
        """Waveform to log-probabilities."""
        feats, lengths = extract(model.modules, wavs, torch.ones(1))
        return encoder(feats, lengths, gates).log_probs

    return run


def compare(
    model: PretrainedModel,
    layers: Layers,
    exported: Runner,
    files: list[str],
) -> dict[str, Any]:
    """Compares an exported model with the dynamic one.

    Arguments
    ---------
    model : PretrainedModel
        The dynamic model.
    layers : tuple of int
        Layers that run.
    exported : callable
        The exported model.
    files : list of str
        Audio files.

    Returns
    -------
    dict
        `n_layers`, `layers`, `max_difference` of the log-probabilities, and
        how many of the transcripts of the `files` are `identical`.
    """
    reference = ours(model, layers)
    decode = make_decoder("greedy", model.tokenizer)
    rate = model.hparams["sample_rate"]
    generator = torch.Generator().manual_seed(0)
    shortest = min_samples(model.modules)
    wavs = [
        0.1 * torch.randn(1, max(shortest, int(s * rate)), generator=generator)
        for s in PARITY_SECONDS
    ]
    wavs += [load(model, path).unsqueeze(0) for path in files]
    differences, texts = [], []
    for wav in tqdm(wavs, desc=f"comparing, n = {len(layers)}", leave=False):
        both = reference(wav), exported(wav)
        differences.append(float((both[0] - both[1]).abs().max()))
        length = torch.tensor([both[0].shape[1]])
        texts.append([decode(EncoderOutput(x, length))[0] for x in both])
    texts = texts[len(PARITY_SECONDS) :]
    return {
        "n_layers": len(layers),
        "layers": list(layers),
        "max_difference": max(differences),
        "files": len(files),
        "identical": sum(a == b for a, b in texts),
    }


def load(model: PretrainedModel, path: str) -> torch.Tensor:
    """Reads audio as mono at the model's rate.

    Arguments
    ---------
    model : PretrainedModel
        The model.
    path : str
        The file.

    Returns
    -------
    torch.Tensor
        Samples, [S].
    """
    samples, rate = audio_io.load(path, channels_first=False)
    return model.hparams["audio_normalizer"](samples, rate)


def new_folder(path: str) -> Path:
    """Makes a folder that must not be there.

    Arguments
    ---------
    path : str
        The folder.

    Returns
    -------
    Path

    Raises
    ------
    FileExistsError
        If it is there.

    Example
    -------
    >>> new_folder("dld_brain")
    Traceback (most recent call last):
    ...
    FileExistsError: `--output` must be a new folder, but dld_brain exists
    """
    folder = Path(path)
    if folder.exists():
        raise FileExistsError(
            f"`--output` must be a new folder, but {path} exists"
        )
    folder.mkdir(parents=True)
    return folder


def export_submodel(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Writes a model of one depth for stock SpeechBrain.

    Arguments
    ---------
    options : argparse.Namespace
        The command line.

    Returns
    -------
    list of dict
        Of `compare`.
    """
    model = load_for_inference(options.source)
    layers = model.table.layers(options.n_layers)
    folder = str(new_folder(options.output))
    submodel.write_submodel(options.source, model.hparams, layers, folder)
    stock = EncoderASR.from_hparams(source=folder, savedir=folder)
    return [
        compare(
            model,
            layers,
            lambda wavs: stock.encode_batch(wavs, torch.ones(1)),
            options.files,
        )
    ]


def export_onnx(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Writes ONNX graphs, and what runs them without torch.

    Arguments
    ---------
    options : argparse.Namespace
        The command line.

    Returns
    -------
    list of dict
        Of `compare`, with the `model`'s file and `bytes`.

    Raises
    ------
    ImportError
        If the extra `export` is not installed.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it

        from dld_brain.onnx_model import quantize_onnx, write_onnx
    except ImportError as error:
        raise ImportError(
            "ONNX needs more: pip install -e '.[export]'"
        ) from error
    model = load_for_inference(options.source)
    chosen = {n: model.table.layers(n) for n in options.n_layers}
    folder = new_folder(options.output)
    found = []
    for n_layers, layers in chosen.items():
        path = folder / f"model_n{n_layers}.onnx"
        write_onnx(model.modules, layers, path)
        paths = [path]
        if options.int8:
            paths.append(path.with_suffix(".int8.onnx"))
            quantize_onnx(*paths, model.modules)
        for path in paths:
            session = onnxruntime.InferenceSession(str(path))
            parity = compare(model, layers, runner(session), options.files)
            size = path.stat().st_size
            found.append({"model": path.name, "bytes": size, **parity})
    write_companions(model, sorted(chosen), folder)
    return found


def runner(session: Any) -> Runner:
    """An ONNX session as the comparison sees it.

    Arguments
    ---------
    session : onnxruntime.InferenceSession
        The session.

    Returns
    -------
    callable
    """

    def run(wavs: torch.Tensor) -> torch.Tensor:
        """Waveform to log-probabilities."""
        n_samples = torch.tensor([wavs.shape[1]]).numpy()
        feed = {"wavs": wavs.numpy(), "n_samples": n_samples}
        return torch.from_numpy(session.run(None, feed)[0])

    return run


def write_companions(
    model: PretrainedModel, depths: list[int], folder: Path
) -> None:
    """Writes what runs the graphs: tokenizer, settings, script.

    Arguments
    ---------
    model : PretrainedModel
        The model.
    depths : list of int
        Depths that were exported.
    folder : Path
        Where to.
    """
    settings = {
        "sample_rate": model.hparams["sample_rate"],
        "blank_id": BLANK_ID,
        "depths": depths,
        "layers": {n: list(model.table.layers(n)) for n in depths},
    }
    (folder / "model.json").write_text(json.dumps(settings, indent=2) + "\n")
    proto = model.tokenizer.serialized_model_proto()
    (folder / "tokenizer.model").write_bytes(proto)
    shutil.copy(Path(__file__).with_name("transcribe_onnx.py"), folder)


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line.

    Returns
    -------
    argparse.ArgumentParser
    """
    root = argparse.ArgumentParser(prog="python -m dld_brain.export")
    commands = root.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--source", required=True, help="folder `pretrained` of a run"
    )
    shared.add_argument("--output", required=True, help="a new folder")
    shared.add_argument(
        "--files", nargs="*", default=[], help="audio to compare on"
    )
    command = commands.add_parser(
        "submodel", parents=[shared], help="one depth for stock SpeechBrain"
    )
    command.add_argument("--n_layers", type=int, required=True)
    command.set_defaults(run=export_submodel)
    command = commands.add_parser(
        "onnx", parents=[shared], help="depths for onnxruntime"
    )
    command.add_argument("--n_layers", type=int, nargs="+", required=True)
    command.add_argument(
        "--int8", action="store_true", help="write int8 versions as well"
    )
    command.set_defaults(run=export_onnx)
    return root


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the command line.

    Arguments
    ---------
    arguments : list of str, optional
        Those of the process if not given.

    Returns
    -------
    int
        Exit status.
    """
    options = parser().parse_args(arguments)
    try:
        found = options.run(options)
    except (OSError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = json.dumps(found, indent=2)
    Path(options.output, "parity.json").write_text(text + "\n")
    for row in found:
        print(
            f"{row.get('model', options.output)}: n = {row['n_layers']}, "
            f"largest difference of log-probs {row['max_difference']:.2g}, "
            f"{row['identical']} of {row['files']} transcripts identical"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
