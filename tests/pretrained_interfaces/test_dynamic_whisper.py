"""A Whisper with its decoder: loaded, heard, asked for either depth."""

import json

import numpy as np
import pytest
import soundfile
import torch

from dld_brain.model_folder import load_pretrained
from dld_brain.run import transcripts
from dld_brain.run.hub_model import convert
from dld_brain.run.transcripts import write_transcribed
from pretrained_interfaces import DynamicEncoderASR, DynamicWhisperASR
from pretrained_interfaces.__main__ import main
from pretrained_interfaces.serve.model import listen, transcribe_jobs
from pretrained_interfaces.times.formats import FORMATS, write

SOURCE = "tests/samples/whisper"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("whisper") / "pretrained")
    convert(SOURCE, path, "whole_whisper")
    return path


@pytest.fixture(scope="module")
def wav(tmp_path_factory):
    path = tmp_path_factory.mktemp("speech") / "a.wav"
    generator = torch.Generator().manual_seed(0)
    pulses = torch.randn(24_000, generator=generator)
    pulses *= (torch.arange(24_000) // 1_600 % 2) * 0.2  # no steady noise
    soundfile.write(path, pulses.numpy(), 16_000)
    return str(path)


def test_the_asr_of_a_whisper_is_a_whisper(folder, wav):
    asr = DynamicEncoderASR.from_hparams(folder)
    assert isinstance(asr, DynamicWhisperASR)
    found = asr.transcribe(wav, n_layers=2, n_decoder_layers=1)
    assert found.n_layers == 2 and found.n_windows == 1
    assert found.text == asr.with_decoder_layers(1).transcribe(wav, 2).text
    assert asr.gates().decoder is None  # a call leaves nothing behind
    with pytest.raises(
        ValueError, match="`n_decoder_layers` .* 1 and 2, but is 3"
    ):
        asr.transcribe(wav, n_decoder_layers=3)


def test_a_file_says_what_its_waveform_says_in_a_batch(folder, wav):
    asr = DynamicWhisperASR.from_hparams(folder)
    sig = asr.load_audio(wav)
    wavs = torch.stack([sig, torch.zeros_like(sig)])
    wavs[1, :12_000] = sig[:12_000]
    texts, tokens = asr.transcribe_batch(wavs, torch.tensor([1.0, 0.5]))
    assert texts[0] == asr.transcribe(wav, vad=None).text
    alone, _ = asr.transcribe_batch(sig[None, :12_000], torch.ones(1))
    assert texts[1] == alone[0] and len(tokens) == 2


@pytest.fixture(scope="module")
def sharp(folder):
    """The same model, whose attention is no longer the same everywhere."""
    asr = DynamicWhisperASR.from_hparams(folder)
    torch.manual_seed(0)
    for parameter in asr.mods.model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return asr


def test_segments_have_times_and_words_where_they_are_asked_for(sharp, wav):
    (segment,) = sharp.transcribe(wav).segments
    assert segment.words is None and segment.text
    assert 0 <= segment.start < segment.end <= 1.5
    for n in sharp.depths:
        for n_decoder in (1, 2):
            found = sharp.transcribe(
                wav, n, n_decoder_layers=n_decoder, word_times=True
            )
            words = found.words
            assert [w.text for w in words] == found.text.split()
            times = [time for w in words for time in (w.start, w.end)]
            assert times == sorted(times) and 0 <= times[0]
            assert times[-1] <= found.audio_seconds
            assert all(0 < w.confidence <= 1 for w in words)
            for name in FORMATS:
                assert write(found, "a", name)


def test_a_text_that_is_known_is_laid_on_audio(sharp, wav):
    found = sharp.align(wav, "Go on, please!", n_layers=2)
    assert [w.text for w in found.words] == ["Go", "on,", "please!"]
    assert found.n_layers == 2 and found.n_windows == 1
    # what it writes itself, told, is where it was
    said = sharp.transcribe(wav, word_times=True)
    if (
        sharp.task.encode(said.text).tolist()
        == (
            sharp.transcribe_batch(sharp.load_audio(wav)[None], torch.ones(1))[
                1
            ][0]
        )
    ):
        assert sharp.align(wav, said.text).words == said.words
    with pytest.raises(ValueError, match="`text` must have a word"):
        sharp.align(wav, " ")
    with pytest.raises(ValueError, match="at most 30 s .* has 60.0 s"):
        sharp.align(
            sharp.load_audio(wav).repeat(40).numpy(), "a", sampling_rate=16_000
        )


def test_a_text_that_cannot_fit_is_said_before_it_is_read(sharp, wav):
    def align(audio, n_words):
        told = {"sampling_rate": 16_000, "vad": None}
        return sharp.align(audio, " ".join("a" * n_words), **told)

    assert len(sharp.task.encode("a a a")) == 6
    short = sharp.load_audio(wav).numpy()  # 75 frames
    assert len(align(short, 37).words) == 37
    with pytest.raises(ValueError, match="its 76 tokens .* there are 75: give"):
        align(short, 38)
    long = np.tile(short, 4)
    config = sharp.mods.model.head.config
    most = config.max_target_positions - len(config.prompt) - 1
    assert most == 125 < 300
    assert len(align(long, 62).words) == 62
    with pytest.raises(ValueError, match="at most 125 tokens, .* has 126: ali"):
        align(long, 63)


def test_words_of_a_batch_are_those_of_each_alone(sharp, wav):
    """Two windows of other lengths, which are run together."""
    sig = sharp.load_audio(wav)
    lengths = (24_000, 15_000)
    audio = torch.cat(
        [torch.cat((sig[:n], torch.zeros(40_000))) for n in lengths]
    ).numpy()
    both = sharp.transcribe(
        audio, sampling_rate=16_000, word_times=True, window_seconds=2
    )
    assert both.n_windows == 2
    windows = sharp.find_windows(
        torch.from_numpy(audio), "a", limits=sharp.limits(2)
    )
    expected = []
    for window in windows:
        part = sharp.transcribe(
            audio[window.start : window.stop],
            sampling_rate=16_000,
            word_times=True,
            vad=None,
        )
        expected += [
            (w.text, w.start + window.start / 16_000) for w in part.words
        ]
    assert [w.text for w in both.words] == [text for text, _ in expected]
    assert [w.start for w in both.words] == pytest.approx(
        [start for _, start in expected], abs=1e-9
    )


def test_a_server_times_the_words_of_requests_together(sharp, wav):
    jobs = [listen(sharp, wav, 60.0, word_times=True) for _ in range(2)]
    alone = sharp.transcribe(wav, 2, word_times=True).words
    assert alone
    for found in transcribe_jobs(sharp, jobs, 2):
        assert [w.text for w in found.words] == [w.text for w in alone]
        assert [w.start for w in found.words] == [w.start for w in alone]


def test_words_move_with_the_speech(real_speech):
    """Of the model that ships, which has learned where to look."""
    root = real_speech / "librispeech/LibriSpeech/test-clean"
    text, *_ = min(root.rglob("*.trans.txt")).read_text().splitlines()
    name, text = text.split(" ", 1)
    (path,) = root.rglob(f"{name}.flac")
    speech, rate = soundfile.read(path)
    asr = DynamicWhisperASR.from_hparams()
    for n in asr.depths:
        starts = []
        for seconds in (0.0, 2.0):
            whole = np.concatenate((np.zeros(round(seconds * rate)), speech))
            found = asr.align(whole, text.lower(), n, sampling_rate=rate)
            starts.append([w.start - seconds for w in found.words])
        moved = np.abs(np.subtract(*starts))[1:]  # silence is the first word's
        assert np.median(moved) <= 0.04 and np.ptp(starts[0]) > 1.0


def test_long_audio_is_cut_once_and_not_said_twice(folder, wav):
    asr = DynamicWhisperASR.from_hparams(folder)
    long = asr.load_audio(wav).repeat(40)  # 60 s
    windows = asr.find_windows(long, "long", None)
    assert windows[0].start == 0 and windows[-1].stop == len(long)
    pairs = zip(windows, windows[1:])
    assert all(a.stop == b.start for a, b in pairs)
    assert max(w.stop - w.start for w in windows) <= 30 * 16_000


def test_what_a_whisper_was_trained_on_is_not_long(folder, wav):
    asr = DynamicWhisperASR.from_hparams(folder)
    assert asr.longest_utterance == 30.0
    generator = torch.Generator().manual_seed(0)
    speech = 0.1 * torch.randn(31 * 16_000, generator=generator)
    sizes = [
        len(asr.find_windows(speech[:n], "a", None)) for n in (480_000, 496_000)
    ]
    assert sizes[0] == 1 < sizes[1]


def test_speech_without_a_pause_is_cut_where_it_is_softest(folder):
    asr = DynamicWhisperASR.from_hparams(folder)
    generator = torch.Generator().manual_seed(0)
    speech = 0.1 * torch.randn(50 * 16_000, generator=generator)
    for second in range(1, 50, 2):  # between words
        speech[16_000 * second :][:4_800] *= 0.1
    cuts = [w.stop for w in asr.find_windows(speech, "a", None)][:-1]
    assert len(cuts) == 2
    for cut in cuts:
        assert (cut // 16_000) % 2 == 1 and cut % 16_000 < 4_800
    with pytest.raises(ValueError, match="at most 30, .* but is 31"):
        asr.transcribe("nowhere.wav", window_seconds=31)


@pytest.mark.parametrize(
    "pauses, stretches",
    [
        ((0.8, 1.5), 1),  # heard together
        ((0.8, 2.6), 2),  # a long pause parts them
        ((0.8, 0.8, 0.8), 2),  # and what no window takes
    ],
)
def test_speech_is_heard_together_over_short_pauses(folder, pauses, stretches):
    asr = DynamicWhisperASR.from_hparams(folder)
    asr.longest_utterance = 15.0
    generator = torch.Generator().manual_seed(0)
    speech = 0.1 * torch.randn(4 * 16_000, generator=generator)
    speech *= torch.linspace(0, 40, len(speech)).sin().abs()
    parts = [torch.zeros(16_000), speech]
    for pause in pauses:
        parts += [torch.zeros(round(16_000 * pause)), speech]
    found = asr.find_windows(torch.cat([*parts, torch.zeros(16_000)]), "a")
    assert len(found) == stretches
    assert all(w.stop - w.start <= 15 * 16_000 for w in found)
    assert all(a.stop <= b.start for a, b in zip(found, found[1:]))
    heard = sum(w.stop - w.start for w in found) / 16_000
    assert heard > 4 * (len(pauses) + 1)


def test_the_shell_transcribes(folder, wav, capsys):
    assert main(["transcribe", "--source", folder, "--n_layers", "1", wav]) == 0
    assert capsys.readouterr().out.startswith(f"{wav}\t")
    text = ["--text", "go on", "--format", "ctm", wav]
    assert main(["align", "--source", folder, *text]) == 0
    words = [line.split()[4] for line in capsys.readouterr().out.splitlines()]
    assert words == ["go", "on"]


def test_the_shell_has_a_knob_for_the_decoder(folder, wav, tmp_path, capsys):
    """Each depth has its own text, also of files that were transcribed."""
    asr = DynamicWhisperASR.from_hparams(folder)
    texts = [asr.transcribe_file(wav, n_decoder_layers=n) for n in (1, 2)]
    assert texts[0] != texts[1]
    shell = ["transcribe", "--source", folder, "--device", "cpu"]
    for n, text in zip((1, 2), texts):
        words = [*shell, "--n_decoder_layers", str(n), str(wav)]
        assert main(words) == 0
        assert capsys.readouterr().out.strip().endswith(text)
        assert main([*words, "-o", str(tmp_path)]) == 0
        (found,) = tmp_path.glob("*.txt")
        assert found.read_text().strip() == text
    assert main([*shell, "--n_decoder_layers", "9", str(wav)]) == 2
    assert "`n_decoder_layers` must be between 1 and" in capsys.readouterr().err
    ctc = ["--source", "tests/samples/golden", "--n_decoder_layers", "1"]
    assert main(["transcribe", *ctc, str(wav)]) == 2
    assert "a model without a decoder, but is 1" in capsys.readouterr().err
    assert main(["align", *ctc, "--text", "YES", str(wav)]) == 2
    assert "a model without a decoder, but is 1" in capsys.readouterr().err


def test_a_folder_of_another_task_is_named(folder):
    from pretrained_interfaces import DynamicEncoderClassifier

    with pytest.raises(ValueError, match="use DynamicWhisperASR"):
        DynamicEncoderClassifier.from_hparams(folder)


def test_the_teacher_transcribes_once(folder, wav, tmp_path, monkeypatch):
    monkeypatch.setattr(transcripts, "MOST_WRONG", float("inf"))
    source, target = tmp_path / "train.csv", tmp_path / "transcribed"
    target.mkdir()
    source.write_text(f"ID,duration,wav,wrd\na,1.5,{wav},x\nb,1.5,{wav},x\n")
    teacher = load_pretrained(folder)
    write_transcribed(teacher, source, "", target)
    first = (target / "train.csv").read_text()
    assert ",x\n" not in first and first.count("\n") == 3
    kept = target / "train.jsonl"
    key, *rows = kept.read_text().splitlines()
    kept.write_text("\n".join([key, json.dumps(["a", "kept"])]) + "\n")
    write_transcribed(teacher, source, "", target)  # goes on where it was
    assert ",kept\n" in (target / "train.csv").read_text()
    source.write_text(source.read_text().replace("1.5", "1.50"))
    write_transcribed(teacher, source, "", target)  # other speech: anew
    assert (target / "train.csv").read_text().replace("1.50", "1.5") == first
