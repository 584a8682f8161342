"""One WebSocket: audio in, words out, until one of the two ends it."""

import asyncio
from typing import Any, Optional

from starlette.websockets import WebSocket, WebSocketDisconnect

from dld_brain.files.console import reason as why
from pretrained_interfaces.serve.bearer import SCHEME, check_token
from pretrained_interfaces.serve.errors import Refusal
from pretrained_interfaces.serve.live import messages
from pretrained_interfaces.serve.live.intake import Intake
from pretrained_interfaces.serve.live.reader import (
    GONE,
    STOPPED,
    Reader,
    receive,
)
from pretrained_interfaces.serve.live.streams import Streams
from pretrained_interfaces.serve.live.waiting import Block, Waiting
from pretrained_interfaces.streams.governor import Governor
from pretrained_interfaces.streams.stream import Stream
from pretrained_interfaces.streams.streamed import StreamUpdate
from pretrained_interfaces.times.timed import Word

#: What the first message may take to arrive, s.
START_SECONDS = 10.0
#: What a message may take to leave: who does not read is let go, s.
SEND_SECONDS = 10.0


class Session:
    """One live stream, from its first message to its transcript.

    Arguments
    ---------
    model : str
        What it is called.
    """

    def __init__(
        self, socket: WebSocket, streams: Streams, model: str, rate: int
    ) -> None:
        self.socket, self.streams, self.model = socket, streams, model
        self.rate, self.settings = rate, streams.settings
        self.waiting = Waiting()
        self.words: list[Word] = []
        self.first: Optional[asyncio.Future[dict[str, Any]]] = None

    def stop(self) -> None:
        """Ends it once all that has arrived is heard."""
        self.waiting.end(STOPPED)
        if self.first is not None:
            self.first.cancel()

    async def run(self) -> str:
        """Hears it to its end.

        Returns
        -------
        str
            Why that is.

        Raises
        ------
        Refusal
            If a message is not what it must be, or a limit is reached.
        WebSocketDisconnect
            If the client left.
        """
        start = messages.read_start(await self._first())
        self._check_token(start.token)
        self.streams.begin(self)
        self.governor = Governor(
            start.max_lag or self.settings.target_p95, start.floor
        )
        self.intake = Intake(start.sample_rate, self.rate, start.format)
        try:
            stream = await self.streams.run(self._begin, start)
        except ValueError as error:
            name = "floor" if "`floor`" in str(error) else "n_layers"
            raise Refusal(400, why(error), name) from None
        await self._send(self._ready(stream))
        reader = Reader(self.socket, self.settings, self.intake, self.waiting)
        reading = asyncio.create_task(reader.run())
        try:
            return await self._hear(stream, reader)
        finally:
            reading.cancel()

    def _begin(self, start: messages.Start) -> Stream:
        """Makes the stream."""
        if start.n_layers is None:
            return self.streams.make(self.governor)
        return self.streams.make(None, n_layers=start.n_layers)

    def _ready(self, stream: Stream) -> dict[str, Any]:
        """What the client may want to know first."""
        return {
            "type": "ready",
            "model": self.model,
            "depths": list(stream.depths),
            "chunk": stream.seconds,
            "sample_rate": self.rate,
        }

    async def _first(self) -> Optional[str]:
        """The first message; None if it is no text."""
        waits = asyncio.wait_for(receive(self.socket), START_SECONDS)
        self.first = asyncio.ensure_future(waits)
        try:
            return (await self.first).get("text")
        except asyncio.TimeoutError:
            raise Refusal(
                408, f"the first message did not come in {START_SECONDS:g} s"
            ) from None
        except asyncio.CancelledError:
            if self.waiting.reason is None:
                raise
            raise Refusal(503, "the server is stopping") from None

    def _check_token(self, token: Optional[str]) -> None:
        """Raises unless it, or that of the header, is the server's."""
        given = self.socket.headers.get("authorization", "")
        given = given if token is None else SCHEME + token
        how = "give the server's token as `token` of the first message"
        check_token(self.settings, given, how)

    async def _hear(self, stream: Stream, reader: Reader) -> str:
        """Hears what waits, chunk by chunk, and sends what was said."""
        told = 0.0
        while True:
            blocks = await self.waiting.take(stream.seconds)
            if not blocks:
                break
            self._set_depth(stream, reader)
            update, ran = await self._in_thread(self._feed, stream, blocks)
            self.streams.counted.took(sum(block.seconds for block in blocks))
            is_due = stream.record.audio_seconds - told >= stream.seconds
            if ran or update.words or is_due:
                told = stream.record.audio_seconds
                await self._send(messages.words(update, stream.record))
        update, _ = await self._in_thread(self._finish, stream)
        if update.words:
            await self._send(messages.words(update, stream.record))
        reason = self.waiting.reason or GONE
        await self._send(messages.done(self.words, stream.record, reason))
        return reason

    async def _in_thread(
        self, work: Any, *args: Any
    ) -> tuple[StreamUpdate, int]:
        """Runs it, and counts the chunks that it ran."""
        stream: Stream = args[0]
        before = stream.record.chunks_at.total()
        try:
            update = await self.streams.run(work, *args)
        except ValueError as error:
            raise Refusal(400, why(error), "audio") from None
        self.words += update.words
        ran = stream.record.chunks_at.total() - before
        if ran:
            self.streams.counted.ran(update.n_layers, update.lag)
        return update, ran

    def _feed(self, stream: Stream, blocks: list[Block]) -> StreamUpdate:
        """Feeds blocks; of all of them together, the words."""
        words: list[Word] = []
        for block in blocks:
            samples = self.intake.samples(block.data)
            update = stream.feed(samples, arrived=block.arrived)
            words += update.words
        return _with(update, words)

    def _finish(self, stream: Stream) -> StreamUpdate:
        """The last words."""
        update = stream.feed(self.intake.samples(b"", is_last=True))
        last = stream.finish()
        return _with(last, [*update.words, *last.words])

    def _set_depth(self, stream: Stream, reader: Reader) -> None:
        """Sets the depth that the client wants now.

        Raises
        ------
        Refusal
            400, if it is none of the model.
        """
        wanted, reader.depth = reader.depth, None
        if wanted is None:
            return
        if wanted.n_layers is None:
            if stream.governing is None:
                stream.govern(self.governor)
            return
        stream.govern(None)
        try:
            stream.set_depth(wanted.n_layers)
        except ValueError as error:
            raise Refusal(400, why(error), "n_layers") from None

    async def _send(self, message: dict[str, Any]) -> None:
        """Sends a message; who does not take it is gone."""
        try:
            await asyncio.wait_for(self.socket.send_json(message), SEND_SECONDS)
        except asyncio.TimeoutError:
            raise WebSocketDisconnect(
                1006, "the client does not read"
            ) from None


def _with(update: StreamUpdate, words: list[Word]) -> StreamUpdate:
    """An update with all words of several."""
    return StreamUpdate(
        tuple(words),
        update.partial,
        update.n_layers,
        update.lag,
        update.partial_words,
    )
