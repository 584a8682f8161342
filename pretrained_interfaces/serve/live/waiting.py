"""What has arrived of a stream and is not heard yet: bounded."""

import asyncio
from collections import deque
from typing import NamedTuple, Optional

#: Audio that waits before no more is read from the socket, s.
MOST = 20.0


class Block(NamedTuple):
    """Bytes of audio.

    Arguments
    ---------
    seconds : float
        Their length.
    arrived : float
        When they did, by the stream's clock, s.
    """

    data: bytes
    seconds: float
    arrived: float


class Waiting:
    """A queue with one writer and one reader; nothing of it is dropped."""

    def __init__(self, most: float = MOST) -> None:
        self.most, self.seconds = most, 0.0
        self._blocks: deque[Block] = deque()
        self._changed = asyncio.Event()
        #: Why nothing more comes; None while it does.
        self.reason: Optional[str] = None
        self.error: Optional[BaseException] = None

    async def put(self, block: Block) -> None:
        """Adds audio; returns when there is room for more."""
        self._blocks.append(block)
        self.seconds += block.seconds
        self._changed.set()
        while self.seconds > self.most and self.reason is None:
            self._changed.clear()
            await self._changed.wait()

    def end(self, reason: str, error: Optional[BaseException] = None) -> None:
        """Nothing more comes. The first reason holds.

        Arguments
        ---------
        error : Exception, optional
            What was wrong: then what waits is not heard either.
        """
        if self.reason is None:
            self.reason, self.error = reason, error
        self._changed.set()

    async def take(self, seconds: float) -> list[Block]:
        """About so much of what waits; nothing once it has ended."""
        while not self._blocks and self.reason is None:
            self._changed.clear()
            await self._changed.wait()
        if self.error is not None:
            raise self.error
        found: list[Block] = []
        taken = 0.0
        while self._blocks and taken < seconds:
            found.append(self._blocks.popleft())
            taken += found[-1].seconds
        self.seconds = sum(block.seconds for block in self._blocks)
        self._changed.set()
        return found
