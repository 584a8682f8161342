"""Runs the application under uvicorn, which times slow clients out."""

import asyncio
import signal
import socket
from typing import Any, Optional

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from dld_brain.files.console import say
from pretrained_interfaces.serve.app import create_app
from pretrained_interfaces.serve.server import Server
from pretrained_interfaces.serve.settings import Settings

#: What the headers of a request may take to arrive, s.
HEADER_SECONDS = 10.0
#: What answers have to leave, however long streams took, s.
LEAST_SECONDS = 0.1
#: Connections that may be open beside those of requests.
SPARE_CONNECTIONS = 64


def protocol(seconds: float) -> type[H11Protocol]:
    """HTTP whose connections are closed where headers come too slowly.

    uvicorn itself closes idle connections after their first request alone, and
    reads what is left of an answered request's body for as long as it comes.
    """

    class Hasty(H11Protocol):
        """Closes what has not said what it wants in time."""

        _until: Optional[asyncio.TimerHandle] = None

        def connection_made(self, transport: Any) -> None:
            """Starts the time."""
            super().connection_made(transport)
            self._until = self.loop.call_later(seconds, self._too_slow)

        def data_received(self, data: bytes) -> None:
            """Starts the time of a request, and ends it with its headers."""
            super().data_received(data)
            is_waiting = self.conn.their_state is h11.IDLE
            if not is_waiting and self._until is not None:
                self._until.cancel()
                self._until = None
            elif is_waiting and self._until is None:
                self._until = self.loop.call_later(seconds, self._too_slow)

        def connection_lost(self, exc: Optional[Exception]) -> None:
            """Ends the time."""
            if self._until is not None:
                self._until.cancel()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            """Closes what is not done with its request when it is answered.

            The answer may take as long to leave as headers to arrive.
            """
            super().on_response_complete()
            if self.conn.their_state is h11.SEND_BODY:
                self._unset_keepalive_if_required()
                self.transport.close()
            if self.transport.is_closing():
                self.loop.call_later(seconds, self.transport.abort)

        def _too_slow(self) -> None:
            """Closes the connection."""
            if self.conn.their_state is h11.IDLE:
                self.transport.close()

    return Hasty


class Draining(uvicorn.Server):
    """Has streams end well before their sockets are closed.

    uvicorn itself closes WebSockets as soon as it is told to stop. Meanwhile no
    more files are taken; those that were have the same time as streams.
    """

    def __init__(
        self, config: uvicorn.Config, served: Server, seconds: float
    ) -> None:
        super().__init__(config)
        self._served, self._seconds = served, seconds

    async def shutdown(
        self, sockets: Optional[list[socket.socket]] = None
    ) -> None:
        """Ends streams, then the rest."""
        self._served.is_stopping = True
        clock = asyncio.get_running_loop().time
        end = clock() + self._seconds
        await self._served.streams.drain(self._seconds)
        self.config.timeout_graceful_shutdown = max(
            LEAST_SECONDS, end - clock()
        )
        await super().shutdown(sockets)


def config_of(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn is to run an application."""
    return uvicorn.Config(
        app,
        http=protocol(min(HEADER_SECONDS, settings.upload_seconds)),
        log_config=None,
        ws="websockets-sansio",
        ws_max_size=2 * settings.max_frame_bytes,  # ours is said in JSON
        ws_per_message_deflate=False,
        # Pings keep a proxy from closing what is silent. Their answers stand
        # behind the audio that waits, and say nothing: `idle_seconds` does.
        ws_ping_timeout=None,
        limit_concurrency=settings.max_requests
        + settings.max_streams
        + SPARE_CONNECTIONS,
        timeout_graceful_shutdown=settings.drain_seconds,
        server_header=False,
    )


def run(
    settings: Settings, listening: socket.socket
) -> Optional[BaseException]:
    """Serves on a socket until it is told to stop.

    Prints the address on stdout once it is listened on.

    Returns
    -------
    BaseException
        Why the model could not be loaded; None if it was.
    """
    failed: list[BaseException] = []

    def fail(error: BaseException) -> None:
        """Stops the server."""
        failed.append(error)
        server.should_exit = True

    app = create_app(settings, on_failure=fail)
    config = config_of(app, settings)
    server = Draining(config, app.state.server, settings.drain_seconds)

    def stop(*_: Any) -> None:
        """Stops the server: told to, it ends well, and not by the signal."""
        server.should_exit = True

    signal.signal(signal.SIGTERM, stop)  # what uvicorn hands it on to
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    say(f"http://{name}:{listening.getsockname()[1]}")
    server.run(sockets=[listening])
    return failed[0] if failed else None
