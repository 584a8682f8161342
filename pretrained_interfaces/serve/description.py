"""What the application's description (OpenAPI) says beside its routes.

`tests/fuzz/api.py` compares it with what the server does.
"""

from typing import Any

from fastapi import FastAPI

from pretrained_interfaces.serve import schemas
from pretrained_interfaces.serve.guard import GUARDED, HARMLESS

TEXTS = {
    400: "A field or the audio is not what it must be",
    401: "The token is missing or wrong",
    403: "A page of another origin asked",
    404: "There is no such model",
    408: "The request took too long to arrive",
    413: "The request has too many bytes",
    421: "This machine was asked under another's name",
    503: "Not ready yet, or too busy even at the floor depth",
}
RETRY = {
    "description": "Seconds after which it can be tried again",
    "schema": {"type": "integer", "minimum": 1},
}


def errors(*statuses: int) -> dict[Any, dict[str, Any]]:
    """What FastAPI is told of answers that are errors.

    Example
    -------
    >>> errors(404)[404]["description"]
    'There is no such model'
    """
    found = {}
    for status in statuses:
        found[status] = {
            "model": schemas.ErrorBody,
            "description": TEXTS[status],
        }
        if status == 503:
            found[status]["headers"] = {"Retry-After": RETRY}
    return found


def _number(description: str, kind: str = "number") -> dict[str, Any]:
    """A header that is a number."""
    schema = {"type": kind, "minimum": 0}
    return {"description": description, "required": True, "schema": schema}


_TEXT = {"schema": {"type": "string"}}
OF_TRANSCRIPTIONS: dict[Any, dict[str, Any]] = {
    200: {
        "model": schemas.VerboseTranscript | schemas.Transcript,
        "description": "The transcript",
        "content": {
            "text/plain": _TEXT,
            "text/vtt": _TEXT,
            "application/x-subrip": _TEXT,
        },
        "headers": {
            "X-DLD-N-Layers": _number("Layers that ran", "integer"),
            "X-DLD-Queue-Seconds": _number("Reading and queue, s"),
            "X-DLD-Compute-Seconds": _number("Time that its batch took, s"),
        },
    },
    **errors(400, 404, 408, 503),
}


def describe(app: FastAPI, has_token: bool) -> None:
    """Has an application describe itself as it is.

    The framework would promise its own form of errors, and forms that hold
    null, which no form can; of the guard it knows nothing.
    """
    make = app.openapi

    def openapi() -> dict[str, Any]:
        """The description."""
        if app.openapi_schema is None:
            found = make()
            _own_errors(found)
            _own_forms(found)
            for path, operations in found["paths"].items():
                _guarded(operations, has_token and path.startswith(GUARDED))
            if has_token:
                found["components"]["securitySchemes"] = {
                    "token": {"type": "http", "scheme": "bearer"}
                }
        return app.openapi_schema

    app.openapi = openapi


def _own_errors(found: dict[str, Any]) -> None:
    """Takes the framework's form of errors away."""
    for path in found["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        found["components"]["schemas"].pop(name, None)


def _own_forms(found: dict[str, Any]) -> None:
    """Takes null from the fields of forms."""
    for name, schema in found["components"]["schemas"].items():
        if not name.startswith("Body_"):
            continue
        for field in schema["properties"].values():
            for kind in field.pop("anyOf", ()):
                if kind != {"type": "null"}:
                    field.update({**kind, **field})


def _guarded(operations: dict[str, Any], needs_token: bool) -> None:
    """Adds what the guard may answer, and whether it wants a token."""
    usual = (401, 413, 421) if needs_token else (413, 421)
    body = {"schema": {"$ref": "#/components/schemas/ErrorBody"}}
    for method, operation in operations.items():
        for status in usual if method.upper() in HARMLESS else (403, *usual):
            operation["responses"][str(status)] = {
                "description": TEXTS[status],
                "content": {"application/json": body},
            }
        if needs_token:
            operation["security"] = [{"token": []}]
