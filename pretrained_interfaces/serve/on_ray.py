"""The server on Ray Serve: replicas that each have the model, on any machines.

> pip install 'dld-brain[serve,ray]'
> serve run pretrained_interfaces.serve.on_ray:app source=DIR max_replicas=4

A door reads requests and hands their audio to a replica; each replica batches
what is handed to it, and chooses its depth by its own queue. What a replica had
when it died is handed to another. Live audio is not served here.
"""

import asyncio
import io
from typing import Any, BinaryIO, Optional

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import RayServeException

from dld_brain import __version__
from pretrained_interfaces.serve.app import ABOUT
from pretrained_interfaces.serve.description import describe
from pretrained_interfaces.serve.errors import add_handlers
from pretrained_interfaces.serve.guard import Guard
from pretrained_interfaces.serve.job import Answer, Busy
from pretrained_interfaces.serve.metrics import Metrics
from pretrained_interfaces.serve.routes import routes
from pretrained_interfaces.serve.server import Server
from pretrained_interfaces.serve.settings import Settings, token_of_environment

#: Replicas that a request is handed to, one after another.
N_TRIES = 4
#: What is waited before the next, s: Ray notices that a replica died.
PAUSE = 0.5


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

    async def __init__(self, settings: Settings) -> None:
        self.server = Server(settings)
        await self.server.start()

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

    def __init__(self, replicas: Any, facts: dict[str, Any]) -> None:
        self.name, self.errors = facts["name"], facts["errors"]
        self.asr, self._replicas = Known(facts["depths"]), replicas
        self.metrics = Metrics()

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

    async def now(self) -> dict[str, Any]:
        """What one of the replicas does now."""
        return await self._replicas.now.remote()


class Door:
    """Reads requests; the model is elsewhere."""

    async def __init__(self, settings: Settings, replicas: Any) -> None:
        self.settings = settings
        self.remote = Remote(replicas, await replicas.facts.remote())

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The application, once the replicas are there."""
        found = FastAPI(
            title="Distillation-based Layer Dropping",
            description=ABOUT,
            version=__version__,
            docs_url=None,
            redoc_url=None,
        )
        count = self.remote.metrics.asked
        found.state.server = self.remote
        found.include_router(routes)
        found.add_middleware(Guard, settings=self.settings, count=count)
        add_handlers(found)
        describe(found, has_token=self.settings.token is not None)
        return found


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
    # All that waits is handed to replicas: there the controllers see it.
    model = serve.deployment(
        Model,
        name="model",
        max_ongoing_requests=settings.max_requests,
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
        max_ongoing_requests=settings.max_requests + 1,
        graceful_shutdown_timeout_s=settings.drain_seconds,
        ray_actor_options={"num_cpus": 0},
    )
    return door.bind(settings, model.bind(settings))
