"""eSpeak NG through ctypes: text in, samples out.

The library and its data come with the package `espeakng-loader`; eSpeak NG
is GPL-3.0 and is loaded at run time only, by whoever makes this corpus.
"""

import ctypes
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

# Of espeak-ng's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
ESPEAK_CHARS_UTF8 = 1
ESPEAK_RATE, ESPEAK_PITCH, ESPEAK_RANGE = 1, 3, 4
EE_OK = 0


class Speech(NamedTuple):
    """How a text is spoken.

    Arguments
    ---------
    rate : int
        Words a minute, 80 to 450.
    pitch_range : int
        0 (monotone) to 100.
    """

    voice: str
    rate: int = 170
    pitch: int = 50
    pitch_range: int = 50


class Espeak:
    """A synthesiser with a state of its own.

    What eSpeak NG says depends on what it said before, and its state is
    global to the library: each synthesiser loads a copy of it, so that the
    same texts in the same order give the same samples.

    Example
    -------
    >>> Espeak().speak("YES", Speech("en+m3")).dtype  # doctest: +SKIP
    dtype('int16')
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader  # an extra: only this corpus needs it
        except ImportError as error:
            raise ImportError(
                "SpokenCommands is spoken by eSpeak NG, which must be "
                "installed: pip install 'dld-brain[quickstart]', or "
                "pip install espeakng-loader"
            ) from error
        self.data_path = Path(espeakng_loader.get_data_path())
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copy(espeakng_loader.get_library_path(), folder)
            self.library = ctypes.CDLL(copy)
        self.rate = self.library.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS,
            0,
            str(self.data_path.parent).encode(),
            0,
        )
        if self.rate <= 0:
            raise RuntimeError(
                f"eSpeak NG did not start with {self.data_path}: code "
                f"{self.rate}"
            )
        self.chunks: list[np.ndarray] = []
        # Kept on self: the library holds no reference to it.
        self.callback = ctypes.CFUNCTYPE(
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_short),
            ctypes.c_int,
            ctypes.c_void_p,
        )(self._receive)
        self.library.espeak_SetSynthCallback(self.callback)

    def _receive(self, samples, n_samples: int, _events) -> int:
        """Takes what was synthesised; 0 tells the library to go on."""
        if samples and n_samples > 0:
            array = np.ctypeslib.as_array(samples, shape=(n_samples,))
            self.chunks.append(array.copy())
        return 0

    def variants(self) -> list[str]:
        """Names of the voice variants that the library carries."""
        folder = self.data_path / "voices" / "!v"
        return sorted(path.name for path in folder.iterdir())

    def speak(self, text: str, speech: Speech, seed: int = 0) -> np.ndarray:
        """Synthesises a text.

        Arguments
        ---------
        seed : int
            Seed of eSpeak NG's own random numbers.

        Returns
        -------
        np.ndarray
            16-bit samples at `rate`, [S].
        """
        name = speech.voice.encode()
        if self.library.espeak_SetVoiceByName(name) != EE_OK:
            raise ValueError(f"eSpeak NG has no voice {speech.voice!r}")
        for parameter, value in (
            (ESPEAK_RATE, speech.rate),
            (ESPEAK_PITCH, speech.pitch),
            (ESPEAK_RANGE, speech.pitch_range),
        ):
            self.library.espeak_SetParameter(parameter, value, 0)
        # Breath and Klatt voices take their noise from rand() of libc.
        ctypes.CDLL(None).srand(seed)
        self.chunks = []
        encoded = text.encode()
        status = self.library.espeak_Synth(
            encoded,
            ctypes.c_size_t(len(encoded) + 1),
            0,
            0,
            0,
            ESPEAK_CHARS_UTF8,
            None,
            None,
        )
        if status != EE_OK or not self.chunks:
            raise RuntimeError(f"eSpeak NG synthesised nothing for {text!r}")
        return np.concatenate(self.chunks)
