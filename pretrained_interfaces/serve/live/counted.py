"""What streams of a server do, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pretrained_interfaces.serve.metrics import SECONDS


class Counted:
    """Counters of live streams; names begin with `dld_stream`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        of = {"registry": registry}
        self.open = Gauge("dld_streams_open", "Streams that are open", **of)
        self._ended = Counter(
            "dld_streams", "Streams that ended, by why", ["reason"], **of
        )
        self._audio = Counter(
            "dld_stream_audio_seconds", "Live audio that was taken", **of
        )
        self._lag = Histogram(
            "dld_stream_lag_seconds",
            "From the arrival of a chunk's last sample to its text",
            buckets=SECONDS,
            **of,
        )
        self._chunks = Counter(
            "dld_stream_chunks", "Chunks by their depth", ["n_layers"], **of
        )

    def took(self, seconds: float) -> None:
        """Counts audio, s."""
        self._audio.inc(seconds)

    def ran(self, n_layers: int, lag: float) -> None:
        """Counts a chunk."""
        self._chunks.labels(n_layers).inc()
        self._lag.observe(lag)

    def ended(self, reason: str) -> None:
        """Counts a stream that is over."""
        self._ended.labels(reason).inc()
