"""A Whisper of one depth, for Hugging Face's transformers alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import torch
import transformers

from dld_brain.encoder.part import part_of
from dld_brain.export.__main__ import main
from dld_brain.export.stock_whisper import generation_config, write_whisper
from dld_brain.export.whisper_parity import WrittenWhisper
from dld_brain.gates.gates import Gates
from dld_brain.model_folder import load_for_inference
from dld_brain.run.hub_model import convert
from dld_brain.run.whole_whisper import read_whole
from dld_brain.tasks.seq2seq import Seq2SeqTask
from tests.hub_models import change_json

SOURCE = "tests/samples/whisper"
SPEECH = "tests/samples/AN4/wav/an4_clstk/mbbb/an3-mbbb-b.flac"


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("whole") / "pretrained")
    convert(SOURCE, folder, "whole_whisper")
    return folder


@pytest.fixture(scope="module")
def part(ours, tmp_path_factory):
    """Two of three layers, and one of the two of the decoder."""
    output = str(tmp_path_factory.mktemp("part") / "hf")
    words = ["hf", "--source", ours, "--output", output, "--files", SPEECH]
    words += ["--n_layers", "2", "--n_decoder_layers", "1"]
    assert main(words) == 0
    return Path(output)


def sharp(model):
    """Weights of which no layer may be another."""
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        torch.nn.init.normal_(weight, float("norm" in name), 0.3)
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize(
    "gates",
    [
        Gates((1, 2), 3).with_decoder(Gates((1,), 2)),
        Gates((0,), 3).with_decoder(Gates((0,), 2)),
        Gates.full(3),
    ],
    ids=str,
)
def test_a_whisper_says_what_its_depth_says(gates, tmp_path):
    model, task, sizes = read_whole(SOURCE)
    model = sharp(model)
    write_whisper({**sizes, "model": model}, task, gates, tmp_path)
    theirs = WrittenWhisper(tmp_path)
    assert theirs.model.config.encoder_layers == gates.depth
    wav = 0.1 * torch.randn(16_000, generator=torch.Generator().manual_seed(1))
    feats = theirs.features(wav).transpose(1, 2)
    targets = torch.tensor([[5, 9, 200]])
    (out,) = model(
        feats,
        torch.tensor([3000]),
        [gates],
        targets=targets,
        target_lengths=torch.tensor([3]),
    )
    found = theirs.log_probs(wav, model.head.config.prompt, targets)
    torch.testing.assert_close(found, out.log_probs, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_part_has_the_decoders_layers_that_are_open():
    model = sharp(read_whole(SOURCE)[0])
    gates = Gates((0, 2), 3).with_decoder(Gates((1,), 2))
    feats, lengths = torch.randn(1, 50, 16), torch.tensor([50])
    given = {
        "targets": torch.tensor([[5, 9]]),
        "target_lengths": torch.tensor([2]),
    }
    (out,) = model(feats, lengths, [gates], **given)
    found = part_of(model, gates)
    (alone,) = found(feats, lengths, **given)
    assert torch.equal(out.log_probs, alone.log_probs)
    assert found.head.n_total == found.head.config.decoder_layers == 1
    assert model.head.n_total == model.head.config.decoder_layers == 2


def test_parity_says_both_what_is_equal_and_what_may_not_be(part):
    (row,) = json.loads((part / "parity.json").read_text())
    assert row["max_difference"] < 1e-4
    assert row["layers"] == [0, 2] and row["decoder_layers"] == [0]
    # Of random weights, hearing silence behind the speech changes the text.
    assert row["files"] == row["identical_on_30_s"] == 1
    assert row["identical"] == 0


def test_it_loads_where_this_package_is_not(part, tmp_path):
    script = tmp_path / "alone.py"
    script.write_text(
        "import sys, soundfile, transformers\n"
        "asr = transformers.pipeline('automatic-speech-recognition', "
        "model=sys.argv[1], device='cpu')\n"
        "wav, rate = soundfile.read(sys.argv[2], dtype='float32')\n"
        "wav = {'raw': wav, 'sampling_rate': rate}\n"
        # By default, with five beams.
        "print(asr(wav, generate_kwargs={'num_beams': 1})['text'])\n"
        "assert not any(n.startswith('dld_brain') for n in sys.modules)\n"
    )
    shutil.copy(SPEECH, tmp_path / "a.flac")
    done = subprocess.run(
        [sys.executable, script, part, "a.flac"],
        cwd=tmp_path,
        env={"HF_HUB_OFFLINE": "1", "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    wav, _ = soundfile.read(SPEECH, dtype="float32")
    text = WrittenWhisper(part).transcript(torch.from_numpy(wav))
    assert text and done.stdout.strip() == text


HEADS = [[0, 1], [1, 0]]


def test_the_heads_that_find_words_come_and_go_with_the_model(tmp_path):
    stock, folder = tmp_path / "stock", tmp_path / "pretrained"
    shutil.copytree(SOURCE, stock)
    change_json(stock / "generation_config.json", alignment_heads=HEADS)
    convert(str(stock), str(folder), "whole_whisper")
    small = ["compact", "--dtype", "int8", "--output", str(tmp_path / "small")]
    assert main([*small, "--source", str(folder)]) == 0
    for source in (folder, tmp_path / "small"):
        kept = load_for_inference(str(source)).modules["model"].head.config
        assert kept.alignment_heads == ((0, 1), (1, 0))
    for n, heads in ((1, [[0, 1]]), (2, HEADS)):  # the first layer, or both
        output = tmp_path / str(n)
        words = ["hf", "--source", str(folder), "--output", str(output)]
        words += ["--n_layers", "2"]
        assert main([*words, "--n_decoder_layers", str(n)]) == 0
        written = json.loads((output / "generation_config.json").read_text())
        assert written["alignment_heads"] == heads


def test_transformers_times_the_tokens_of_a_part(part):
    theirs = WrittenWhisper(part)
    wav = 0.1 * torch.randn(16_000, generator=torch.Generator().manual_seed(1))
    found = theirs.model.generate(
        theirs.features(wav), return_token_timestamps=True, max_new_tokens=5
    )
    assert found["token_timestamps"].shape == found["sequences"].shape


def test_it_is_a_whisper_to_start_from_again(part):
    model, task, _ = read_whole(str(part))
    assert (model.n_total, model.head.n_total) == (2, 1)
    _, theirs, _ = read_whole(SOURCE)
    assert task.symbols == theirs.symbols


@pytest.mark.parametrize("text", ["Mr. Brown, isn't it?", " a  b", "5 €"])
def test_the_tokenizer_spells_as_the_students(part, text):
    task = Seq2SeqTask.load(f"{SOURCE}/tokenizer.json")
    tokenizer = transformers.AutoTokenizer.from_pretrained(part)
    found = tokenizer(text, add_special_tokens=False).input_ids
    assert found == task.vocabulary.encode(text, add_special_tokens=False).ids
    all_of_it = [257, 258, *found, 256]
    assert tokenizer.decode(all_of_it, skip_special_tokens=True) == text
    assert tokenizer.all_special_ids[-1] == 258  # times come behind it


def test_ctranslate2_takes_it(part, tmp_path):
    ctranslate2 = pytest.importorskip("ctranslate2")
    from ctranslate2.converters import TransformersConverter

    folder = str(tmp_path / "ct2")
    TransformersConverter(str(part)).convert(folder)
    model = ctranslate2.models.Whisper(folder, device="cpu", intra_threads=1)
    stock = WrittenWhisper(part)
    wav, _ = soundfile.read(SPEECH, dtype="float32")
    feats = stock.features(torch.from_numpy(wav))
    (found,) = model.generate(
        ctranslate2.StorageView.from_array(feats.numpy()),
        [[257, 258]],
        beam_size=1,
        max_length=64,
    )
    expected = stock.model.generate(feats, max_new_tokens=20)[0].tolist()
    expected = [i for i in expected if i < 256]
    assert found.sequences_ids[0][: len(expected)] == expected


def test_a_multilingual_one_is_told_its_language(tmp_path):
    told = json.loads(Path(SOURCE, "tokenizer.json").read_text())
    names = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>"]
    names += ["<|translate|>", "<|transcribe|>", "<|notimestamps|>"]
    first = told["added_tokens"][0]
    told["added_tokens"] = [
        {**first, "id": 256 + i, "content": name}
        for i, name in enumerate(names)
    ]
    shutil.copytree(SOURCE, tmp_path / "hf")
    path = tmp_path / "hf/tokenizer.json"
    path.write_text(json.dumps(told))
    stock = transformers.WhisperForConditionalGeneration.from_pretrained(SOURCE)
    stock.resize_token_embeddings(263)
    stock.save_pretrained(tmp_path / "hf")
    path = tmp_path / "hf/generation_config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "is_multilingual": True}))
    model, task, sizes = read_whole(str(tmp_path / "hf"), "de")
    assert model.head.config.prompt == (257, 259, 261, 262)
    config = generation_config(model, task)
    assert config.lang_to_id == {"<|en|>": 258, "<|de|>": 259}
    full = Gates.full(3)
    write_whisper({**sizes, "model": model}, task, full, tmp_path)
    written = WrittenWhisper(tmp_path).model
    tokens = written._retrieve_init_tokens(
        None, 1, written.generation_config, written.config, 1500, {}
    )
    assert tokens.tolist() == [[257, 259, 261, 262]]


@pytest.mark.parametrize(
    "words, message",
    {
        "--n_layers 4": "`n_layers` must be between 1 and 3, but is 4",
        "--n_layers 2 --n_decoder_layers 3": "`n_decoder_layers` must be "
        "between 1 and 2, but is 3",
        "--n_layers 2 --n_decoder_layers 0": "between 1 and 2, but is 0",
    }.items(),
)
def test_depths_that_there_are_not_are_refused(
    words, message, ours, tmp_path, capsys
):
    output = str(tmp_path / "hf")
    words = ["hf", "--source", ours, "--output", output, *words.split()]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_what_is_not_to_be_had_is_refused(ours, tmp_path, capsys):
    output = ["--output", str(tmp_path / "out")]
    source = ["--source", "tests/samples/golden", "--n_layers", "2"]
    assert main(["hf", *source, *output, "--n_decoder_layers", "1"]) == 2
    assert "has a head for CTC" in capsys.readouterr().err
    for command in ("onnx", "submodel"):
        words = [command, "--source", ours, "--n_layers", "2", *output]
        assert main(words) == 2
        assert "dld_brain.export hf" in capsys.readouterr().err
    long = tmp_path / "long.wav"
    soundfile.write(long, torch.zeros(16_000 * 31).numpy(), 16_000)
    words = ["hf", "--source", ours, "--n_layers", "2", *output]
    assert main([*words, "--files", str(long)]) == 2
    assert "at most 30 s each" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
