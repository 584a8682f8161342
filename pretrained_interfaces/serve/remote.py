"""The replicas of Ray Serve, as the door's routes see a `Server`."""

import asyncio
from typing import Any, BinaryIO

from fastapi import WebSocket
from ray.exceptions import RayActorError
from ray.serve.exceptions import RayServeException

from pretrained_interfaces.serve.errors import Refusal
from pretrained_interfaces.serve.job import Answer, Busy
from pretrained_interfaces.serve.live.counted import Counted
from pretrained_interfaces.serve.live.hearing import end
from pretrained_interfaces.serve.metrics import Metrics
from pretrained_interfaces.serve.relay import relay

#: Replicas that a request is handed to, one after another.
N_TRIES = 4
#: What is waited before the next, s: Ray notices that a replica died.
PAUSE = 0.5


class Known:
    """What routes ask of a model, without the model."""

    def __init__(self, depths: tuple[int, ...]) -> None:
        self.depths = depths

    def gates(self, n_layers: int) -> None:
        """Raises unless there is that depth.

        Raises
        ------
        ValueError
            If there is none.
        """
        if n_layers not in self.depths:
            known = ", ".join(map(str, self.depths))
            raise ValueError(
                f"`n_layers` must be one of {known}, but is {n_layers}"
            )


class Remote:
    """The replicas, as the routes see a `Server`."""

    def __init__(
        self, replicas: Any, facts: dict[str, Any], secret: str
    ) -> None:
        self.name, self.errors = facts["name"], facts["errors"]
        self.asr, self._replicas = Known(facts["depths"]), replicas
        self._secret, self.metrics = secret, Metrics()
        self.counted = Counted(self.metrics.registry)

    def check_ready(self) -> None:
        """They are: the door opens after them."""

    def observe(self) -> None:
        """Ray's own metrics have the queues of replicas."""

    async def transcribe(self, file: BinaryIO, **wanted: Any) -> Answer:
        """Answers a request, by another replica if one dies.

        Raises
        ------
        Busy
            If the replica has too much to do, or none is left.
        ValueError
            See `listen`.
        """
        content = await asyncio.to_thread(file.read)
        kind, found = await self._handed(content, wanted)
        if kind == "busy":
            raise Busy(*found)
        if kind == "refused":
            raise ValueError(found)
        self.metrics.ran_elsewhere(found)
        self.metrics.answered(found)
        return found

    async def _handed(self, content: bytes, wanted: Any) -> tuple[str, Any]:
        """What a replica that lives says."""
        for _ in range(N_TRIES):
            response = self._replicas.transcribe.remote(content, wanted)
            try:
                return await response
            except asyncio.CancelledError:  # the client left
                response.cancel()
                raise
            except (RayActorError, RayServeException):
                await asyncio.sleep(PAUSE)
        return "busy", ("no replica answers", 5)

    async def hear(self, client: WebSocket) -> None:
        """Has a replica hear a stream that is accepted, to its end."""
        with self.counted.open.track_inprogress():
            reason = await self._heard(client)
        self.counted.ended(reason)

    async def _heard(self, client: WebSocket) -> str:
        """Hands a stream to a replica; why it ended."""
        streaming = self._replicas.options(stream=True)
        response = streaming.stream.remote()
        try:
            return await relay(client, await anext(response), self._secret)
        except (RayActorError, RayServeException):
            await end(client, 1013, Refusal(503, "no replica answers"))
            return "refused"
        finally:
            response.cancel()

    async def now(self) -> dict[str, Any]:
        """What one of the replicas does now."""
        return await self._replicas.now.remote()
