"""What a server counts, for Prometheus and for its own page."""

from collections import deque
from collections.abc import Sequence
from statistics import quantiles
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from pretrained_interfaces.serve.job import Answer, Job

#: Bounds of latencies, s.
SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30)
#: Answers that the page's figures are of.
N_RECENT = 200


class Metrics:
    """Counters of one server; names begin with `dld_`."""

    def __init__(self, depths: Sequence[int] = ()) -> None:
        self.registry = CollectorRegistry()
        of = {"registry": self.registry}
        self._requests = Counter(
            "dld_requests", "Transcriptions asked for", ["status"], **of
        )
        self._latency = Histogram(
            "dld_latency_seconds",
            "From the whole request to its answer",
            buckets=SECONDS,
            **of,
        )
        self._waited = Histogram(
            "dld_queue_seconds", "Time in the queue", buckets=SECONDS, **of
        )
        self._audio = Counter(
            "dld_audio_seconds", "Audio that was transcribed", **of
        )
        self._sizes = Histogram(
            "dld_batch_size",
            "Requests of a batch",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            **of,
        )
        self._depths = Counter(
            "dld_answers", "Answers by their depth", ["n_layers"], **of
        )
        self.queue = Gauge("dld_queue_requests", "Requests that wait", **of)
        self.queue_audio = Gauge(
            "dld_queue_audio_seconds", "Audio that waits", **of
        )
        self.running = Gauge(
            "dld_batches_running", "Batches that the model computes", **of
        )
        self.depth = Gauge(
            "dld_depth", "Depth of the last batch whose depth was chosen", **of
        )
        self._recent: deque[tuple[float, int, float]] = deque(maxlen=N_RECENT)
        for n_layers in depths:
            self._depths.labels(n_layers)

    def asked(self, status: int) -> None:
        """Counts a request by what it was answered."""
        self._requests.labels(status).inc()

    def ran(self, jobs: Sequence[Job], n_layers: int, seconds: float) -> None:
        """Counts a batch."""
        self._sizes.observe(len(jobs))
        self._depths.labels(n_layers).inc(len(jobs))
        self._audio.inc(sum(job.seconds for job in jobs))

    def ran_elsewhere(self, answer: Answer) -> None:
        """Counts an answer of another process, which knows the batch.

        A batch is counted as often as it has answers.
        """
        self._sizes.observe(answer.batch_size)
        self._depths.labels(answer.n_layers).inc()
        self._audio.inc(answer.transcription.audio_seconds)

    def answered(self, answer: Answer) -> None:
        """Counts an answer."""
        latency = answer.queue_seconds + answer.compute_seconds
        self._latency.observe(latency)
        self._waited.observe(answer.queue_seconds)
        found = answer.transcription
        rtf = answer.compute_seconds / found.audio_seconds
        self._recent.append((latency, answer.n_layers, rtf))

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self.registry)

    def figures(self) -> dict[str, Any]:
        """Of the last answers: p95 (s), mean depth and real-time factor."""
        latencies = [row[0] for row in self._recent]
        n = len(latencies)
        return {
            "n_answers": n,
            "p95": quantiles(latencies, n=20)[-1] if n > 1 else None,
            "mean_depth": sum(r[1] for r in self._recent) / n if n else None,
            "rtf": sum(row[2] for row in self._recent) / n if n else None,
        }
