"""What the server's answers look like, for its documentation."""

from typing import Any, Optional

from pydantic import BaseModel, Field

from pretrained_interfaces.serve.errors import INVALID

EXAMPLE = {
    "text": "TURN ON THE KITCHEN LIGHT",
    "n_layers": 9,
    "confidence": 0.93,
    "queue_seconds": 0.012,
    "compute_seconds": 0.181,
    "usage": {"type": "duration", "seconds": 3},
}
WORD = {"word": "TURN", "start": 0.32, "end": 0.52, "probability": 0.97}
SEGMENT = {
    "id": 0,
    "seek": 0,
    "start": 0.32,
    "end": 2.1,
    "text": EXAMPLE["text"],
    "tokens": [],
    "temperature": 0.0,
    "avg_logprob": -0.07,
    "compression_ratio": 0.76,
    "no_speech_prob": 0.0,
}
VERBOSE = {
    **EXAMPLE,
    "task": "transcribe",
    "language": "en",
    "duration": 2.4,
    "segments": [SEGMENT],
    "words": [WORD],
}
MODEL = {
    "id": "dld-wavlm",
    "object": "model",
    "created": 0,
    "owned_by": "dld_brain",
    "depths": [2, 6, 12],
    "errors": {
        "metric": "WER",
        "set": "test",
        "points": [
            {"n_layers": 2, "rate": 14.1},
            {"n_layers": 6, "rate": 7.9},
            {"n_layers": 12, "rate": 5.2},
        ],
    },
}
LOAD = {
    "depth": 6,
    "floor": 2,
    "target_p95": 0.5,
    "queue_requests": 3,
    "queue_audio_seconds": 21.4,
    "streams": 1,
    "n_answers": 200,
    "p95": 0.46,
    "mean_depth": 7.3,
    "rtf": 0.04,
}


class Transcript(BaseModel):
    """The answer in `json`: OpenAI's, and what it took."""

    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    text: str
    n_layers: int = Field(description="Layers that ran: the depth")
    confidence: float = Field(
        description="Share of the words to be expected to be right"
    )
    queue_seconds: float = Field(description="Reading and queue, s")
    compute_seconds: float = Field(description="Time that its batch took, s")
    usage: dict[str, Any] = Field(description="Seconds of audio, rounded up")


class TimedWord(BaseModel):
    """A word of `verbose_json`; times from the start of the audio, s."""

    model_config = {"json_schema_extra": {"examples": [WORD]}}

    word: str
    start: float
    end: float
    probability: float


class TimedSegment(BaseModel):
    """A segment of `verbose_json`, with the fields that OpenAI's has."""

    model_config = {"json_schema_extra": {"examples": [SEGMENT]}}

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int] = Field(description="Always empty")
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class VerboseTranscript(Transcript):
    """The answer in `verbose_json`."""

    model_config = {"json_schema_extra": {"examples": [VERBOSE]}}

    task: str
    language: str
    duration: float = Field(description="Length of the audio, s")
    segments: Optional[list[TimedSegment]] = None
    words: Optional[list[TimedWord]] = None


class ErrorDetail(BaseModel):
    """What was wrong."""

    message: str
    type: str
    param: Optional[str]
    code: Optional[str]


class ErrorBody(BaseModel):
    """An error, in OpenAI's form."""

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "error": {
                        "message": "`n_layers` must be between 1 and 12, "
                        "but is 13",
                        "type": INVALID,
                        "param": "n_layers",
                        "code": "invalid_value",
                    }
                }
            ]
        }
    }

    error: ErrorDetail


class Point(BaseModel):
    """Errors at a depth."""

    n_layers: int
    rate: float = Field(description="%")


class Errors(BaseModel):
    """Errors of a model by depth, as its folder says."""

    metric: str = Field(examples=["WER"])
    set: str = Field(examples=["test"])
    points: list[Point]


class Model(BaseModel):
    """A model, as OpenAI lists it, and its depths."""

    model_config = {"json_schema_extra": {"examples": [MODEL]}}

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "dld_brain"
    depths: list[int] = Field(description="What `n_layers` can be")
    errors: Optional[Errors] = Field(None, description="None if not known")


class Models(BaseModel):
    """The models of this server: one."""

    model_config = {
        "json_schema_extra": {"examples": [{"object": "list", "data": [MODEL]}]}
    }

    object: str = "list"
    data: list[Model]


class Status(BaseModel):
    """Whether the server lives or is ready."""

    status: str = Field(examples=["ok"])


class LoadNow(BaseModel):
    """What the server does now; of the last answers, the means."""

    model_config = {"json_schema_extra": {"examples": [LOAD]}}

    depth: int = Field(description="Of the last batch whose depth was chosen")
    floor: int
    target_p95: float
    queue_requests: int
    queue_audio_seconds: float
    streams: int = Field(description="Live streams that are open")
    n_answers: int
    p95: Optional[float]
    mean_depth: Optional[float]
    rtf: Optional[float]
