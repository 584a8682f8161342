"""What is said over a WebSocket of live audio, beside the audio."""

from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pretrained_interfaces.serve.errors import Refusal
from pretrained_interfaces.streams.streamed import StreamRecord, StreamUpdate
from pretrained_interfaces.times.timed import Word

#: Characters of a message that is no audio.
LONGEST = 4096
#: Sampling rates that are taken, Hz: telephones to studios.
RATES = (8000, 96_000)


class _Message(BaseModel):
    """No field beside those that are named, and of no other type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Start(_Message):
    """The first message: what the audio is, and how deep it is heard.

    Without `n_layers` a governor chooses the depth of each chunk, so that
    text lags no more than `max_lag` seconds, and not below `floor`.
    """

    type: Literal["start"] = "start"
    sample_rate: int = Field(ge=RATES[0], le=RATES[1])
    format: Literal["pcm_s16le", "f32le"] = "pcm_s16le"
    n_layers: Optional[int] = None
    max_lag: Optional[float] = Field(None, gt=0, allow_inf_nan=False)
    floor: Optional[int] = None
    token: Optional[str] = None

    @property
    def has_governor(self) -> bool:
        """Whether it says how the depth is to be chosen."""
        return self.max_lag is not None or self.floor is not None


class Depth(_Message):
    """From the next chunk on another depth; by a governor if None."""

    type: Literal["depth"]
    n_layers: Optional[int] = None


class Finish(_Message):
    """No audio comes any more: the last words, please."""

    type: Literal["finish"]


_LATER: TypeAdapter[Union[Depth, Finish]] = TypeAdapter(
    Annotated[Union[Depth, Finish], Field(discriminator="type")]
)


def read_start(text: Optional[str]) -> Start:
    """The first message.

    Arguments
    ---------
    text : str, optional
        None if audio came first.

    Raises
    ------
    Refusal
        400, with the field that is wrong.

    Example
    -------
    >>> read_start('{"sample_rate": 16000}').format
    'pcm_s16le'
    >>> read_start('{"sample_rate": "high"}')
    Traceback (most recent call last):
    ...
    pretrained_interfaces.serve.errors.Refusal: 400: `sample_rate`: Input ...
    """
    if text is None:
        raise Refusal(
            400, "the first message must be JSON with `sample_rate`, no audio"
        )
    found = _read(Start.model_validate_json, text)
    if found.n_layers is not None and found.has_governor:
        raise Refusal(
            400,
            "give `n_layers`, or `max_lag` and `floor`, but not both",
            "n_layers",
        )
    return found


def read_later(text: str) -> Union[Depth, Finish]:
    """Any message behind the first.

    Raises
    ------
    Refusal
        400, with the field that is wrong.

    Example
    -------
    >>> read_later('{"type": "depth", "n_layers": 4}').n_layers
    4
    """
    return _read(_LATER.validate_json, text)


def _read(validate: Any, text: str) -> Any:
    """A message; what is wrong with it becomes a refusal."""
    if len(text) > LONGEST:
        raise Refusal(
            413,
            f"a message that is no audio must have at most {LONGEST} "
            f"characters, but has {len(text)}",
        )
    try:
        return validate(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = str(first["loc"][-1]) if first["loc"] else None
        said = f"`{param}`: {first['msg']}" if param else first["msg"]
        raise Refusal(400, said, param) from None


def word(found: Word) -> dict[str, Any]:
    """A word, its times in s from the start of the stream.

    Example
    -------
    >>> word(Word("turn", 0.5, 0.72, confidence=0.98765))
    {'word': 'turn', 'start': 0.5, 'end': 0.72, 'probability': 0.9877}
    """
    return {
        "word": found.text,
        "start": round(found.start, 3),
        "end": round(found.end, 3),
        "probability": round(found.confidence, 4),
    }


def words(update: StreamUpdate, record: StreamRecord) -> dict[str, Any]:
    """What a piece of audio gave."""
    return {
        "type": "words",
        "words": [*map(word, update.words)],
        "partial": [*map(word, update.partial_words)],
        "n_layers": update.n_layers,
        "lag": round(update.lag, 4),
        **taken(record),
    }


def taken(record: StreamRecord) -> dict[str, Any]:
    """What a stream took so far."""
    seconds = record.audio_seconds
    rtf = record.compute_seconds / seconds if seconds else 0.0
    return {"audio_seconds": round(seconds, 3), "rtf": round(rtf, 4)}


def done(
    found: list[Word], record: StreamRecord, reason: str
) -> dict[str, Any]:
    """The whole transcript.

    Arguments
    ---------
    reason : str
        Why it ends.
    """
    return {
        "type": "done",
        "reason": reason,
        "text": " ".join(each.text for each in found),
        "words": [*map(word, found)],
        "max_lag": round(record.max_lag, 4),
        "chunks_at": {str(n): k for n, k in sorted(record.chunks_at.items())},
        "n_changes": record.n_changes,
        **taken(record),
    }
