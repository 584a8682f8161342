"""What the server answers, by path."""

import asyncio
from typing import Annotated, Any, Optional

from fastapi import (
    APIRouter,
    Depends,
    File,
    Form,
    Request,
    Response,
    UploadFile,
)
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.requests import HTTPConnection

from dld_brain.files.console import escaped, reason
from pretrained_interfaces.serve import schemas
from pretrained_interfaces.serve.answers import (
    FORMATS,
    GRANULARITIES,
    TIMED,
    check_format,
    respond,
)
from pretrained_interfaces.serve.description import OF_TRANSCRIPTIONS, errors
from pretrained_interfaces.serve.errors import Refusal
from pretrained_interfaces.serve.forms import BoundedRoute
from pretrained_interfaces.serve.job import Answer
from pretrained_interfaces.serve.server import Server
from pretrained_interfaces.serve.upload import Upload

#: What clients of OpenAI ask for where they are not told otherwise.
USUAL_MODEL = "whisper-1"


def server_of(connection: HTTPConnection) -> Server:
    """The server of the application that was asked."""
    return connection.app.state.server


#: An argument that FastAPI fills.
Asked = Annotated[Server, Depends(server_of)]
routes = APIRouter(route_class=BoundedRoute)


@routes.post(
    "/v1/audio/transcriptions",
    tags=["audio"],
    response_class=JSONResponse,
    responses=OF_TRANSCRIPTIONS,
)
async def transcriptions(
    request: Request,
    server: Asked,
    file: Annotated[UploadFile, File(description="wav, flac, ogg, mp3, ...")],
    model: Annotated[
        str,
        Form(description=f"Its id, or {USUAL_MODEL}", examples=[USUAL_MODEL]),
    ] = USUAL_MODEL,
    response_format: Annotated[
        str,
        Form(json_schema_extra={"enum": [*FORMATS]}, examples=["verbose_json"]),
    ] = "json",
    granularities: Annotated[
        Optional[list[str]],
        Form(
            alias="timestamp_granularities[]",
            description="With verbose_json",
            examples=[["word", "segment"]],
            json_schema_extra={
                "items": {"type": "string", "enum": [*GRANULARITIES]}
            },
        ),
    ] = None,
    language: Annotated[
        Optional[str],
        Form(description="Has no effect", max_length=64, examples=["en"]),
    ] = None,
    prompt: Annotated[Optional[str], Form(description="Has no effect")] = None,
    temperature: Annotated[
        float, Form(description="Has no effect", ge=0, le=1)
    ] = 0.0,
    n_layers: Annotated[
        Optional[int],
        Form(
            description="Layers that run, up to the model's; by the load "
            "if not given",
            examples=[6],
            json_schema_extra={"minimum": 1},
        ),
    ] = None,
    max_latency: Annotated[
        Optional[float],
        Form(
            description="When the answer is wanted, s: the depth is what "
            "fits; the server's target if not given",
            gt=0,
            allow_inf_nan=False,
            examples=[0.5],
        ),
    ] = None,
) -> Response:
    """Transcribes audio, as OpenAI's API does.

    Without `n_layers`, the depth follows the load: answers get shallower
    before they get later.
    """
    _check(server, model, n_layers, max_latency)
    granularities = granularities or []
    check_format(response_format, granularities)
    work = server.transcribe(
        Upload(file.file),
        n_layers=n_layers,
        max_latency=max_latency,
        word_times=response_format in TIMED,
    )
    answer = await _unless_gone(request, work)
    if answer is None:
        return Response(status_code=499)  # as nginx has it
    return respond(answer, response_format, granularities, language)


@routes.get("/v1/models", tags=["models"], responses=errors(503))
async def models(server: Asked) -> schemas.Models:
    """Lists the model."""
    return schemas.Models(data=[_model(server)])


@routes.get(
    "/v1/models/{model:path}", tags=["models"], responses=errors(404, 503)
)
async def one_model(server: Asked, model: str) -> schemas.Model:
    """The model, by its id or the name that OpenAI's clients use."""
    _check_model(server, model)
    return _model(server)


@routes.get("/v1/load", tags=["state"], responses=errors(503))
async def load(server: Asked) -> schemas.LoadNow:
    """What the server does now."""
    return schemas.LoadNow(**await server.now())


@routes.get("/health", tags=["state"])
async def health() -> schemas.Status:
    """Answers while the process lives."""
    return schemas.Status(status="ok")


@routes.get("/ready", tags=["state"], responses=errors(503))
async def ready(server: Asked) -> schemas.Status:
    """Answers 200 once the model is loaded and warm."""
    server.check_ready()
    return schemas.Status(status="ok")


@routes.get("/metrics", tags=["state"], response_class=PlainTextResponse)
async def metrics(server: Asked) -> Response:
    """Counters, for Prometheus."""
    server.observe()
    kind = "text/plain; version=0.0.4; charset=utf-8"
    return Response(server.metrics.text(), media_type=kind)


def _model(server: Server) -> schemas.Model:
    """What is said of the model."""
    return schemas.Model(
        id=server.name, depths=list(server.asr.depths), errors=server.errors
    )


def _check_model(server: Server, model: str) -> None:
    """Raises unless there is that model."""
    if model not in (server.name, USUAL_MODEL):
        raise Refusal(
            404,
            f"`model` must be {server.name} or {USUAL_MODEL}, but is "
            f"'{escaped(model, 80)}'",
            "model",
            "model_not_found",
        )


def _check(
    server: Server,
    model: str,
    n_layers: Optional[int],
    max_latency: Optional[float],
) -> None:
    """Raises unless there are that model and that depth."""
    _check_model(server, model)
    if n_layers is None:
        return
    if max_latency is not None:
        raise Refusal(
            400, "give `n_layers` or `max_latency`, not both", "n_layers"
        )
    try:
        server.asr.gates(n_layers)
    except ValueError as error:
        raise Refusal(400, reason(error), "n_layers") from None


async def _unless_gone(request: Request, work: Any) -> Optional[Answer]:
    """The answer; None if the client left before, and nothing is run then.

    Raises
    ------
    Refusal
        400, if the audio cannot be transcribed.
    """
    answer = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None
    except ValueError as error:
        raise Refusal(400, reason(error), "file") from None
    finally:
        answer.cancel()
        gone.cancel()


async def _until_gone(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
