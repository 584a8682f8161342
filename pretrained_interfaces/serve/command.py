"""`python -m pretrained_interfaces serve`: the command line of the server."""

import argparse
import importlib.util
import logging
import socket
import sys
from dataclasses import fields
from typing import Any

from dld_brain.files.console import STATUSES, UNUSABLE, complain, reason
from pretrained_interfaces.serve.settings import (
    TOKEN_VARIABLE,
    Settings,
    token_of_environment,
)

#: What the extra `serve` installs.
NEEDED = (
    "fastapi",
    "uvicorn",
    "websockets",
    "soxr",
    "python_multipart",
    "prometheus_client",
)
#: Connections that the system holds until they are taken.
BACKLOG = 2048
#: Options beside those of every command: type and what they are.
OPTIONS: dict[str, tuple[type, str]] = {
    "host": (str, "address to listen on (default: this machine alone)"),
    "port": (int, "0: any that is free (default: 8000)"),
    "target_p95": (float, "what 95 %% of the answers take, s (default: 0.5)"),
    "floor": (int, "shallowest depth that load may bring"),
    "workers": (int, "batches that run at the same time (default: 1)"),
    "threads": (int, "threads of torch for each (default: cores / workers)"),
    "max_bytes": (int, "of a request (default: 64 MiB)"),
    "max_seconds": (float, "of a request's audio, s (default: 600)"),
    "batch_seconds": (float, "windows that are run together, s (default: 60)"),
    "max_requests": (int, "read or waiting at once (default: 64)"),
    "upload_seconds": (float, "what a request may take to arrive, s (60)"),
    "drain_seconds": (float, "what a server that stops waits, s (30)"),
    "max_streams": (int, "of live audio at once (default: 8)"),
    "max_frame_bytes": (int, "of a frame of live audio (default: 256 KiB)"),
    "idle_seconds": (float, "a stream without audio is ended after, s (30)"),
    "max_stream_seconds": (float, "longest stream, s (default: 3600)"),
    "stream_chunk": (float, "what a stream computes at once, s (0.64)"),
    "stream_window": (float, "what it encodes anew each time, s (by model)"),
}


def add_command(
    commands: Any, shared: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    """Adds `serve` to the commands of a command line.

    Arguments
    ---------
    shared : argparse.ArgumentParser
        With --source and --device.
    """
    command = commands.add_parser(
        "serve",
        parents=[shared],
        help="answer OpenAI's transcription API, shallower under load",
        description=f"The variable {TOKEN_VARIABLE} holds the bearer token "
        f"that requests must have, if there is to be one.",
        epilog=STATUSES,
    )
    for name, (kind, text) in OPTIONS.items():
        command.add_argument(
            f"--{name}", type=kind, default=argparse.SUPPRESS, help=text
        )
    command.set_defaults(run=serve)
    return command


def settings_of(options: argparse.Namespace) -> Settings:
    """What a command line says.

    Raises
    ------
    ValueError
        If it says what cannot be.
    """
    names = {field.name for field in fields(Settings)}
    given = {k: v for k, v in vars(options).items() if k in names}
    return Settings(**given, token=token_of_environment())


def serve(options: argparse.Namespace) -> int:
    """Serves until it is told to stop (SIGTERM, Ctrl-C).

    Returns
    -------
    int
        Exit status.
    """
    settings = settings_of(options)
    missing = [n for n in NEEDED if importlib.util.find_spec(n) is None]
    if missing:
        raise ImportError(
            f"a server needs {', '.join(missing)}: pip install "
            f"'dld-brain[serve]'"
        )
    from pretrained_interfaces.serve.run import run

    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(message)s"
    )
    if not settings.is_local and settings.token is None:
        logging.warning(
            "warning: whoever reaches %s can ask: set %s to ask for a token",
            settings.host,
            TOKEN_VARIABLE,
        )
    with listening(settings) as found:
        error = run(settings, found)
    if error is not None:
        complain(reason(error))
        return UNUSABLE
    return 0


def listening(settings: Settings) -> socket.socket:
    """A socket on the settings' address.

    Raises
    ------
    OSError
        If it is taken, or is none of this machine's.
    """
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(BACKLOG)  # so that nobody is refused who is early
    except OSError as error:
        found.close()
        raise OSError(
            f"cannot listen on {host}, port {port}: {error.strerror}"
        ) from None
    return found
