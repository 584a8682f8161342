"""A socket of live audio, from its first message to how it is closed."""

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Optional

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from pretrained_interfaces.serve.errors import Refusal, error_response
from pretrained_interfaces.serve.job import Busy
from pretrained_interfaces.serve.live import reader
from pretrained_interfaces.serve.live.session import Session

if TYPE_CHECKING:
    from pretrained_interfaces.serve.server import Server

logger = logging.getLogger(__name__)

#: Close codes by status: those of RFC 6455, and of IANA's registry.
CODES = {400: 1007, 401: 3000, 408: 3008, 413: 1009, 500: 1011, 503: 1013}
#: And by why a stream ended whose audio is heard; with what is said of it.
ENDS: dict[str, tuple[int, Optional[Refusal]]] = {
    reader.FINISHED: (1000, None),
    reader.STOPPED: (1001, Refusal(503, "the server is stopping")),
    reader.IDLE: (3008, Refusal(408, "no audio came for too long")),
    reader.LONG: (1008, Refusal(413, "the stream is as long as may be")),
}
#: What saying goodbye may take, s.
CLOSE_SECONDS = 5.0
#: Bytes of the reason of a close (RFC 6455 has 123).
REASON = 120


async def hear(socket: WebSocket, server: "Server") -> str:
    """Hears a stream; whatever comes of it, its socket is closed.

    Returns
    -------
    str
        Why it ended.
    """
    streams = server.streams
    try:
        rate = server.asr.hparams.sample_rate
        session = Session(socket, streams, server.name, rate)
        streams.enter(session)
        try:
            reason = await session.run()
            await end(socket, *ENDS[reason])
        finally:
            streams.leave(session)
        return reason
    except WebSocketDisconnect:
        await end(socket, 1001)
        return reader.GONE
    except (Refusal, Busy) as error:
        refusal = error if isinstance(error, Refusal) else None
        refusal = refusal or Refusal(503, str(error))
        await end(socket, CODES.get(refusal.status_code, 1008), refusal)
        return "refused"
    except Exception:
        logger.exception("a stream failed")
        failed = Refusal(500, "the server failed on this stream")
        await end(socket, CODES[500], failed)
        return "failed"


async def end(
    socket: WebSocket, code: int, why: Optional[Refusal] = None, said: str = ""
) -> None:
    """Closes a socket, if its client is there; says why in OpenAI's form.

    Arguments
    ---------
    said : str
        The reason of the close, where there is no `why`.
    """
    if WebSocketState.DISCONNECTED in (
        socket.client_state,
        socket.application_state,
    ):
        return
    try:
        await asyncio.wait_for(_goodbye(socket, code, why, said), CLOSE_SECONDS)
    except (asyncio.TimeoutError, WebSocketDisconnect, RuntimeError):
        pass  # the client left first


async def _goodbye(
    socket: WebSocket, code: int, why: Optional[Refusal], said: str
) -> None:
    """What is sent last."""
    if why is not None:
        answer = error_response(
            why.status_code, why.detail, why.param, why.code
        )
        body = json.loads(answer.body)
        said = (
            body["error"]["message"].encode()[:REASON].decode(errors="ignore")
        )
        await socket.send_json({"type": "error", **body})
    await socket.close(code, said)
