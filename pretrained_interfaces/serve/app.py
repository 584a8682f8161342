"""The application: a FastAPI of one model."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Optional

from fastapi import FastAPI

from dld_brain import __version__
from pretrained_interfaces.asr import DynamicEncoderASR
from pretrained_interfaces.serve import page, routes
from pretrained_interfaces.serve.description import describe
from pretrained_interfaces.serve.errors import add_handlers
from pretrained_interfaces.serve.guard import Guard
from pretrained_interfaces.serve.live import route
from pretrained_interfaces.serve.server import Server
from pretrained_interfaces.serve.settings import Settings

ABOUT = (
    "Speech to text at any depth. Under load answers get shallower, not "
    "later; clients of OpenAI's API work unchanged."
)


def create_app(
    settings: Settings,
    asr: Optional[DynamicEncoderASR] = None,
    on_failure: Optional[Callable[[BaseException], None]] = None,
) -> FastAPI:
    """Makes the application; the model is loaded when it starts.

    Arguments
    ---------
    asr : DynamicEncoderASR, optional
        Loaded from the settings' `source` if not given.
    on_failure : callable, optional
        Told what went wrong if the model cannot be loaded.
    """
    server = Server(settings, asr)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Loads while /health answers already; drains at the end."""
        loading = asyncio.create_task(server.start())

        def loaded(task: asyncio.Task) -> None:
            """Tells of a failure."""
            error = None if task.cancelled() else task.exception()
            if error is not None and on_failure is not None:
                on_failure(error)

        loading.add_done_callback(loaded)
        yield
        loading.cancel()
        await server.stop()

    check = server.check_open
    return assemble(settings, server, lifespan, check)


def assemble(
    settings: Settings,
    server: Any,
    lifespan: Optional[Callable[[FastAPI], Any]] = None,
    check: Callable[[], None] = lambda: None,
) -> FastAPI:
    """All routes and checks around what answers.

    Arguments
    ---------
    server : Server
        Or what stands for one.
    check : callable
        See `Guard`.
    """
    app = FastAPI(
        title="Distillation-based Layer Dropping",
        description=ABOUT,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # both load scripts from another host
        redoc_url=None,
    )
    app.state.server = server
    for found in (routes.routes, route.routes, page.routes):
        app.include_router(found)
    count = server.metrics.asked
    app.add_middleware(Guard, settings=settings, count=count, check=check)
    add_handlers(app)
    describe(app, has_token=settings.token is not None)
    return app
