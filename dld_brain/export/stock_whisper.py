"""A Whisper of one depth, decoder and all, for transformers alone.

`pipeline`, `generate` and CTranslate2's converter take the folder. They hear
30 s, silence behind the speech; the student hears the speech alone.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dld_brain.encoder.part import HEAD, part_of
from dld_brain.encoder.whisper.config import N_POSITIONS
from dld_brain.encoder.whisper.whole import DynamicWhisper
from dld_brain.gates.gates import Gates
from dld_brain.tasks.seq2seq import END, Seq2SeqTask

#: Our names of an encoder's weights, and Hugging Face's; the first that fits.
NAMES = (
    (HEAD, "decoder."),
    ("layers.layers.", "encoder.layers."),
    ("layers.norm.", "encoder.layer_norm."),
    ("stem.positions", "encoder.embed_positions.weight"),
    ("stem.", "encoder."),
)
#: A multilingual Whisper's prompt: start, language, task, no timestamps.
N_MULTILINGUAL = 4
LANGUAGES_END, TASKS = "<|translate|>", ("translate", "transcribe")


def write_whisper(
    hparams: Mapping[str, Any], task: Seq2SeqTask, gates: Gates, folder: Path
) -> None:
    """Writes the folder.

    Arguments
    ---------
    hparams : mapping
        Of a model that was loaded.
    task : Seq2SeqTask
        Its tokens.
    gates : Gates
        Of its encoder, those of its decoder with them.
    """
    import transformers

    part = part_of(hparams["model"], gates)
    sizes = {**hparams["config"], "encoder_layers": part.n_total}
    config = transformers.WhisperConfig(**sizes, **_decoder_sizes(part))
    theirs = transformers.WhisperForConditionalGeneration(config)
    theirs.model.load_state_dict(_renamed(part.state_dict()), strict=True)
    theirs.generation_config = generation_config(part, task)
    theirs.save_pretrained(folder)
    write_tokenizer(task, config.max_target_positions, folder)
    transformers.WhisperFeatureExtractor(
        feature_size=config.num_mel_bins
    ).save_pretrained(folder)


def _decoder_sizes(part: DynamicWhisper) -> dict[str, Any]:
    """What Hugging Face's configuration says of a decoder."""
    told = part.head.config
    return {
        "decoder_layers": told.decoder_layers,
        "decoder_attention_heads": told.decoder_attention_heads,
        "decoder_ffn_dim": told.decoder_ffn_dim,
        "vocab_size": told.vocab_size,
        "max_source_positions": N_POSITIONS,
        "max_target_positions": told.max_target_positions,
        "scale_embedding": False,
        **_tokens(part),
    }


def _tokens(part: DynamicWhisper) -> dict[str, Any]:
    """The tokens that both configurations name."""
    told = part.head.config
    return {
        "decoder_start_token_id": told.prompt[0],
        "bos_token_id": told.end,
        "eos_token_id": told.end,
        "pad_token_id": told.end,
        "suppress_tokens": list(told.suppress_tokens),
        "begin_suppress_tokens": list(told.begin_suppress_tokens),
    }


def _renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of ours under Hugging Face's names."""
    found = {}
    for name, value in state.items():
        ours, theirs = next(n for n in NAMES if name.startswith(n[0]))
        found[theirs + name.removeprefix(ours)] = value
    return found


def generation_config(part: DynamicWhisper, task: Seq2SeqTask) -> Any:
    """What `generate` is told, so that it begins as the student does."""
    import transformers

    told = part.head.config
    found: dict[str, Any] = {
        "max_length": told.max_target_positions,
        "no_timestamps_token_id": told.prompt[-1],
        "return_timestamps": False,
        "is_multilingual": len(told.prompt) == N_MULTILINGUAL,
        "alignment_heads": [
            list(pair) for pair in told.heads_of(range(told.decoder_layers))
        ],
        **_tokens(part),
    }
    if found["is_multilingual"]:
        id_of, name_of = (
            task.vocabulary.token_to_id,
            task.vocabulary.id_to_token,
        )
        end = id_of(LANGUAGES_END)
        found |= {
            "lang_to_id": {
                name_of(i): i for i in range(told.prompt[0] + 1, end)
            },
            "task_to_id": {name: id_of(f"<|{name}|>") for name in TASKS},
            "language": name_of(told.prompt[1]).strip("<|>"),
            "task": name_of(told.prompt[2]).strip("<|>"),
        }
    config = transformers.GenerationConfig(**found)
    # What is made of the model's is made anew of it on loading, without the
    # languages.
    config._from_model_config = False
    return config


def write_tokenizer(task: Seq2SeqTask, n_positions: int, folder: Path) -> None:
    """Writes the tokenizer as Whisper's on the Hub, for any transformers.

    Version 5 writes what version 4 does not read.

    Arguments
    ---------
    n_positions : int
        Of the decoder.
    """
    path = folder / task.file
    task.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    special = [t["content"] for t in content["added_tokens"] if t["special"]]
    names = ("bos_token", "eos_token", "unk_token")
    settings = {
        "tokenizer_class": "WhisperTokenizer",
        **dict.fromkeys(names, END),
        "additional_special_tokens": special,
        "add_prefix_space": False,
        "errors": "replace",
        "clean_up_tokenization_spaces": False,
        "model_max_length": n_positions,
    }
    text = json.dumps(settings, indent=2)
    (folder / "tokenizer_config.json").write_text(text + "\n")
    vocabulary, merges = content["model"]["vocab"], content["model"]["merges"]
    text = json.dumps(vocabulary, ensure_ascii=False)
    (folder / "vocab.json").write_text(text, encoding="utf-8")
    pairs = (m if isinstance(m, str) else " ".join(m) for m in merges)
    text = "\n".join(["#version: 0.2", *pairs])
    (folder / "merges.txt").write_text(text + "\n", encoding="utf-8")
