"""The page at `/`: one file that asks no other host for anything."""

from importlib import resources

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

#: The page may ask this server alone, and no other page may frame it.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def page_router() -> APIRouter:
    """The path of the page."""
    routes = APIRouter()
    text = (resources.files(__package__) / "page.html").read_text("utf-8")

    @routes.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        """A page to record or drop audio on, and to choose a depth."""
        headers = {"Content-Security-Policy": POLICY}
        return HTMLResponse(text, headers=headers)

    return routes
