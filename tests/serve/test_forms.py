"""Forms and audio that are small as they come, and large once they are read."""

import io

import numpy as np
import pytest
import soundfile
from processes import SPEECH

PATH = "/v1/audio/transcriptions"


def form(fields, n_files=1):
    """A form, whatever its fields hold."""
    part = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    parts = [part % (name, b"", value) for name, value in fields]
    file = part % (b"file", b'; filename="a"', SPEECH.read_bytes())
    return b"".join([*parts, file * n_files, b"--x--\r\n"])


def post(client, fields, charset=""):
    """Sends a form that names a charset, or none."""
    kind = f"multipart/form-data; boundary=x{charset}"
    headers = {"Content-Type": kind}
    return client.post(PATH, content=form(fields), headers=headers)


@pytest.mark.parametrize(
    "charset",
    [
        "; charset=punycode",
        "; charset=utf-7",
        '; charset="PunyCode"',
        "; charset=latin-1",
        "; charset=no_such",
    ],
)
def test_no_form_is_decoded_by_a_charset_that_it_names(
    client, monkeypatch, charset
):
    def read(*_, **__):
        raise AssertionError("the form was read")

    monkeypatch.setattr("starlette.formparsers.MultiPartParser.parse", read)
    response = post(client, [], charset)
    error = response.json()["error"]
    assert response.status_code == 400
    assert "charset must be utf-8, but is" in error["message"]


@pytest.mark.parametrize("charset", ["", "; charset=UTF-8", '; charset="utf8"'])
def test_a_form_may_say_that_it_is_utf_8(client, served, charset):
    fields = [(b"prompt", "Köln".encode()), (b"n_layers", b"2")]
    response = post(client, fields, charset)
    assert response.json()["text"] == served.transcribe_file(SPEECH, 2)


def test_fields_are_few_and_small(client):
    from pretrained_interfaces.serve.forms import MOST_FIELDS, MOST_OF_A_FIELD

    largest = [(b"prompt", b"a" * MOST_OF_A_FIELD)]
    assert post(client, largest).status_code == 200
    many = [(b"prompt", b"a")] * MOST_FIELDS
    assert post(client, many).status_code == 200
    for fields in ([(b"prompt", b"a" * (MOST_OF_A_FIELD + 1))], [*many, *many]):
        response = post(client, fields)
        assert response.status_code == 400
        assert "maximum" in response.json()["error"]["message"].lower()


def test_no_text_is_one_that_an_error_cannot_hold(client):
    from pretrained_interfaces.serve.errors import error_response

    body = error_response(400, "but is '\ud800'", "\udcff").body
    assert b"but is '\\\\ud800'" in body and b"\\\\udcff" in body


def audio(rate, channels, seconds, kind="OGG", subtype="VORBIS"):
    """Silence, as an open file."""
    found = io.BytesIO()
    zeros = np.zeros((int(rate * seconds), channels), np.int16)
    with soundfile.SoundFile(
        found, "w", rate, channels, format=kind, subtype=subtype
    ) as file:
        file.write(zeros)
    found.seek(0)
    return found


@pytest.mark.parametrize(
    "rate, channels", [(192_000, 255), (192_000, 64), (96_000, 2)]
)
def test_audio_of_many_samples_is_refused_before_it_is_decoded(
    served, monkeypatch, rate, channels
):
    from pretrained_interfaces.serve.model import listen

    def read(*_, **__):
        raise AssertionError("samples were decoded")

    file = audio(rate, channels, 1)  # a second, as is allowed
    monkeypatch.setattr(soundfile.SoundFile, "read", read)
    with pytest.raises(ValueError, match="at most 96000 samples"):
        listen(served, file, 1.0)


@pytest.mark.parametrize(
    "options",
    [
        (48_000, 2, 1),
        (16_000, 1, 1),
        (96_000, 1, 1),
        (16_000, 6, 1, "FLAC", "PCM_16"),
    ],
)
def test_audio_as_it_is_recorded_is_read(served, options):
    from pretrained_interfaces.serve.model import listen

    job = listen(served, audio(*options), 1.0)
    assert job.seconds == pytest.approx(1.0, abs=0.01)


def test_a_bomb_is_a_clear_refusal(client_of):
    content = audio(192_000, 255, 1).read()
    response = client_of(max_seconds=2.0).post(PATH, files={"file": content})
    error = response.json()["error"]
    assert response.status_code == 400 and error["param"] == "file"
    assert "255 channels at 192000 Hz" in error["message"]
