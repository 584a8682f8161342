"""An answer in the format that was asked for."""

import math
import zlib
from collections.abc import Sequence
from typing import Any, Optional

from fastapi.responses import JSONResponse, PlainTextResponse, Response

from pretrained_interfaces.serve.errors import Refusal
from pretrained_interfaces.serve.job import Answer
from pretrained_interfaces.times import formats
from pretrained_interfaces.times.timed import Segment

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
TIMED = ("srt", "verbose_json", "vtt")
GRANULARITIES = ("segment", "word")


def check_format(response_format: str, granularities: Sequence[str]) -> None:
    """Raises unless a format can be given; before the audio is read.

    Raises
    ------
    Refusal
        400, with the field.
    """
    if response_format not in FORMATS:
        raise Refusal(
            400,
            f"`response_format` must be one of {', '.join(FORMATS)}, but is "
            f"{response_format!r}",
            "response_format",
        )
    name = "timestamp_granularities"
    for given in granularities:
        if given not in GRANULARITIES:
            raise Refusal(
                400, f"`{name}` must be segment or word, but is {given!r}", name
            )
    if granularities and response_format != "verbose_json":
        raise Refusal(
            400,
            f"`{name}` needs response_format=verbose_json, but it is "
            f"{response_format}",
            name,
        )


def respond(
    answer: Answer,
    response_format: str,
    granularities: Sequence[str],
    language: Optional[str],
) -> Response:
    """The response to a request; its headers say what it took."""
    headers = {
        "X-DLD-N-Layers": str(answer.n_layers),
        "X-DLD-Queue-Seconds": f"{answer.queue_seconds:.4f}",
        "X-DLD-Compute-Seconds": f"{answer.compute_seconds:.4f}",
    }
    found = answer.transcription
    if response_format == "text":
        return PlainTextResponse(f"{found.text}\n", headers=headers)
    if response_format in ("srt", "vtt"):
        text = formats.write(found, "audio", response_format)
        kind = (
            "text/vtt" if response_format == "vtt" else "application/x-subrip"
        )
        return Response(text, headers=headers, media_type=kind)
    content = _content(answer)
    if response_format == "verbose_json":
        content |= _verbose(answer, granularities or ("segment",), language)
    return JSONResponse(content, headers=headers)


def _content(answer: Answer) -> dict[str, Any]:
    """See `schemas.Transcript`."""
    found = answer.transcription
    seconds = math.ceil(found.audio_seconds)
    return {
        "text": found.text,
        "n_layers": answer.n_layers,
        "confidence": round(found.confidence, 4),
        "queue_seconds": round(answer.queue_seconds, 4),
        "compute_seconds": round(answer.compute_seconds, 4),
        "usage": {"type": "duration", "seconds": seconds},
    }


def _verbose(
    answer: Answer, granularities: Sequence[str], language: Optional[str]
) -> dict[str, Any]:
    """What `schemas.VerboseTranscript` has more."""
    found = answer.transcription
    content: dict[str, Any] = {
        "task": "transcribe",
        "language": language or "unknown",
        "duration": round(found.audio_seconds, 3),
    }
    if "segment" in granularities:
        content["segments"] = [
            _segment(i, segment, found.confidence)
            for i, segment in enumerate(found.segments)
        ]
    if "word" in granularities:
        content["words"] = [*map(formats.json_word, found.words)]
    return content


def _segment(i: int, segment: Segment, confidence: float) -> dict[str, Any]:
    """A segment; what only a Whisper has is neutral."""
    sure = [word.confidence for word in segment.words or ()] or [confidence]
    raw = segment.text.encode()
    return {
        "id": i,
        "seek": 0,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": sum(math.log(max(s, 1e-10)) for s in sure) / len(sure),
        "compression_ratio": len(raw) / len(zlib.compress(raw)),
        "no_speech_prob": 0.0,
    }
