"""Errors as OpenAI's API has them, without anything from inside."""

from typing import Any, Optional

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dld_brain.files.console import escaped
from pretrained_interfaces.serve.job import Busy

INVALID, INSIDE = "invalid_request_error", "server_error"
#: OpenAI's `type` and `code` of a status.
KINDS = {
    400: (INVALID, "invalid_value"),
    401: ("authentication_error", "invalid_api_key"),
    403: (INVALID, "wrong_origin"),
    404: (INVALID, "not_found"),
    405: (INVALID, "method_not_allowed"),
    408: (INVALID, "timeout"),
    413: (INVALID, "too_large"),
    421: (INVALID, "wrong_host"),
    499: (INVALID, "client_closed_request"),
    500: (INSIDE, "internal_error"),
    503: (INSIDE, "server_busy"),
}


class Refusal(HTTPException):
    """A request that is not answered, and which of its fields is why."""

    def __init__(
        self,
        status: int,
        message: str,
        param: Optional[str] = None,
        code: Optional[str] = None,
        retry_after: Optional[int] = None,
    ) -> None:
        headers = None
        if retry_after is not None:
            headers = {"Retry-After": str(retry_after)}
        super().__init__(status, message, headers)
        self.param, self.code = param, code


def error_response(
    status: int,
    message: Any,
    param: Optional[str] = None,
    code: Optional[str] = None,
    headers: Any = None,
) -> JSONResponse:
    """An error in OpenAI's form.

    Example
    -------
    >>> error_response(404, "there is no such page").body.decode()
    '{"error":{"message":"there is no such page",...,"code":"not_found"}}'
    """
    kind, usual = KINDS.get(status, KINDS[400 if status < 500 else 500])
    error = {
        "message": _encodable(escaped(message, 480)),
        "type": kind,
        "param": param and _encodable(param),
        "code": code or usual,
    }
    return JSONResponse({"error": error}, status, headers)


def _encodable(text: str) -> str:
    """A text that JSON can hold: halves of characters are written out.

    Example
    -------
    >>> _encodable("k\\udcf6ln")
    'k\\\\udcf6ln'
    """
    return text.encode("utf-8", "backslashreplace").decode()


async def _refused(request: Request, error: HTTPException) -> JSONResponse:
    """A refusal of ours, or of the framework."""
    param, code = getattr(error, "param", None), getattr(error, "code", None)
    return error_response(
        error.status_code, error.detail, param, code, error.headers
    )


async def _busy(request: Request, error: Busy) -> JSONResponse:
    """More load than the floor can take."""
    headers = {"Retry-After": str(error.retry_after)}
    return error_response(503, error, headers=headers)


async def _invalid(
    request: Request, error: RequestValidationError
) -> JSONResponse:
    """A field that is missing or not what it must be."""
    first = error.errors()[0]
    param = str(first["loc"][-1]) if len(first["loc"]) > 1 else None
    message = f"`{param}`: {first['msg']}" if param else first["msg"]
    return error_response(400, message, param)


async def _inside(request: Request, error: Exception) -> JSONResponse:
    """A fault of ours; uvicorn logs the rest."""
    return error_response(500, "the server failed on this request")


def add_handlers(app: FastAPI) -> None:
    """Has an application answer errors in this form."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Busy, _busy)
    app.add_exception_handler(Exception, _inside)
