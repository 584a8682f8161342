"""Whose page may post a file or open a WebSocket: this server's alone.

A browser lets any page do both to anywhere, and CORS does not hold it back: it
hides the answer at most. It does say which page that was.
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
    refusal = Refusal(403, "a page of another origin may not ask")
    host = headers.get("host", "").lower()
    try:
        found = urlsplit(origin.lower())
    except ValueError:  # `http://[`
        raise refusal from None
    default = USUAL.get(found.scheme, "")
    names = {found.netloc, found.netloc + default}
    if default and found.netloc.endswith(default):
        names.add(found.netloc.removesuffix(default))
    if not found.netloc or host not in names:
        raise refusal
