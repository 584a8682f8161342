"""Audio that is legal and useless: refused, mended or warned of, each said."""

import errno
import io
import math
import os
import struct
import warnings

import numpy as np
import pytest
import soundfile
import torch

from dld_brain.audio import decode
from dld_brain.audio.checks import AudioWarning, near_rate
from dld_brain.audio.clips import frames_and_rate
from dld_brain.audio.reader import read_audio, read_file
from speechbrain.augment.time_domain import Resample

RATE = 16000
SOUND = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE).astype(
    np.float32
)


def write(path, samples=SOUND, rate=RATE, **options):
    """Writes a file, of the format that its name says."""
    soundfile.write(path, samples, rate, **options)
    return path


def read_quietly(audio, **options):
    """Reads audio of which nothing is said, [S]."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_audio(audio, **options)[0].squeeze(1).numpy()


def with_rate(path, rate):
    """Writes another rate into the header of a WAV file."""
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rate", [1, 3_999, 384_001, 2**31 - 1])
def test_a_header_with_an_impossible_rate_is_refused(tmp_path, rate):
    path = with_rate(write(tmp_path / "a.wav"), rate)
    with pytest.raises(ValueError, match=f"a.wav must .* but says {rate} Hz"):
        read_file(path)
    with pytest.raises(ValueError, match=f"audio must .* but says {rate} Hz"):
        read_audio(SOUND, rate)


def test_a_long_header_is_refused_before_memory_is_asked_for(tmp_path):
    content = bytearray(write(tmp_path / "a.flac").read_bytes())
    content[8 + 13] |= 0x0F  # STREAMINFO: 36 bits of samples
    path = tmp_path / "b.flac"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="b.flac must have at most 14400 s"):
        read_file(path)
    short = write(tmp_path / "a.wav")
    assert len(read_file(short, max_seconds=2.0)[0]) == 2 * RATE
    with pytest.raises(ValueError, match="at most 1.9 s, but has 2 s"):
        read_file(short, max_seconds=1.9)
    with pytest.raises(ValueError, match="at most 1.9 s, but has 2 s"):
        read_audio(SOUND, RATE, max_seconds=1.9)
    assert len(read_file(short, 0, RATE, max_seconds=1.9)[0]) == RATE


@pytest.mark.parametrize("kind", ["wav", "flac", "aiff", "au", "mp3", "w64"])
def test_a_file_that_ends_before_its_header_says_is_refused(tmp_path, kind):
    whole = write(tmp_path / f"whole.{kind}")
    assert len(read_file(whole)[0]) == pytest.approx(2 * RATE, abs=2500)
    content = whole.read_bytes()
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"cut.{kind} .* is cut") as error:
        read_file(path)
    assert "ffmpeg" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match="must hold 3.00 s, but ends after 2"):
        read_file(write(tmp_path / "a.wav"), RATE, 3 * RATE)


def test_a_stream_whose_writer_did_not_know_its_length_is_read(tmp_path):
    content = bytearray(write(tmp_path / "a.wav").read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "b.wav").write_bytes(content)
    found = read_quietly(tmp_path / "b.wav")
    np.testing.assert_array_equal(found, read_quietly(tmp_path / "a.wav"))


@pytest.mark.parametrize(
    "samples, is_said",
    [
        (np.round(SOUND * 2**15).astype(np.int16), False),
        (np.round(SOUND * 2**15).astype(np.int32), True),
        (np.round(SOUND * 2**31).astype(np.int32), True),
        (np.round(SOUND * 2**15), True),
        (np.round(SOUND * 2**23), True),
        (SOUND.astype(np.float64) * 2**31, True),
        (SOUND.astype(">f4"), False),
        (SOUND[::-1].copy()[::-1], False),
        (torch.from_numpy(SOUND).bfloat16(), False),
        (torch.round(torch.from_numpy(SOUND) * 2**15).short(), False),
        (SOUND * 3, False),  # too loud, not at another scale
    ],
)
def test_samples_at_the_scale_of_whole_numbers_are_scaled(samples, is_said):
    is_loud = 1 < float(abs(samples).max()) < 3
    expected = SOUND * 3 if is_loud else SOUND
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found, _ = read_audio(samples, RATE)
    np.testing.assert_allclose(found[:, 0], expected, atol=2e-3)
    assert [w.category for w in said] == [AudioWarning] * is_said


def test_a_file_at_the_scale_of_whole_numbers_is_scaled(tmp_path):
    path = write(tmp_path / "a.wav", SOUND * 2**15, subtype="FLOAT")
    with pytest.warns(AudioWarning, match="a.wav .* of 16 bits .* by 32768"):
        found, _ = read_file(path)
    np.testing.assert_allclose(found[:, 0], SOUND, atol=1e-6)
    path = write(tmp_path / "b.wav", SOUND * 1e30, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"b.wav must have samples in \[-1, 1"):
        read_file(path)


@pytest.mark.parametrize("weights", [(1, -1), (1, -0.9), (1, 1, -2), (-1.5, 1)])
def test_of_channels_that_cancel_one_is_taken(tmp_path, weights):
    offset = np.array([0.2, -0.1, 0.0])[: len(weights)]
    channels = 0.4 * SOUND[:, None] * weights + offset
    path = write(tmp_path / "a.wav", channels, subtype="FLOAT")
    with pytest.warns(AudioWarning, match="a.wav has channels that cancel"):
        found, _ = read_file(path)
    loudest = np.abs(weights).argmax()
    np.testing.assert_allclose(found[:, 0], channels[:, loudest], atol=1e-6)


@pytest.mark.parametrize("n_channels", [2, 8])
def test_other_channels_are_averaged_without_a_word(n_channels):
    rng = np.random.default_rng(1)
    for channels in (
        0.1 * rng.standard_normal((RATE, n_channels)),  # nothing in common
        np.eye(n_channels)[0] * SOUND[:, None],  # all but one are dead
        np.ones(n_channels) * SOUND[:, None],
    ):
        found = read_quietly(channels, sampling_rate=RATE)
        np.testing.assert_allclose(found, channels.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_samples_that_are_no_numbers_are_named(tmp_path, value):
    samples = np.stack([SOUND, SOUND], axis=1)
    samples[20000, 1] = value
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    place = rf"a.wav must be finite, but has {value} at sample 20000 \(1.25 s"
    with pytest.raises(ValueError, match=place):
        read_file(path)
    with pytest.raises(ValueError, match=place):
        read_file(path, 19000, 21000)
    assert len(read_file(path, 0, 20000)[0]) == 20000


@pytest.mark.parametrize("value, words", [(0.0, "silent"), (0.5, "constant")])
def test_what_holds_no_sound_is_said(tmp_path, value, words):
    path = write(tmp_path / "a.wav", np.full(RATE, value))
    with pytest.warns(AudioWarning, match=f"a.wav is {words}"):
        assert len(read_file(path)[0]) == RATE


def closed(path):
    """An open file that no longer is."""
    with open(path, "rb") as file:
        pass
    return file


@pytest.mark.parametrize(
    "make",
    [
        lambda f: (f / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(99)),
        lambda f: (f / "a.raw").write_bytes(bytes(99)),
        lambda f: (f / "a.wav").write_bytes(b"RIFF"),
        lambda f: (f / "a.wav").write_bytes(
            write(f / "b.wav").read_bytes()[:44]
        ),
        lambda f: (f / "a.flac").write_bytes(b"fLaC" + bytes(99)),
        lambda f: (f / "a.mp3").write_bytes(b"ID3" + bytes(99)),
        lambda f: (f / "a.wav").touch(),
        lambda f: (f / "a.wav").mkdir(),
        lambda f: f / "nowhere.wav",
        lambda f: f / "a\nb.wav",
        lambda f: (f / "a\nb.wav").write_bytes(b"RIFF"),
        lambda f: f / ("a" * 300),
        lambda f: f / "a\0b.wav",
        lambda f: "/dev/null",
        lambda f: "",
        lambda f: io.BytesIO(b""),
        lambda f: io.StringIO("RIFF"),
        lambda f: closed(write(f / "a.wav")),
    ],
)
def test_every_failure_is_one_line_of_ours(tmp_path, make, capfd):
    made = make(tmp_path)
    if made is None or isinstance(made, int):
        (made,) = (p for p in tmp_path.iterdir() if p.stem in ("a", "a\nb"))
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read_audio(made)
    text = str(error.value)
    assert "audio" in text or "open file" in text
    assert "\n" not in text and len(text) < 500
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 44101])
def test_what_is_read_at_another_rate_is_resampled_as_a_whole(
    tmp_path, rate, monkeypatch
):
    path = write(tmp_path / "a.wav", SOUND, rate)
    samples, near = read_file(path)
    whole = Resample(near, RATE)(samples[:, 0].unsqueeze(0))[0]
    for block in (999, 2**22):
        monkeypatch.setattr(decode, "BLOCK", block)
        found, found_rate = read_audio(path, to_rate=RATE)
        assert found_rate == RATE and found.shape == (len(whole), 1)
        torch.testing.assert_close(found[:, 0], whole, atol=1e-5, rtol=0)
    found, _ = read_audio(samples, rate, to_rate=RATE)
    torch.testing.assert_close(found[:, 0], whole, atol=1e-5, rtol=0)


def test_a_rate_can_always_be_resampled():
    """SpeechBrain's filters have 16000 / gcd rows of rate / gcd columns."""
    for rate in range(4_000, 384_001):
        near = near_rate(rate)
        assert abs(near - rate) <= 10 and math.gcd(near, 16000) >= 20


@pytest.mark.parametrize(
    "code, kind, reason",
    [
        (errno.EACCES, PermissionError, "permission is denied"),
        (errno.EMFILE, ValueError, "Too many open files"),
    ],
)
def test_the_reason_of_the_system_is_said(
    tmp_path, monkeypatch, code, kind, reason
):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")  # libsndfile fails, and does not say why
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(kind, match=f"a.wav .*{reason}"):
        read_audio(path)
    with pytest.raises(kind, match=f"a.wav .*{reason}"):
        frames_and_rate(path)


def test_the_header_of_a_file_that_changed_is_read_anew(tmp_path):
    path = write(tmp_path / "a.wav")
    assert frames_and_rate(path) == (2 * RATE, RATE)
    time = path.stat().st_mtime_ns
    write(path, rate=8000)  # of the same size
    os.utime(path, ns=(time, time + 10**9))
    assert frames_and_rate(path) == (2 * RATE, 8000)
