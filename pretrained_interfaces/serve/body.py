"""The body of one request: how much of it comes, and how long that takes."""

import asyncio
from typing import Any, Optional

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Send

from pretrained_interfaces.serve.errors import Refusal

#: Digits of a length that can be.
DIGITS = 18


def announced(headers: Headers) -> Optional[int]:
    """Bytes that a request says its body has; None if that is no number.

    Example
    -------
    >>> announced(Headers({"content-length": "12"})), announced(Headers({}))
    (12, 0)
    >>> announced(Headers({"content-length": "-1"}))
    """
    size = headers.get("content-length", "0")
    if not (size.isascii() and size.isdecimal() and len(size) <= DIGITS):
        return None
    return int(size)


class Body:
    """Stands between a request and the application that reads its body.

    Arguments
    ---------
    receive, send : callable
        Of ASGI.
    most : int
        Bytes that it may have.
    seconds : float
        What it may take to arrive, s.
    """

    def __init__(
        self,
        headers: Headers,
        receive: Receive,
        send: Send,
        most: int,
        seconds: float,
    ) -> None:
        self._receive, self._send = receive, send
        self._most, self._seconds = most, seconds
        self._until = asyncio.get_running_loop().time() + seconds
        self._n_bytes, self._is_read = 0, False
        self._is_empty = (
            announced(headers) == 0 and "transfer-encoding" not in headers
        )

    async def receive(self) -> Message:
        """The next piece of the body.

        Raises
        ------
        Refusal
            408 or 413, if it comes too slowly, or is too large.
        """
        if self._is_read:  # waits for the client to go
            return await self._receive()
        left = self._until - asyncio.get_running_loop().time()
        try:
            message: Any = await asyncio.wait_for(self._receive(), left)
        except asyncio.TimeoutError:
            raise Refusal(
                408, f"the request did not arrive in {self._seconds:g} s"
            ) from None
        self._n_bytes += len(message.get("body", b""))
        self._is_read = not message.get("more_body", False)
        if self._n_bytes > self._most:
            raise too_large(self._most)
        return message

    async def send(self, message: Message) -> None:
        """Sends a part of the answer.

        Whoever is answered before the rest of a body is there is not listened
        to any more: a server reads such a rest for as long as it comes.
        """
        is_first = message["type"] == "http.response.start"
        if is_first and not (self._is_read or self._is_empty):
            headers = [*message.get("headers", ()), (b"connection", b"close")]
            message = {**message, "headers": headers}
        await self._send(message)


def too_large(most: int) -> Refusal:
    """Why a body of more than so many bytes is refused."""
    return Refusal(413, f"the request must have at most {most} bytes")
