"""Live audio on Ray Serve: messages handed on to the replica that hears them.

A stream belongs to one replica from its first message to its last, and Ray's
handles choose another for each call. So each replica listens at a port of its
own; the door opens a WebSocket there for each of its clients'.
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Iterator
from typing import Optional

import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from pretrained_interfaces.serve.errors import Refusal, error_response
from pretrained_interfaces.serve.live import reader
from pretrained_interfaces.serve.live.hearing import end
from pretrained_interfaces.serve.live.route import routes
from pretrained_interfaces.serve.run import config_of
from pretrained_interfaces.serve.server import Server
from pretrained_interfaces.serve.settings import Settings

#: The header by which the door proves that it is the door.
SECRET = "x-dld-relay"
#: Close codes: of a socket that ended without one (RFC 6455, 7.4.1), and what
#: the client is told then (IANA's registry: service restart).
ABNORMAL, LOST = 1006, 1012
#: Why a stream ended, by the code it was closed with; refused otherwise.
REASONS = {
    1000: reader.FINISHED,
    1001: reader.STOPPED,
    1008: reader.LONG,
    1011: "failed",
    3008: reader.IDLE,
}


class Embedded(uvicorn.Server):
    """uvicorn within a process that has its own way to be stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to it."""
        yield


class DoorAlone:
    """Refuses whoever does not have the secret."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self.app, self._secret = app, secret.encode()

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Hands on, or refuses."""
        given = Headers(scope=scope).get(SECRET, "").encode()
        if secrets.compare_digest(given, self._secret):
            await self.app(scope, receive, send)
            return
        answer = error_response(403, "ask the server, not its replicas")
        if scope["type"] == "websocket":
            del answer.headers["content-length"]  # uvicorn < 0.53: twice
            await WebSocket(scope, receive, send).send_denial_response(answer)
        else:
            await answer(scope, receive, send)


class Listener:
    """Where a replica hears streams."""

    def __init__(self, server: Server, settings: Settings, secret: str) -> None:
        app = FastAPI(openapi_url=None)
        app.state.server = server
        app.include_router(routes)
        app.add_middleware(DoorAlone, secret=secret)
        config = config_of(app, settings)
        config.lifespan = "off"
        self._server = Embedded(config)

    async def start(self, host: str) -> str:
        """Listens at a free port.

        Returns
        -------
        str
            The address of its streams.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, 0), family=family)
        self._task = asyncio.create_task(self._server.serve([listening]))
        name = f"[{host}]" if ":" in host else host
        return f"ws://{name}:{listening.getsockname()[1]}/v1/stream"


async def relay(client: WebSocket, url: str, secret: str) -> str:
    """Hands messages of a client and of a replica on until one of them ends.

    Returns
    -------
    str
        Why the stream ended.
    """
    headers = {SECRET: secret}
    if token := client.headers.get("authorization"):
        headers["authorization"] = token
    try:
        async with _connected(url, headers) as replica:
            code = await _both_ways(client, replica)
    except (OSError, WebSocketException):
        code = ABNORMAL
    if code is None:
        return reader.GONE
    if code == ABNORMAL:
        lost = Refusal(503, "what heard this stream has ended: open another")
        await end(client, LOST, lost)
        return "failed"
    await end(client, code, said=replica.close_reason or "")
    return REASONS.get(code, "refused")


def _connected(url: str, headers: dict[str, str]) -> connect:
    """A WebSocket to a replica; what is too large is the replica's to say."""
    return connect(
        url,
        additional_headers=headers,
        compression=None,
        max_size=None,
        ping_interval=None,  # audio that waits stands before its answer
        proxy=None,
    )


async def _both_ways(
    client: WebSocket, replica: ClientConnection
) -> Optional[int]:
    """Hands messages on.

    Returns
    -------
    int, optional
        The code that the replica closed with; None if the client left first.
    """
    up = asyncio.create_task(_up(client, replica))
    down = asyncio.create_task(_down(client, replica))
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        is_gone = up.done() and up.result()
        return None if is_gone else await down
    finally:
        up.cancel()
        down.cancel()


async def _up(client: WebSocket, replica: ClientConnection) -> bool:
    """Hands on what a client says; whether it was the client that left."""
    try:
        while True:
            found = await reader.receive(client)
            text = found.get("text")
            await replica.send(
                (found.get("bytes") or b"") if text is None else text
            )
    except WebSocketDisconnect:
        return True
    except ConnectionClosed:
        return False


async def _down(client: WebSocket, replica: ClientConnection) -> Optional[int]:
    """Hands on what a replica says; see `_both_ways`."""
    try:
        async for message in replica:
            await client.send_text(str(message))
    except WebSocketDisconnect:
        return None
    except ConnectionClosed:
        pass  # its code says why
    return replica.close_code
