"""What a server is told, read once."""

import os
from dataclasses import dataclass
from typing import Optional

#: Where the token comes from: a command line can be read by everybody.
TOKEN_VARIABLE = "DLD_SERVE_TOKEN"
MIB = 2**20


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
    int8 : bool
        Whether the linear layers run in int8; for the CPU.
    max_bytes : int
        Of a request's body.
    max_seconds : float
        Of a request's audio, s.
    max_requests : int
        That are read or wait at the same time.
    upload_seconds : float
        What a request may take to arrive, s.
    drain_seconds : float
        What a server that stops waits for answers, s.
    token : str, optional
        Bearer token that requests must have; none if not given.
    """

    source: Optional[str] = None
    device: str = "auto"
    host: str = "127.0.0.1"
    port: int = 8000
    target_p95: float = 0.5
    floor: Optional[int] = None
    workers: int = 1
    threads: Optional[int] = None
    int8: bool = False
    max_bytes: int = 64 * MIB
    max_seconds: float = 600.0
    max_requests: int = 64
    upload_seconds: float = 60.0
    drain_seconds: float = 30.0
    token: Optional[str] = None

    def __post_init__(self) -> None:
        for name in ("workers", "max_bytes", "max_requests"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be at least 1, but is {getattr(self, name)}"
                )
        for name in ("target_p95", "max_seconds", "upload_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"`{name}` must be more than 0 (s), but is "
                    f"{getattr(self, name)}"
                )
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
