"""What a stranger's request must pass before anything of it is read."""

from collections.abc import Callable

from starlette._utils import get_route_path  # what routes are found by
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from pretrained_interfaces.serve.bearer import check_token
from pretrained_interfaces.serve.body import Body, announced, too_large
from pretrained_interfaces.serve.errors import Refusal, error_response
from pretrained_interfaces.serve.forms import check_charset
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
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
#: Methods that change nothing: whose page asks is the same.
HARMLESS = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Checks host, origin, token, size, haste and number of requests.

    An ASGI middleware: it is outside of all that parses.

    Arguments
    ---------
    count : callable
        Told of the status of each answer to an upload.
    check : callable
        Raises a `Refusal` where no more uploads are taken.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        count: Callable[[int], None] = lambda status: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.app, self.settings = app, settings
        self._count, self._check_open = count, check
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
        is_upload = get_route_path(scope).startswith(UPLOADS)
        send = self._counted(send) if is_upload else send
        headers = Headers(scope=scope)
        try:
            self._check(scope, headers, is_upload)
        except Refusal as error:
            answer = error_response(
                error.status_code,
                error.detail,
                code=error.code,
                headers={**(error.headers or {}), "Connection": "close"},
            )
            await answer(scope, receive, send)
            return
        most, seconds = self._most(is_upload), self.settings.upload_seconds
        body = Body(headers, receive, send, most, seconds)
        self.n_uploads += is_upload
        try:
            await self.app(scope, body.receive, body.send)
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

    def _check(self, scope: Scope, headers: Headers, is_upload: bool) -> None:
        """Raises unless the request may go on."""
        self._check_host(headers)
        if scope["method"] not in HARMLESS:
            check_origin(headers)
        if get_route_path(scope).startswith(GUARDED):
            given = headers.get("authorization", "")
            how = "give the server's token: `Authorization: Bearer ...`"
            check_token(self.settings, given, how)
        size, most = announced(headers), self._most(is_upload)
        if size is None or size > most:
            raise too_large(most)
        if is_upload:
            self._check_upload(headers)

    def _check_upload(self, headers: Headers) -> None:
        """Raises unless a file is taken now, in such a form."""
        self._check_open()
        check_charset(headers)
        if self.n_uploads >= self.settings.max_requests:
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

    def _counted(self, send: Send) -> Send:
        """Counts answers by their status."""

        async def counted(message: Message) -> None:
            """Sends a part of an answer."""
            if message["type"] == "http.response.start":
                self._count(message["status"])
            await send(message)

        return counted

    def _most(self, is_upload: bool) -> int:
        """Bytes that a body may have."""
        return self.settings.max_bytes if is_upload else SMALL
