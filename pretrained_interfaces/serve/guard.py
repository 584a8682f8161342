"""What a stranger's request must pass before anything of it is read."""

import asyncio
import hmac
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from pretrained_interfaces.serve.errors import Refusal, error_response
from pretrained_interfaces.serve.live.origin import check_origin
from pretrained_interfaces.serve.settings import Settings

#: Paths that need the token, where there is one.
GUARDED = ("/v1/", "/metrics")
#: Paths whose requests count, and may have a body.
UPLOADS = "/v1/audio/"
#: Bytes of the body of any other request.
SMALL = 2**16
#: Names of this machine: a page of another host cannot pose as it
#: (DNS rebinding).
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]", "testserver")


class Guard:
    """Checks host, token, size, haste and number of requests.

    An ASGI middleware: it is outside of all that parses.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        count: Callable[[int], None] = lambda status: None,
    ) -> None:
        self.app, self.settings, self._count = app, settings, count
        self.n_uploads = 0

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answers, or hands on."""
        if scope["type"] == "websocket":
            await self._open_socket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_upload = scope["path"].startswith(UPLOADS)
        send = self._counted(send) if is_upload else send
        try:
            self._check(scope, is_upload)
        except Refusal as error:
            answer = error_response(
                error.status_code,
                error.detail,
                code=error.code,
                headers={**(error.headers or {}), "Connection": "close"},
            )
            await answer(scope, receive, send)
            return
        self.n_uploads += is_upload
        try:
            await self.app(scope, self._limited(receive, is_upload), send)
        except Exception:  # becomes 500 outside of this
            if is_upload:
                self._count(500)
            raise
        finally:
            self.n_uploads -= is_upload

    async def _open_socket(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Hands a WebSocket on, or refuses it before it is open."""
        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            check_origin(headers)
        except Refusal as error:
            answer = error_response(error.status_code, error.detail)
            del answer.headers["content-length"]  # uvicorn < 0.53: twice
            await WebSocket(scope, receive, send).send_denial_response(answer)
            return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope, is_upload: bool) -> None:
        """Raises unless the request may go on."""
        headers = Headers(scope=scope)
        self._check_host(headers)
        if scope["path"].startswith(GUARDED):
            self._check_token(headers)
        size = headers.get("content-length", "0")
        if not size.isdigit() or int(size) > self._most(is_upload):
            raise self._too_large(is_upload)
        if is_upload and self.n_uploads >= self.settings.max_requests:
            raise Refusal(
                503,
                f"the server has {self.n_uploads} requests, and takes no more",
                retry_after=1,
            )

    def _check_host(self, headers: Headers) -> None:
        """Raises if this machine is called by a name of another."""
        name = headers.get("host", "localhost").rsplit(":", 1)[0]
        if headers.get("host", "").endswith("]"):  # [::1], without a port
            name = headers["host"]
        if self.settings.is_local and name.lower() not in LOCAL_NAMES:
            raise Refusal(
                421, "this server answers requests to localhost alone"
            )

    def _check_token(self, headers: Headers) -> None:
        """Raises unless the token is the right one; takes as long for each."""
        if self.settings.token is None:
            return
        given = headers.get("authorization", "").encode()
        wanted = f"Bearer {self.settings.token}".encode()
        if not hmac.compare_digest(given, wanted):
            raise Refusal(
                401, "give the server's token: `Authorization: Bearer ...`"
            )

    def _counted(self, send: Send) -> Send:
        """Counts answers by their status."""

        async def counted(message: Message) -> None:
            """Sends a part of an answer."""
            if message["type"] == "http.response.start":
                self._count(message["status"])
            await send(message)

        return counted

    def _limited(self, receive: Receive, is_upload: bool) -> Receive:
        """Counts what arrives, and how long it takes."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.upload_seconds
        n_bytes, is_whole = 0, False

        async def limited() -> Message:
            """The next piece of the body."""
            nonlocal n_bytes, is_whole
            if is_whole:  # waits for the client to go
                return await receive()
            try:
                message: Any = await asyncio.wait_for(
                    receive(), until - loop.time()
                )
            except asyncio.TimeoutError:
                raise Refusal(
                    408,
                    f"the request did not arrive in "
                    f"{self.settings.upload_seconds:g} s",
                ) from None
            n_bytes += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if n_bytes > self._most(is_upload):
                raise self._too_large(is_upload)
            return message

        return limited

    def _most(self, is_upload: bool) -> int:
        """Bytes that a body may have."""
        return self.settings.max_bytes if is_upload else SMALL

    def _too_large(self, is_upload: bool) -> Refusal:
        """Why a body is refused."""
        return Refusal(
            413,
            f"the request must have at most {self._most(is_upload)} bytes",
        )
