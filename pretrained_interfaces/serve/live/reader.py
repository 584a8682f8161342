"""What comes over a WebSocket behind the first message, and its limits."""

import asyncio
import time
from typing import Any, Optional, Union

from starlette.websockets import WebSocket, WebSocketDisconnect

from dld_brain.files.console import reason as why
from pretrained_interfaces.serve.errors import Refusal
from pretrained_interfaces.serve.live import messages
from pretrained_interfaces.serve.live.intake import Intake
from pretrained_interfaces.serve.live.waiting import Block, Waiting
from pretrained_interfaces.serve.settings import Settings

#: Why a stream ended: by its client, who left, who was silent for too long,
#: who said too much, and a server that stops.
FINISHED, GONE, IDLE, LONG, STOPPED = (
    "finished",
    "gone",
    "idle",
    "too_long",
    "stopped",
)


async def receive(socket: WebSocket) -> dict[str, Any]:
    """The next message of a client.

    Raises
    ------
    WebSocketDisconnect
        If there is none.
    """
    found = dict(await socket.receive())
    if found["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(found.get("code", 1005))
    return found


class Reader:
    """Reads the messages of one stream.

    Arguments
    ---------
    intake : Intake
        Tells how long audio is.
    waiting : Waiting
        Where audio goes, and why no more comes.
    """

    def __init__(
        self,
        socket: WebSocket,
        settings: Settings,
        intake: Intake,
        waiting: Waiting,
    ) -> None:
        self.socket, self.settings = socket, settings
        self.intake, self.waiting = intake, waiting
        #: The last wish for another depth that was not taken.
        self.depth: Optional[messages.Depth] = None

    async def run(self) -> None:
        """Reads until there is a reason to read no more."""
        try:
            await self._read()
        except asyncio.TimeoutError:
            self.waiting.end(IDLE)
        except WebSocketDisconnect as error:
            self.waiting.end(GONE, error)
        except ValueError as error:
            self.waiting.end("error", Refusal(400, why(error), "audio"))
        except Exception as error:  # whatever it is, who takes audio raises it
            self.waiting.end("error", error)

    async def _read(self) -> None:
        """Reads; raises what is wrong."""
        total, opened = 0.0, time.monotonic()
        last = opened
        while self.waiting.reason is None:
            left = last + self.settings.idle_seconds - time.monotonic()
            found = await asyncio.wait_for(receive(self.socket), max(0, left))
            if found.get("text") is not None:
                self._told(messages.read_later(found["text"]))
                continue
            total += await self._add(found.get("bytes") or b"")
            last = time.monotonic() if found.get("bytes") else last
            if max(total, last - opened) > self.settings.max_stream_seconds:
                self.waiting.end(LONG)

    def _told(self, message: Union[messages.Depth, messages.Finish]) -> None:
        """Does what a message says that is no audio."""
        if isinstance(message, messages.Finish):
            self.waiting.end(FINISHED)
        else:
            self.depth = message

    async def _add(self, data: bytes) -> float:
        """Adds a frame of audio to what waits; its length, s."""
        most = self.settings.max_frame_bytes
        if len(data) > most:
            raise Refusal(
                413,
                f"a frame must have at most {most} bytes, but has {len(data)}",
            )
        seconds = self.intake.seconds(data)
        if data:
            await self.waiting.put(Block(data, seconds, time.monotonic()))
        return seconds
