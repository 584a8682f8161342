"""What came with a request, read as a file."""

import io
from contextlib import suppress

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi")

from pretrained_interfaces.serve.upload import Upload  # noqa: E402


def test_a_file_that_is_closed_while_it_is_read_ends(capfd):
    content = io.BytesIO()
    soundfile.write(content, np.zeros(64_000), 16_000, format="FLAC")
    content.seek(0)
    with soundfile.SoundFile(Upload(content)) as sound:
        assert len(sound.read(100)) == 100
        content.close()  # the client left
        with suppress(soundfile.SoundFileError):
            sound.read(63_000)
    with pytest.raises(soundfile.SoundFileError):
        soundfile.SoundFile(Upload(content))
    assert "Traceback" not in capfd.readouterr().err
