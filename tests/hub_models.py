"""CTC models as the Hub has them: small, of random weights, on disk."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from conftest import HF_SIZE

LETTERS = "ETAONIHSRDLUMWCFGYPBVK'XJQZ"
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
    return logits.log_softmax(-1), processor.decode(logits.argmax(-1))
