"""Forms of requests, of which little but the file is kept in memory."""

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

from pretrained_interfaces.serve.errors import Refusal

#: Fields beside the file, and bytes of each.
MOST_FIELDS, MOST_OF_A_FIELD = 32, 2**16
#: Charsets that a form may name.
UTF_8 = (b"utf-8", b"utf8")


def check_charset(headers: Headers) -> None:
    """Raises if fields would be decoded by a charset other than UTF-8.

    Python has codecs that take seconds for what is short (punycode), and
    some that make text which no answer can hold (utf-7).

    Raises
    ------
    Refusal
        400.

    Example
    -------
    >>> kind = "multipart/form-data; boundary=x"
    >>> check_charset(Headers({"content-type": kind}))
    >>> check_charset(Headers({"content-type": kind + "; charset=utf-7"}))
    Traceback (most recent call last):
    ...
    pretrained_interfaces.serve.errors.Refusal: 400: the form's charset ...
    """
    # As the framework reads it, so that both see the same.
    _, options = parse_options_header(headers.get("content-type"))
    found = options.get(b"charset", UTF_8[0])
    if found.lower() not in UTF_8:
        name = found.decode("latin-1")[:40]
        raise Refusal(400, f"the form's charset must be utf-8, but is {name!r}")


class BoundedRequest(Request):
    """A request whose fields are bounded."""

    def form(self, **_: Any) -> Any:
        """See `Request.form`; the framework's limits are 1000 and 1 MiB."""
        return super().form(
            max_fields=MOST_FIELDS, max_part_size=MOST_OF_A_FIELD
        )


class BoundedRoute(APIRoute):
    """A route of such requests."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """See `APIRoute.get_route_handler`."""
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            """Handles it."""
            return await handle(BoundedRequest(request.scope, request.receive))

        return bounded
