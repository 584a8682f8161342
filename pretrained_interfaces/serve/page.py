"""The page at `/`: one file that asks no other host for anything."""

import base64
import hashlib
import re
from importlib import resources

from fastapi import APIRouter
from fastapi.responses import HTMLResponse


def policy(text: str) -> str:
    """The Content-Security-Policy of a page.

    It may ask its own server alone, run the one script and have the one style
    that are in it, and no other page may frame it. `blob:` is the microphone's
    worklet, which the script makes.

    Example
    -------
    >>> policy("<script>1</script>").split("; ")[1]
    "script-src 'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s=' blob:"
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes('script', text)} blob:",
            "worker-src blob:",
            f"style-src {_hashes('style', text)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _hashes(tag: str, text: str) -> str:
    """What an element holds, as a policy names it."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = [hashlib.sha256(each.encode()).digest() for each in found]
    names = [f"'sha256-{base64.b64encode(d).decode()}'" for d in digests]
    return " ".join(names) or "'none'"


TEXT = (resources.files(__package__) / "page.html").read_text("utf-8")
HEADERS = {
    "Content-Security-Policy": policy(TEXT),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "microphone=(self)",
}
routes = APIRouter()


@routes.get("/", include_in_schema=False)
async def page() -> HTMLResponse:
    """A page to speak to, or to drop audio on, at a depth that it sets."""
    return HTMLResponse(TEXT, headers=HEADERS)
