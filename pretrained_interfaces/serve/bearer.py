"""The server's token, and whether a request has it."""

import hmac

from pretrained_interfaces.serve.errors import Refusal
from pretrained_interfaces.serve.settings import Settings

SCHEME = "Bearer "


def check_token(settings: Settings, header: str, how: str) -> None:
    """Raises unless the token is the right one; takes as long for each.

    Arguments
    ---------
    header : str
        Of `Authorization`; the scheme in upper or lower case (RFC 9110).
    how : str
        Where the token is to be given.

    Raises
    ------
    Refusal
        401.

    Example
    -------
    >>> check_token(Settings(token="a"), "bearer a", "give it")
    >>> check_token(Settings(token="a"), "Bearer b", "give it")
    Traceback (most recent call last):
    ...
    pretrained_interfaces.serve.errors.Refusal: 401: give it
    """
    if settings.token is None:
        return
    if header[: len(SCHEME)].lower() == SCHEME.lower():
        header = SCHEME + header[len(SCHEME) :].strip()
    wanted = SCHEME + settings.token
    if not hmac.compare_digest(header.encode(), wanted.encode()):
        raise Refusal(401, how)
