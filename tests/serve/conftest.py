"""What tests of the server share."""

import pytest


@pytest.fixture(autouse=True)
def local_names(monkeypatch):
    """Has servers know the name by which FastAPI's test client asks.

    Returns
    -------
    tuple
        The names that they know else.
    """
    try:
        from pretrained_interfaces.serve import guard
    except ImportError:  # without the extra there is no server
        return ()
    known = guard.LOCAL_NAMES
    monkeypatch.setattr(guard, "LOCAL_NAMES", (*known, "testserver"))
    return known
