"""What a server is told, read once."""

import os
from dataclasses import dataclass
from typing import Optional

from dld_brain.audio.window_limits import BATCH, check_batch_seconds

#: Where the token comes from: a command line can be read by everybody.
TOKEN_VARIABLE = "DLD_SERVE_TOKEN"
MIB = 2**20
#: What is at least 1, and what is more than 0 s.
COUNTS = (
    "workers",
    "max_bytes",
    "max_requests",
    "max_streams",
    "max_frame_bytes",
)
TIMES = (
    "target_p95",
    "max_seconds",
    "upload_seconds",
    "idle_seconds",
    "max_stream_seconds",
    "stream_chunk",
)


def token_of_environment() -> Optional[str]:
    """The token that the environment holds; None if there is none.

    Blanks around it are left out: a file that holds it ends with a newline.
    """
    found = os.environ.get(TOKEN_VARIABLE)
    return None if found is None else found.strip()


@dataclass(frozen=True)
class Settings:
    """What a server is told.

    Arguments
    ---------
    source : str, optional
        As of `DynamicEncoderASR.from_hparams`.
    host : str
        Address that is listened on; the default is this machine alone.
    target_p95 : float
        What 95 % of the requests are to be answered in, s.
    floor : int, optional
        The shallowest depth that load may bring; the model's if not given.
    workers : int
        Batches that run at the same time.
    threads : int, optional
        Threads of torch for each batch; the cores, shared by the workers,
        if not given.
    max_bytes : int
        Of a request's body.
    max_seconds : float
        Of a request's audio, s.
    batch_seconds : float
        Windows of requests that are run together, padding included, s.
    int8 : bool
        Whether linear layers compute in int8, on the CPU alone.
    max_requests : int
        That are read or wait at the same time.
    upload_seconds : float
        What a request may take to arrive, s.
    drain_seconds : float
        What a server that stops waits for answers, s.
    token : str, optional
        Bearer token that requests must have; none if not given.
    max_streams : int
        Of live audio, at the same time.
    max_frame_bytes : int
        Of a frame of live audio.
    idle_seconds : float
        After so long without audio a stream is ended, s.
    max_stream_seconds : float
        Longest stream, s.
    stream_chunk : float
        What a stream computes at once, s.
    stream_window : float, optional
        As `window` of `DynamicEncoderASR.stream`; by the model if not given.
    """

    source: Optional[str] = None
    device: str = "auto"
    host: str = "127.0.0.1"
    port: int = 8000
    target_p95: float = 0.5
    floor: Optional[int] = None
    workers: int = 1
    threads: Optional[int] = None
    max_bytes: int = 64 * MIB
    max_seconds: float = 600.0
    batch_seconds: float = BATCH
    int8: bool = False
    max_requests: int = 64
    upload_seconds: float = 60.0
    drain_seconds: float = 30.0
    token: Optional[str] = None
    max_streams: int = 8
    max_frame_bytes: int = MIB // 4
    idle_seconds: float = 30.0
    max_stream_seconds: float = 3600.0
    stream_chunk: float = 0.64
    stream_window: Optional[float] = None

    def __post_init__(self) -> None:
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be at least 1, but is {getattr(self, name)}"
                )
        for name in TIMES:
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"`{name}` must be more than 0 (s), but is "
                    f"{getattr(self, name)}"
                )
        check_batch_seconds(self.batch_seconds)
        if not 0 <= self.port < 2**16:
            raise ValueError(
                f"`port` must be between 0 and 65535, but is {self.port}"
            )
        if self.token is not None and not self.token.strip():
            raise ValueError(
                f"{TOKEN_VARIABLE} must be a token, but is empty: unset it "
                f"to serve without one"
            )

    @property
    def is_local(self) -> bool:
        """Whether this machine alone can ask."""
        return self.host in ("127.0.0.1", "localhost", "::1")

    @property
    def n_threads(self) -> int:
        """Threads of torch for each batch."""
        cores = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
        return self.threads or max(1, cores // self.workers)
