"""CTC models as the Hub has them: small, of random weights, on disk."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from conftest import HF_SIZE

LETTERS = "ETAONIHSRDLUMWCFGYPBVK'XJQZ"
RECIPE = "hparams/pretrained_dld.yaml"
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "|")


def save_ctc(
    folder: Any,
    kind: str = "wav2vec2",
    is_large: bool = False,
    tokens: tuple[str, ...] = (*SPECIAL, *LETTERS),
    tokenizer: Any = None,
    extractor: Any = None,
    **changes: Any,
) -> Any:
    """Saves a model with its processor; of the large models' layout or not.

    Arguments
    ---------
    tokens : tuple of str
        By output.
    tokenizer, extractor : dict, optional
        Other settings of these.
    """
    torch.manual_seed(0)
    sizes = {
        "vocab_size": len(tokens),
        "do_stable_layer_norm": is_large,
        "feat_extract_norm": "layer" if is_large else "group",
    }
    config = transformers.AutoConfig.for_model(
        kind, **{**HF_SIZE, **sizes, **changes}
    )
    model = transformers.AutoModelForCTC.from_config(config)
    for weight in model.parameters():  # as made, the biases say nothing
        torch.nn.init.normal_(weight, weight.mean().item(), 0.1)
    model.save_pretrained(folder)
    path = Path(folder, "vocab.json")
    path.write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    extractor = {"return_attention_mask": is_large, **(extractor or {})}
    transformers.Wav2Vec2Processor(
        transformers.Wav2Vec2FeatureExtractor(
            **{"do_normalize": True, **extractor}
        ),
        transformers.Wav2Vec2CTCTokenizer(str(path), **(tokenizer or {})),
    ).save_pretrained(folder)
    return model.eval()


#: Sizes of Conformers of the Hub that tests make.
BERT_SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_depthwise_kernel_size": 7,
}
PARAKEET_SIZE = {
    **{k: v for k, v in BERT_SIZE.items() if not k.startswith("conv")},
    "subsampling_conv_channels": 8,
    "num_mel_bins": 32,
    "layerdrop": 0.1,
}


def randomise(model: Any) -> None:
    """Makes every weight say something, and every statistic."""
    for weight in model.parameters():
        torch.nn.init.normal_(weight, weight.mean().item(), 0.1)
    for name, value in model.named_buffers():
        if name.endswith("running_mean"):
            torch.nn.init.normal_(value, 0.0, 0.1)
        elif name.endswith("running_var"):
            torch.nn.init.uniform_(value, 0.5, 2.0)


def save_bert(
    folder: Any,
    positions: str = "relative_key",
    tokens: tuple[str, ...] = (*SPECIAL, *LETTERS),
    extractor: Any = None,
    **changes: Any,
) -> Any:
    """Saves a Wav2Vec2-BERT with its processor; arguments as `save_ctc`."""
    torch.manual_seed(0)
    config = transformers.Wav2Vec2BertConfig(
        vocab_size=len(tokens),
        position_embeddings_type=positions,
        **{**BERT_SIZE, **changes},
    )
    model = transformers.Wav2Vec2BertForCTC(config)
    randomise(model)
    model.save_pretrained(folder)
    path = Path(folder, "vocab.json")
    path.write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    transformers.Wav2Vec2BertProcessor(
        # As facebook/w2v-bert-2.0, whose padding is 1.
        transformers.SeamlessM4TFeatureExtractor(
            **{"padding_value": 1, **(extractor or {})}
        ),
        transformers.Wav2Vec2CTCTokenizer(str(path)),
    ).save_pretrained(folder)
    return model.eval()


def parakeet_tokenizer(kind: str = "BPE") -> Any:
    """A small tokenizer as Parakeet's: `<unk>` first and the blank last."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    text = ["the cat sat on that mat", "a hat that the cat had", "no one ate"]
    text += ["abcdefghijklmnopqrstuvwxyz'"]
    unk = {"unk_token": "<unk>"} if kind == "BPE" else {}
    found = Tokenizer(getattr(models, kind)(**unk))
    space = pre_tokenizers.Metaspace(prepend_scheme="always")
    found.pre_tokenizer = space
    found.decoder = decoders.Metaspace(prepend_scheme="always")
    unk = {"unk_token": "<unk>"} if kind == "Unigram" else {}
    trainer = getattr(trainers, f"{kind.capitalize()}Trainer")(
        vocab_size=48, special_tokens=["<unk>"], show_progress=False, **unk
    )
    found.train_from_iterator(text, trainer)
    return transformers.ParakeetTokenizer(
        tokenizer_object=found, unk_token="<unk>", pad_token="<pad>"
    )


def save_parakeet(
    folder: Any,
    tokenizer: Any = None,
    extractor: Any = None,
    **changes: Any,
) -> Any:
    """Saves a Parakeet with its processor; arguments as `save_ctc`."""
    torch.manual_seed(0)
    tokenizer = tokenizer or parakeet_tokenizer()
    sizes = transformers.ParakeetEncoderConfig(**{**PARAKEET_SIZE, **changes})
    config = transformers.ParakeetCTCConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id or 0,
        encoder_config=sizes,
    )
    model = transformers.ParakeetForCTC(config)
    randomise(model)
    for layer in model.encoder.subsampling.layers:  # else frames are alike
        for weight in layer.parameters():
            torch.nn.init.normal_(weight, 0.0, 0.5)
    model.save_pretrained(folder)
    transformers.ParakeetProcessor(
        transformers.ParakeetFeatureExtractor(
            **{"feature_size": 32, **(extractor or {})}
        ),
        tokenizer,
    ).save_pretrained(folder)
    return model.eval()


def change_json(path: Path, **changes: Any) -> None:
    """Changes keys of a file of JSON."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))


@torch.no_grad()
def answer(folder: Any, wav: torch.Tensor) -> tuple[torch.Tensor, str]:
    """Log-probabilities [T', V] and transcript, by transformers alone."""
    model = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    values = processor(wav.numpy(), sampling_rate=16000, return_tensors="pt")
    logits = model(**values).logits[0]
    if "input_features" in values:  # behind these is one that it masks
        n_frames = values["attention_mask"].sum()
        if model.config.model_type == "parakeet_ctc":
            n_frames = model._get_subsampling_output_length(n_frames)
        elif model.config.add_adapter:
            n_frames = model._get_feat_extract_output_lengths(n_frames)
        logits = logits[: int(n_frames)]
    return logits.log_softmax(-1), processor.decode(logits.argmax(-1))


def flags(folder: Path, **changes: Any) -> list[str]:
    """Options of RECIPE that make it small enough for a test."""
    options = {
        "corpus": "AN4",
        "data_folder": "tests/samples/AN4",
        "model": folder / "hf",
        "output_folder": folder / "run",
        "number_of_epochs": 2,
        "random_draws": 0,
        **changes,
    }
    found = [f"--{k}={v}" for k, v in options.items() if v is not None]
    return [*found, "--noprogressbar", "--device=cpu"]
