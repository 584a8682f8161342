"""The path of live audio."""

from fastapi import APIRouter, WebSocket

from pretrained_interfaces.serve.routes import Asked

routes = APIRouter()


@routes.websocket("/v1/stream")
async def stream(socket: WebSocket, server: Asked) -> None:
    """Transcribes audio as it comes; see docs/serving.md."""
    await socket.accept()
    await server.hear(socket)
