"""Whose page may open a WebSocket: this server's alone.

A browser lets any page open a WebSocket to anywhere, and CORS does not hold
it back; it does say which page that was.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from pretrained_interfaces.serve.errors import Refusal

#: Ports that a URL need not name.
USUAL = {"http": ":80", "https": ":443"}


def check_origin(headers: Mapping[str, str]) -> None:
    """Raises if a page of another origin asks; what is no page has none.

    Raises
    ------
    Refusal
        403.

    Example
    -------
    >>> check_origin({"host": "a.b:8000", "origin": "http://a.b:8000"})
    >>> check_origin({"host": "a.b:8000", "origin": "http://a.b"})
    Traceback (most recent call last):
    ...
    pretrained_interfaces.serve.errors.Refusal: 403: a page of another ...
    """
    origin = headers.get("origin")
    if origin is None:
        return
    host = headers.get("host", "").lower()
    found = urlsplit(origin.lower())
    default = USUAL.get(found.scheme, "")
    names = {found.netloc, found.netloc + default}
    if default and found.netloc.endswith(default):
        names.add(found.netloc.removesuffix(default))
    if not found.netloc or host not in names:
        raise Refusal(403, "a page of another origin may not open a stream")
