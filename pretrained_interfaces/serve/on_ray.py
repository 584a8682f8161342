"""The server on Ray Serve: replicas that each have the model, on any machines.

> pip install 'dld-brain[serve,ray]'
> serve run pretrained_interfaces.serve.on_ray:app source=DIR max_replicas=4

A door reads requests and hands their audio to a replica; each replica batches
what is handed to it, and chooses its depth by its own queue. What a replica had
when it died is handed to another; live streams stay with one (`relay.py`).
"""

import asyncio
import io
import secrets
from collections.abc import AsyncIterator
from typing import Any, Optional

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.util import get_node_ip_address

from pretrained_interfaces.serve.app import assemble
from pretrained_interfaces.serve.job import Busy
from pretrained_interfaces.serve.relay import Listener
from pretrained_interfaces.serve.remote import Remote
from pretrained_interfaces.serve.server import Server
from pretrained_interfaces.serve.settings import Settings, token_of_environment


class Arguments(BaseModel):
    """What `serve run` or a config file says; see also `Settings`."""

    model_config = ConfigDict(extra="forbid")

    source: Optional[str] = None
    device: str = "cpu"
    #: Others than this machine can ask only if Ray's proxies listen for them.
    host: str = "127.0.0.1"
    target_p95: float = 0.5
    floor: Optional[int] = None
    workers: int = 1
    threads: int = 1
    max_bytes: int = Settings.max_bytes
    max_seconds: float = Settings.max_seconds
    batch_seconds: float = Settings.batch_seconds
    int8: bool = False
    max_requests: int = 64
    upload_seconds: float = Settings.upload_seconds
    #: Of each replica; for the others of streams see `Settings`.
    max_streams: int = Settings.max_streams
    max_frame_bytes: int = Settings.max_frame_bytes
    idle_seconds: float = Settings.idle_seconds
    max_stream_seconds: float = Settings.max_stream_seconds
    stream_chunk: float = Settings.stream_chunk
    stream_window: Optional[float] = None
    #: What a replica, or the door, that stops is given to answer, s.
    drain_seconds: float = Settings.drain_seconds
    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int = Field(default=1, ge=1)
    #: Requests of a replica, above which there are to be more.
    ongoing_requests: float = Field(default=4.0, gt=0)
    cpus: float = Field(default=1.0, ge=0)
    gpus: float = Field(default=0.0, ge=0)


class Model:
    """A replica: the model, its queue, its depth controller."""

    async def __init__(self, settings: Settings, secret: str) -> None:
        self.server = Server(settings)
        await self.server.start()
        listener = Listener(self.server, settings, secret)
        self.address = await listener.start(get_node_ip_address())

    async def stream(self) -> AsyncIterator[str]:
        """Says where it hears streams.

        It goes on until the stream has ended, so that Ray counts streams among
        what a replica does.
        """
        yield self.address
        await asyncio.Event().wait()

    def facts(self) -> dict[str, Any]:
        """What the door must know of the model."""
        return {
            "name": self.server.name,
            "depths": tuple(self.server.asr.depths),
            "errors": self.server.errors,
        }

    async def transcribe(
        self, content: bytes, wanted: dict[str, Any]
    ) -> tuple[str, Any]:
        """An answer, or why there is none; no error of Ray's."""
        try:
            found = await self.server.transcribe(io.BytesIO(content), **wanted)
        except Busy as error:
            return "busy", (str(error), error.retry_after)
        except ValueError as error:
            return "refused", str(error)
        return "answer", found

    async def now(self) -> dict[str, Any]:
        """See `Server.now`; of one replica."""
        return await self.server.now()


class Door:
    """Reads requests; the model is elsewhere."""

    async def __init__(
        self, settings: Settings, secret: str, replicas: Any
    ) -> None:
        self.settings = settings
        facts = await replicas.facts.remote()
        self.remote = Remote(replicas, facts, secret)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The application, once the replicas are there."""
        return assemble(self.settings, self.remote)


def app(args: Arguments) -> serve.Application:
    """Makes the application; `serve run` and config files call it.

    Raises
    ------
    ValueError
        If an argument cannot be.
    """
    settings = Settings(
        **args.model_dump(include=set(Settings.__dataclass_fields__)),
        token=token_of_environment(),
    )
    n_streams = args.max_replicas * settings.max_streams
    # All that waits is handed to replicas: there the controllers see it.
    model = serve.deployment(
        Model,
        name="model",
        max_ongoing_requests=settings.max_requests + settings.max_streams,
        graceful_shutdown_timeout_s=settings.drain_seconds,
        autoscaling_config={
            "min_replicas": args.min_replicas,
            "max_replicas": args.max_replicas,
            "target_ongoing_requests": args.ongoing_requests,
        },
        ray_actor_options={"num_cpus": args.cpus, "num_gpus": args.gpus},
    )
    door = serve.deployment(
        serve.ingress()(Door),
        name="door",
        max_ongoing_requests=settings.max_requests + 1 + n_streams,
        graceful_shutdown_timeout_s=settings.drain_seconds,
        ray_actor_options={"num_cpus": 0},
    )
    secret = secrets.token_urlsafe()
    return door.bind(settings, secret, model.bind(settings, secret))
